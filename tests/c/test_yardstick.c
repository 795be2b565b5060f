/* Yardsticks: sums, pairs and kept pages against plain loops over the bytes; wrong arguments leave outputs alone. */
#include "world.h"
#include "yardstick.h"

enum { PAGES = 90 };

static uint32_t first_equal(const world *w, const uint32_t *pages, uint32_t i)
{
    for (uint32_t k = 0;; k++)
        if (memcmp(page_at(w, pages[k]), page_at(w, pages[i]), w->size) == 0)
            return k;
}

static void test_limits(const world *w, const uint32_t *pages, const uint32_t *others)
{
    uint64_t sum = 0, equal = 0, got;

    for (uint32_t i = 0; i < w->n; i++) {
        for (size_t at = 0; at < w->size; at += 8) {
            uint64_t word;
            memcpy(&word, page_at(w, pages[i]) + at, 8);
            sum += word;
        }
        equal += !memcmp(page_at(w, pages[i]), page_at(w, others[i]), w->size);
    }
    CHECK(pksm_yardstick_read(&w->store, pages, w->n, &got) == PKSM_OK);
    CHECK(got == sum);
    CHECK(pksm_yardstick_memcmp(&w->store, pages, others, w->n, &got) == PKSM_OK);
    CHECK(got == equal);
}

static void test_rivals(const world *w, const uint32_t *pages)
{
    size_t n_slots = 1;
    uint32_t *table = block(w->n * sizeof *table), *ksm = block(w->n * sizeof *ksm);
    pksm_table trees = {.nodes = block((w->n + 1) * sizeof *trees.nodes), .n_nodes = w->n + 1};
    pksm_checksum weak = {weak_sum, &w->modulus, NULL};
    pksm_slot *slots;

    while (n_slots <= w->n)
        n_slots *= 2;
    slots = block(n_slots * sizeof *slots);
    CHECK(pksm_yardstick_table(&w->store, &weak, pages, w->n, slots, n_slots, table) == PKSM_OK);
    CHECK(pksm_yardstick_ksm(&w->store, pages, w->n, &trees, ksm) == PKSM_OK);
    for (uint32_t i = 0; i < w->n; i++) {
        uint32_t first = first_equal(w, pages, i);
        CHECK(table[i] == pages[first]);
        CHECK(ksm[i] == ksm[first]);
        CHECK(memcmp(page_at(w, ksm[i]), page_at(w, pages[i]), w->size) == 0);
    }
    free(table);
    free(ksm);
    free(trees.nodes);
    free(slots);
}

static void test_refused(const world *w, uint32_t *pages)
{
    uint64_t got = 7;
    uint32_t kept = 7, was = pages[w->n - 1];
    pksm_slot slot = {0, 0, 0};
    pksm_table trees = {.nodes = block(sizeof *trees.nodes), .n_nodes = 1};
    pksm_checksum weak = {weak_sum, &w->modulus, NULL}, none = {NULL, NULL, NULL};

    CHECK(pksm_yardstick_table(&w->store, &weak, pages, 1, &slot, 1, &kept) == PKSM_EINVAL);
    CHECK(pksm_yardstick_table(&w->store, &weak, pages, 1, &slot, 3, &kept) == PKSM_EINVAL);
    CHECK(pksm_yardstick_table(&w->store, &none, pages, 1, &slot, 2, &kept) == PKSM_EINVAL);
    CHECK(pksm_yardstick_ksm(&w->store, pages, 1, &trees, &kept) == PKSM_EINVAL);
    pages[w->n - 1] = w->n;
    CHECK(pksm_yardstick_read(&w->store, pages, w->n, &got) == PKSM_EPAGE);
    CHECK(pksm_yardstick_memcmp(&w->store, pages, pages, w->n, &got) == PKSM_EPAGE);
    CHECK(pksm_yardstick_ksm(&w->store, pages, w->n, &trees, &kept) == PKSM_EPAGE);
    pages[w->n - 1] = was;
    CHECK(got == 7 && kept == 7);
    free(trees.nodes);
}

int main(int argc, char **argv)
{
    seed_from(argc, argv);
    for (int round = 0; round < 300; round++) {
        world w;
        uint32_t pages[PAGES], others[PAGES], n = 1 + below(PAGES);

        make_world(&w, n, 1, (size_t)8 << below(8), 2 + below(20));
        for (uint32_t i = 0; i < n; i++) { /* a random order of all pages */
            uint32_t at = below(i + 1);
            pages[i] = i;
            pages[i] = pages[at];
            pages[at] = i;
            others[i] = below(n);
        }
        test_limits(&w, pages, others);
        test_rivals(&w, pages);
        test_refused(&w, pages);
        free_world(&w);
    }
    printf("ok\n");
    return 0;
}
