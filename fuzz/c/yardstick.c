/* Pages and yardsticks: any page numbers and sizes; answers are those of plain loops, at every level alike. */
#include "input.h"
#include "yardstick.h"

enum { PAGES = 90, MOST = 120 };

static void check_pages(const pages *p, const uint32_t *a, const uint32_t *b, size_t n, int status, const uint8_t *zero,
                        const int8_t *order)
{
    CHECK(status == (all_below(a, n, p->n) && all_below(b, n, p->n) ? PKSM_OK : PKSM_EPAGE));
    for (size_t i = 0; status == PKSM_OK && i < n; i++) {
        int sign = memcmp(page_at(p, a[i]), page_at(p, b[i]), p->size);
        size_t common = 99, plain = 0;

        CHECK(order[i] == (sign > 0) - (sign < 0));
        CHECK(pksm_page_compare(page_at(p, a[i]), page_at(p, b[i]), p->size, &common) == order[i]);
        while (plain < p->size && page_at(p, a[i])[plain] == page_at(p, b[i])[plain])
            plain++;
        CHECK(common == plain);
        plain = 0;
        while (plain < p->size && !page_at(p, a[i])[plain])
            plain++;
        CHECK(zero[i] == (plain == p->size));
    }
}

static void batches(const pages *p, const uint32_t *a, const uint32_t *b, size_t n)
{
    uint8_t *zero = block(n), *bytes = block(n * p->size);
    int8_t *order = block(n);
    uint64_t sum = 7, equal = 7;
    int good = all_below(a, n, p->n), status = pksm_pages_are_zero(&p->store, a, n, zero);

    CHECK(status == (good ? PKSM_OK : PKSM_EPAGE));
    status = pksm_pages_compare(&p->store, a, b, n, order);
    check_pages(p, a, b, n, status, zero, order);
    CHECK(pksm_pages_copy(&p->store, a, n, bytes) == (good ? PKSM_OK : PKSM_EPAGE));
    for (size_t i = 0; good && i < n; i++)
        CHECK(!memcmp(bytes + i * p->size, page_at(p, a[i]), p->size));
    CHECK(pksm_yardstick_read(&p->store, a, n, &sum) == (good ? PKSM_OK : PKSM_EPAGE) && (good || sum == 7));
    CHECK(pksm_yardstick_memcmp(&p->store, a, b, n, &equal) == status && (status == PKSM_OK || equal == 7));
    for (size_t i = 0; status == PKSM_OK && i < n; i++)
        equal -= order[i] == 0;
    CHECK(equal == (status == PKSM_OK ? 0 : 7));
    free(zero);
    free(bytes);
    free(order);
}

static void rivals(const pages *p, const uint32_t *a, size_t n, uint32_t n_slots, uint32_t n_nodes, int has_sum)
{
    pksm_slot *slots = block(n_slots * sizeof *slots);
    pksm_table table = {.nodes = block(n_nodes * sizeof *table.nodes), .n_nodes = n_nodes};
    pksm_checksum weak = {has_sum ? weak_sum : NULL, &p->modulus, NULL};
    uint32_t *kept[2] = {block(n * 4), block(n * 4)};
    int status[2] = {pksm_yardstick_table(&p->store, &weak, a, n, slots, n_slots, kept[0]),
                     pksm_yardstick_ksm(&p->store, a, n, &table, kept[1])};

    CHECK(status[0] != PKSM_OK || (has_sum && n_slots > n && !(n_slots & (n_slots - 1))));
    for (int way = 0; way < 2; way++)
        for (size_t i = 0; status[way] == PKSM_OK && i < n; i++)
            CHECK(kept[way][i] < p->n && !memcmp(page_at(p, kept[way][i]), page_at(p, a[i]), p->size));
    for (int way = 0; way < 2; way++)
        free(kept[way]);
    free(slots);
    free(table.nodes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    pages p = next_pages(&in, PAGES);

    do {
        size_t n = next_below(&in, MOST);
        uint32_t *a = next_indexes(&in, n, p.n), *b = next_indexes(&in, n, p.n);
        uint32_t slots = next_below(&in, 4) ? 128 : next_byte(&in),
                 nodes = next_below(&in, 4) ? (uint32_t)n + 1 : next_byte(&in);

        if (next_below(&in, 16) == 15)
            p.store.page_size = next_bit(&in) ? 0 : (size_t)1 << next_below(&in, 3);
        if (p.store.page_size == p.size) {
            batches(&p, a, b, n);
            rivals(&p, a, n, slots, nodes, next_below(&in, 8) != 7);
        } else {
            uint64_t sum;
            CHECK(pksm_yardstick_read(&p.store, a, n, &sum) == PKSM_EINVAL);
        }
        p.store.page_size = p.size;
        free(a);
        free(b);
    } while (in.left);
    free_pages(&p);
    return 0;
}
