// Same-page merging in C++17: stores of pages, one in each thread. Pages that are pinned are not merged until they are
// unpinned.
//
//   pksm amalgamate .
//   cc -std=c11 -O2 -c pksm_all.c
//   c++ -std=c++17 -O2 -pthread -o own_ksm own_ksm.cpp pksm_all.o && ./own_ksm
#include <algorithm>
#include <array>
#include <cstdint>
#include <iostream>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "pksm.h"

namespace
{

using Page = std::array<std::uint8_t, 4096>;
const Page zero_page{};

void must(int status)
{
    if (status != PKSM_OK)
        throw std::runtime_error(pksm_status_text(status));
}

// Pages that are written once. A handle is the number of the frame that its page came in, item ids are one more.
class Store
{
  public:
    explicit Store(std::size_t n_pages)
        : frames_(n_pages), frame_of_(n_pages), sections_((n_pages + 63) / 64), nodes_(n_pages + 1), classes_(n_pages)
    {
        const pksm_strategy *strategy = pksm_strategy_by_name("xxh3-64");
        const pksm_checksum checksum = {strategy->sum, nullptr, strategy->many};

        for (std::size_t s = 0; s < sections_.size(); s++)
            sections_[s] = reinterpret_cast<std::uintptr_t>(frames_[64 * s].data());
        must(pksm_rules_default(&rules_, &checksum, zero_page.data(), zero_page.size()));
    }
    // The core knows the addresses of these arrays.
    Store(const Store &) = delete;
    Store &operator=(const Store &) = delete;

    std::uint32_t put(const Page &page)
    {
        const std::uint32_t handle = n_pages_++;

        frames_.at(handle) = page;
        frame_of_[handle] = handle;
        nodes_[handle + 1].page = handle;
        nodes_[handle + 1].flags = PKSM_INITCHECKSUM;
        to_visit_.push_back(handle + 1);
        return handle;
    }

    const Page &read(std::uint32_t handle) const
    {
        return frame_of_[handle] == no_frame ? zero_page : frames_[frame_of_[handle]];
    }

    void pin(std::uint32_t handle, bool pinned)
    {
        classes_[handle] = pinned ? PKSM_BUSY_PAGE : PKSM_FREE;
    }

    // Visits what is new, and what was busy or has changed at its last visit.
    void merge()
    {
        const std::vector<std::uint32_t> ids = std::move(to_visit_);
        const pksm_store store = {sections_.data(), frames_.size(), zero_page.size(), nullptr};
        pksm_table table{};
        table.nodes = nodes_.data();
        table.n_nodes = nodes_.size();
        std::vector<std::uint32_t> others(ids.size()), revisit(ids.size());
        std::vector<std::uint8_t> verdicts(ids.size());

        to_visit_.clear();
        for (std::size_t start = 0, done = 0; start < ids.size(); start += done) {
            std::size_t n_revisit = 0;
            must(pksm_settle(&store, &table, &trees_, &rules_, classes_.data(), &ids[start], ids.size() - start,
                             verdicts.data(), others.data(), revisit.data(), &n_revisit, &done, &cost_));
            for (std::size_t i = 0; i < done; i++)
                carry_out(ids[start + i], verdicts[i], others[i]);
            to_visit_.insert(to_visit_.end(), revisit.begin(),
                             revisit.begin() + static_cast<std::ptrdiff_t>(n_revisit));
        }
        must(pksm_trees_check(&store, &table, &trees_, rules_.order));
    }

    // Frames that some handle reads.
    std::size_t frames_used() const
    {
        std::set<std::uint32_t> used(frame_of_.begin(), frame_of_.begin() + n_pages_);
        return used.size() - used.count(no_frame);
    }

  private:
    static constexpr std::uint32_t no_frame = UINT32_MAX;

    void carry_out(std::uint32_t id, std::uint8_t verdict, std::uint32_t other)
    {
        if (verdict == PKSM_ZERO)
            redirect(id - 1, no_frame);
        else if (verdict == PKSM_JOINED)
            redirect(id - 1, other - 1);
        else if (verdict == PKSM_PAIRED)
            redirect(other - 1, id - 1);
        else if (verdict != PKSM_WAITING) // PKSM_BUSY: it, or what it matches, is pinned
            to_visit_.push_back(id);
    }

    void redirect(std::uint32_t handle, std::uint32_t frame)
    {
        frames_[handle].fill(0xdb); // nobody reads it any more: here its memory would be given back
        frame_of_[handle] = frame;
    }

    std::vector<Page> frames_;
    std::vector<std::uint32_t> frame_of_;
    std::vector<std::uint64_t> sections_;
    std::vector<pksm_node> nodes_; // node 0 is nil
    std::vector<std::uint8_t> classes_;
    std::vector<std::uint32_t> to_visit_;
    std::uint32_t n_pages_ = 0;
    pksm_trees trees_{};
    pksm_cost cost_{};
    pksm_rules rules_{};
};

// Puts pages of so many contents, one of them zero, and merges; returns whether all came out as it must.
bool work(std::uint32_t n_pages, std::uint32_t n_contents)
{
    Store store(n_pages);
    bool right = true;
    const std::uint32_t n_pinned = n_pages / 10;
    const auto content_of = [=](std::uint32_t handle) { return static_cast<std::uint8_t>(handle * 7 % n_contents); };

    for (std::uint32_t i = 0; i < n_pages; i++) {
        Page page;
        page.fill(content_of(i));
        store.pin(store.put(page), i < n_pinned);
    }
    store.merge();
    right &= store.frames_used() == n_pinned + n_contents - 1; // pinned pages keep theirs
    for (std::uint32_t i = 0; i < n_pinned; i++)
        store.pin(i, false);
    store.merge();
    right &= store.frames_used() == n_contents - 1;
    for (std::uint32_t i = 0; i < n_pages; i++) {
        const Page &page = store.read(i);
        right &= std::all_of(page.begin(), page.end(), [&](std::uint8_t byte) { return byte == content_of(i); });
    }
    return right;
}

} // namespace

int main()
{
    std::array<bool, 2> right{};

    must(pksm_cpu_select(pksm_cpu_best())); // for the whole process, before other threads call the core
    std::thread other([&] { right[1] = work(3000, 200); });
    right[0] = work(2000, 100);
    other.join();
    std::cout << "2000 pages in 99 frames: " << (right[0] ? "yes" : "no")
              << "\n3000 pages in 199 frames: " << (right[1] ? "yes" : "no") << "\n";
    return right[0] && right[1] ? 0 : 1;
}
