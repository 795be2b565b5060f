/* world.h: a small store of pages with few contents and weak checksums, an item a page, two trees. */
#ifndef WORLD_H
#define WORLD_H

#include "check.h"

typedef struct {
    size_t size;       /* bytes a page */
    uint32_t n;        /* pages */
    uint32_t n_items;  /* items 1 .. n have the pages in order, those behind them any page */
    uint64_t modulus;  /* of the weak checksum */
    uint8_t *bytes;    /* n pages */
    uint8_t *contents; /* n_contents pages to draw from; the first is zero */
    uint32_t n_contents;
    uint64_t *sections;
    pksm_store store;
    pksm_table table;
    pksm_trees trees;
    pksm_cost cost;
} world;

/* The sum of the bytes, modulo *state: many pages share one, and permuted bytes always do. Its lowest bits stand on
 * top, where a forest looks. */
static inline uint64_t weak_sum(const uint8_t *page, size_t size_bytes, const void *state)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < size_bytes; i++)
        sum += page[i];
    sum %= *(const uint64_t *)state;
    return sum << 62 | sum >> 2;
}

/* The same for many pages, and which of them are zero. */
static inline int weak_sums(const uint8_t *const *pages, size_t n, size_t size_bytes, const void *state, uint64_t *sums,
                            uint8_t *zero)
{
    for (size_t i = 0; i < n; i++) {
        sums[i] = weak_sum(pages[i], size_bytes, state);
        if (zero)
            zero[i] = (uint8_t)pksm_page_is_zero(pages[i], size_bytes);
    }
    return 1;
}

static inline uint8_t *page_at(const world *w, uint32_t page)
{
    return w->bytes + page * w->size;
}

static inline uint8_t *page_of(const world *w, uint32_t id)
{
    return page_at(w, w->table.nodes[id].page);
}

static inline int same_bytes(const world *w, uint32_t a, uint32_t b)
{
    return memcmp(page_of(w, a), page_of(w, b), w->size) == 0;
}

static inline int in_tree(const world *w, uint32_t id)
{
    return w->table.nodes[id].flags & (PKSM_UNSTABLE | PKSM_STABLE);
}

static inline void write_page(world *w, uint32_t page)
{
    memcpy(page_at(w, page), w->contents + below(w->n_contents) * w->size, w->size);
}

static inline void make_world(world *w, uint32_t n, uint32_t n_items, size_t size, uint32_t n_contents)
{
    memset(w, 0, sizeof *w);
    w->size = size;
    w->n = n;
    w->n_items = n_items;
    w->modulus = 1 + below(6);
    w->n_contents = n_contents;
    w->bytes = block(n * size);
    w->contents = block(n_contents * size);
    for (uint32_t c = 1; c < n_contents; c++)
        for (uint32_t k = below(3) + 1; k; k--)
            w->contents[c * size + below((uint32_t)size)] = (uint8_t)(1 + below(3));
    w->sections = block((n / 64 + 2) * sizeof *w->sections);
    for (uint32_t s = 0; s <= n / 64; s++)
        w->sections[s] = (uintptr_t)(w->bytes + s * 64 * size);
    w->store = (pksm_store){.sections = w->sections, .n_pages = n, .page_size = size};
    w->table = (pksm_table){.nodes = block((n_items + 1) * sizeof *w->table.nodes), .n_nodes = n_items + 1};
    for (uint32_t page = 0; page < n; page++)
        write_page(w, page);
    for (uint32_t id = 1; id <= n_items; id++) {
        w->table.nodes[id].page = id <= n ? id - 1 : below(n);
        w->table.nodes[id].flags = PKSM_INITCHECKSUM;
    }
}

/* With so many bits, or none, before anything is in a tree. */
static inline void plant_forest(world *w, uint32_t bits)
{
    w->table.forest = bits ? block((2u << bits) * sizeof *w->table.forest) : NULL;
    w->table.forest_bits = bits;
}

static inline size_t roots(const world *w)
{
    return (size_t)2 << w->table.forest_bits;
}

static inline void free_world(world *w)
{
    free(w->table.forest);
    free(w->bytes);
    free(w->contents);
    free(w->sections);
    free(w->table.nodes);
}

#endif
