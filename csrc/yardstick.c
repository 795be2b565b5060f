/* yardstick.c: what the engine is measured against, in C so that the comparison is fair.
 *
 * Three limits of the machine (read, and libc's memcpy and memcmp), and two other ways to find equal pages: a hash
 * table, and KSM's two trees with one search at a time. The engine itself uses nothing of this. */
#include "core.h"
#include "yardstick.h"

typedef uint64_t wide __attribute__((vector_size(16))); /* wider ones, and prefetching, read no faster from DRAM */

enum { LANES = 8, WINDOW = 32, CANDIDATES_AHEAD = 2 };

/* ---- limits ---- */
static NOINLINE int read_all(const pksm_store *store, const uint32_t *pages, size_t n, uint64_t *sum)
{
    wide sums[LANES] = {{0}}, words;
    uint64_t rest = 0;

    for (size_t i = 0; i < n; i++) {
        const uint8_t *bytes = page_bytes(store, pages[i]), *end = bytes + store->page_size;

        for (; bytes + sizeof sums <= end; bytes += sizeof sums) {
            for (size_t k = 0; k < LANES; k++) {
                memcpy(&words, bytes + k * sizeof words, sizeof words);
                sums[k] += words;
            }
        }
        for (; bytes < end; bytes += 8)
            rest += load64(bytes);
    }
    for (int k = 0; k < LANES; k++)
        rest += sums[k][0] + sums[k][1];
    *sum = rest;
    return PKSM_OK;
}

EXPORT int pksm_yardstick_read(const pksm_store *store, const uint32_t *pages, size_t n, uint64_t *sum)
{
    int status = pksm_check_pages(store, pages, n);

    if (status == PKSM_OK)
        READING(status, read_all(store, pages, n, sum));
    return status;
}

static NOINLINE int compare_all(const pksm_store *store, const uint32_t *a, const uint32_t *b, size_t n,
                                uint64_t *equal)
{
    uint64_t found = 0;

    for (size_t i = 0; i < n; i++)
        found += !memcmp(page_bytes(store, a[i]), page_bytes(store, b[i]), store->page_size);
    *equal = found;
    return PKSM_OK;
}

EXPORT int pksm_yardstick_memcmp(const pksm_store *store, const uint32_t *a, const uint32_t *b, size_t n,
                                 uint64_t *equal)
{
    int status = pksm_check_pages(store, a, n);

    if (status == PKSM_OK)
        status = pksm_check_pages(store, b, n);
    if (status == PKSM_OK)
        READING(status, compare_all(store, a, b, n, equal));
    return status;
}

/* ---- a hash table instead of trees ---- */
static size_t slot_of(uint64_t checksum, size_t n_slots)
{
    return (checksum * 0x9E3779B97F4A7C15u >> 32) & (n_slots - 1);
}

/* The first slot from `at` on that is empty or has this checksum. */
static size_t probe(const pksm_slot *slots, size_t n_slots, size_t at, uint64_t checksum)
{
    while (slots[at].used && slots[at].checksum != checksum)
        at = (at + 1) & (n_slots - 1);
    return at;
}

static void fetch_page(const pksm_store *store, const pksm_slot *slot)
{
    if (slot->used)
        for (size_t at = 0; at < store->page_size; at += 64)
            __builtin_prefetch(page_bytes(store, slot->page) + at);
}

static NOINLINE int fill_table(const pksm_store *store, const pksm_checksum *checksum, const uint32_t *pages, size_t n,
                               pksm_slot *slots, size_t n_slots, uint32_t *kept)
{
    uint64_t sums[WINDOW];
    size_t at[WINDOW];

    for (size_t start = 0; start < n; start += WINDOW) {
        size_t part = n - start < WINDOW ? n - start : WINDOW;

        pksm_sum_pages(store, checksum, pages + start, part, sums, NULL);
        for (size_t i = 0; i < part; i++)
            __builtin_prefetch(&slots[slot_of(sums[i], n_slots)]);
        for (size_t i = 0; i < part; i++)
            at[i] = probe(slots, n_slots, slot_of(sums[i], n_slots), sums[i]);
        for (size_t i = 0; i < part; i++) {
            uint32_t page = pages[start + i];

            for (size_t k = i ? i + CANDIDATES_AHEAD : 1; k <= i + CANDIDATES_AHEAD && k < part; k++)
                fetch_page(store, &slots[at[k]]);
            at[i] = probe(slots, n_slots, at[i], sums[i]);
            while (slots[at[i]].used &&
                   memcmp(page_bytes(store, page), page_bytes(store, slots[at[i]].page), store->page_size))
                at[i] = probe(slots, n_slots, (at[i] + 1) & (n_slots - 1), sums[i]);
            if (!slots[at[i]].used)
                slots[at[i]] = (pksm_slot){sums[i], page, 1};
            kept[start + i] = slots[at[i]].page;
        }
    }
    return PKSM_OK;
}

EXPORT int pksm_yardstick_table(const pksm_store *store, const pksm_checksum *checksum, const uint32_t *pages, size_t n,
                                pksm_slot *slots, size_t n_slots, uint32_t *kept)
{
    int status = checksum && checksum->sum ? pksm_check_pages(store, pages, n) : PKSM_EINVAL;

    if (status == PKSM_OK && (n_slots <= n || (n_slots & (n_slots - 1))))
        status = PKSM_EINVAL;
    if (status == PKSM_OK)
        READING(status, fill_table(store, checksum, pages, n, slots, n_slots, kept));
    return status;
}

/* ---- KSM's trees, one search at a time ---- */
/* The item with the bytes of id, or 0; then *parent and *side say where it would go. */
static uint32_t search(const pksm_store *store, const pksm_node *nodes, uint32_t root, uint32_t id, uint32_t *parent,
                       int *side)
{
    const uint8_t *bytes = page_bytes(store, nodes[id].page);
    uint32_t at = root;

    *parent = 0;
    *side = 0;
    while (at) {
        int order = memcmp(bytes, page_bytes(store, nodes[at].page), store->page_size);
        if (!order)
            return at;
        *parent = at;
        *side = order > 0;
        at = nodes[at].child[*side];
    }
    return 0;
}

static NOINLINE int merge_as_ksm(const pksm_store *store, const uint32_t *pages, size_t n, pksm_node *nodes,
                                 uint32_t *kept)
{
    uint32_t stable = 0, unstable = 0, parent, twin;
    int side;

    for (uint32_t id = 1; id <= n; id++) {
        nodes[id].page = pages[id - 1];
        twin = search(store, nodes, stable, id, &parent, &side);
        if (twin) {
            kept[id - 1] = nodes[twin].page;
            continue;
        }
        kept[id - 1] = pages[id - 1];
        twin = search(store, nodes, unstable, id, &parent, &side);
        if (!twin) {
            pksm_rb_insert(nodes, &unstable, id, parent, side);
            continue;
        }
        pksm_rb_erase(nodes, &unstable, twin);
        kept[twin - 1] = pages[id - 1];
        search(store, nodes, stable, id, &parent, &side);
        pksm_rb_insert(nodes, &stable, id, parent, side);
    }
    return PKSM_OK;
}

EXPORT int pksm_yardstick_ksm(const pksm_store *store, const uint32_t *pages, size_t n, pksm_table *table,
                              uint32_t *kept)
{
    int status = pksm_check_pages(store, pages, n);

    if (status == PKSM_OK && (!table || table->n_nodes <= n || n >= UINT32_MAX >> 1))
        status = PKSM_EINVAL;
    if (status == PKSM_OK)
        READING(status, merge_as_ksm(store, pages, n, table->nodes, kept));
    return status;
}
