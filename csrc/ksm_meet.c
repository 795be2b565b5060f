/* ksm_meet.c: KSM's items by address. An mm has leaves of PKSM_LEAF places, as page tables have; a visit walks those
 * that it meets, beside what is mapped there. */
#include "core.h"

typedef struct {
    const pksm_ksm_places *places;
    const pksm_ksm_range *range;
    size_t mapped; /* pages of the range that the walk has passed */
} walk;

/* The first leaf of the range: as many come before it. */
static size_t first_leaf(const pksm_ksm_range *range)
{
    size_t low = 0, high = range->n_leaves;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (range->numbers[middle] < range->first / PKSM_LEAF)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* What is asked must be in order, or the walk would pass it by. */
static int range_is_sound(const pksm_ksm_range *range)
{
    int64_t before = range->first - 1;

    if (range->first < 0 || range->end < range->first)
        return PKSM_EINVAL;
    for (size_t i = 0; i < range->n; i++) {
        if (range->pages[i] <= before || range->pages[i] >= range->end)
            return PKSM_EINVAL;
        before = range->pages[i];
        if (range->frames[i] >= range->n_frames)
            return PKSM_EPAGE;
    }
    return PKSM_OK;
}

static int leaf_is_sound(const pksm_ksm_places *places, const pksm_ksm_range *range, size_t leaf)
{
    int64_t number = range->numbers[leaf], row = range->rows[leaf];

    return number >= 0 && number < INT64_MAX / PKSM_LEAF && row >= 0 && (uint64_t)row < places->n_rows &&
           (!leaf || number > range->numbers[leaf - 1]);
}

/* The items of one leaf, and pages without one. Without met->ids they are counted; with it the next of `fresh` are put
 * where there is none, and all learn their page. */
static int walk_leaf(pksm_table *table, walk *w, size_t leaf, const uint32_t *fresh, pksm_ksm_met *met)
{
    const pksm_ksm_range *range = w->range;
    uint32_t *places = w->places->leaves + (size_t)range->rows[leaf] * PKSM_LEAF;
    int64_t start = range->numbers[leaf] * PKSM_LEAF, at = start > range->first ? start : range->first;
    int64_t end = start + PKSM_LEAF < range->end ? start + PKSM_LEAF : range->end;

    for (; at < end; at++) {
        int is_mapped = w->mapped < range->n && range->pages[w->mapped] == at;
        uint32_t *place = &places[at - start], is_fresh = !*place;

        if (is_fresh && !is_mapped)
            continue;
        if (*place >= table->n_nodes)
            return PKSM_EITEM;
        if (met->ids) {
            if (is_fresh) {
                *place = fresh[met->n_fresh];
                w->places->mm[*place] = range->mm;
                w->places->virtual_page[*place] = at;
            }
            if (is_mapped)
                table->nodes[*place].page = range->frames[w->mapped];
            met->ids[met->n] = *place;
            met->mapped[met->n] = (uint8_t)is_mapped;
            met->fresh[met->n] = (uint8_t)is_fresh;
        }
        met->n++;
        met->n_fresh += is_fresh;
        w->mapped += (size_t)is_mapped;
    }
    return PKSM_OK;
}

static int walk_leaves(pksm_table *table, const pksm_ksm_places *places, const pksm_ksm_range *range,
                       const uint32_t *fresh, pksm_ksm_met *met)
{
    walk w = {.places = places, .range = range};
    int status = PKSM_OK;

    met->n = met->n_fresh = 0;
    for (size_t leaf = first_leaf(range); status == PKSM_OK && leaf < range->n_leaves; leaf++) {
        int64_t start;

        if (!leaf_is_sound(places, range, leaf))
            return PKSM_EINVAL;
        start = range->numbers[leaf] * PKSM_LEAF;
        if (start >= range->end || (w.mapped < range->n && range->pages[w.mapped] < start))
            break; /* past the range, or past a page without a leaf */
        status = walk_leaf(table, &w, leaf, fresh, met);
    }
    met->without_leaf = range->n - w.mapped;
    return status;
}

EXPORT int pksm_ksm_meet(pksm_table *table, const pksm_ksm_places *places, const pksm_ksm_range *range,
                         const uint32_t *fresh, size_t n_fresh, size_t room, pksm_ksm_met *met)
{
    pksm_ksm_met counted = {0};
    int status = pksm_check_items(NULL, table, fresh, n_fresh);

    if (status == PKSM_OK)
        status = range_is_sound(range);
    if (status == PKSM_OK)
        status = walk_leaves(table, places, range, NULL, &counted);
    if (status != PKSM_OK)
        return status;
    met->n = counted.n;
    met->n_fresh = counted.n_fresh;
    met->without_leaf = counted.without_leaf;
    met->done = !met->without_leaf && met->n <= room && met->n_fresh == n_fresh;
    return met->done ? walk_leaves(table, places, range, fresh, met) : PKSM_OK;
}
