/* uksm.c: UKSM's visits to the pages of vma slots, in the order of their permutations. */
#include "uksm.h"

enum { SWAPS_AHEAD = 16 }; /* ahead of the one that is made */

static uint64_t one_sum(const uksm_scan *s, uint32_t page)
{
    uint64_t sum = s->rules->checksum.sum(page_bytes(s->store, page), s->store->page_size, s->rules->checksum.state);

    return salted(s->store, page, sum, s->rules->zero_checksum);
}

static uint32_t full_sum(const uksm_scan *s, uint32_t page)
{
    uint32_t sum = (uint32_t)s->rules->full.sum(page_bytes(s->store, page), s->store->page_size, s->rules->full.state);

    s->work->full_sums++;
    s->work->negative += s->rules->most_words - s->rules->words;
    return sum ? sum : 1;
}

/* 1 if the bytes of two pages are the same. */
static int same_bytes(const uksm_scan *s, uint32_t page, uint32_t other)
{
    size_t common;

    s->work->compares++;
    return !salt_order(s->store, page, other) &&
           !pksm_kernels.compare(page_bytes(s->store, page), page_bytes(s->store, other), s->store->page_size, 0,
                                 &common);
}

static int is_busy_page(const uksm_scan *s, uint32_t page)
{
    return s->classes && (s->classes[page] & (PKSM_MLOCKED - 1)) == PKSM_BUSY_PAGE;
}

/* The first of a node, if there is one, gets its full hash. */
static void tell_apart(const uksm_scan *s, pksm_uksm_tree *tree, uint32_t node, uint32_t sum)
{
    uint32_t id = pksm_uksm_paged(s, s->uksm->first[node]);

    if (!id)
        return;
    s->uksm->full[id] = full_sum(s, s->table->nodes[id].page);
    pksm_uksm_first_by_full(s, tree, node, sum);
}

/* Looks in the stable tree. 0: go on with the unstable one. *full: the page's full hash, 0 while not known. */
static int visit_stable(const uksm_scan *s, uint32_t id, uint32_t sum, uint32_t *full)
{
    pksm_node *nodes = s->table->nodes;
    uint32_t node = pksm_uksm_living_node(s, sum), kept;

    if (!node)
        return 0;
    kept = s->uksm->first[node];
    if (!kept) {
        *full = full_sum(s, nodes[id].page);
        kept = pksm_uksm_living_item(s, sum, *full);
    }
    kept = pksm_uksm_paged(s, kept);
    if (!kept)
        return 0;
    if (!same_bytes(s, nodes[id].page, nodes[kept].page)) {
        s->work->negative += s->rules->compare_cost;
        return *full ? PKSM_UKSM_COLLISION : 0;
    }
    if (is_busy_page(s, nodes[id].page))
        return 0;
    pksm_uksm_hang(s, id, kept);
    return PKSM_UKSM_KEPT;
}

static void into_unstable(const uksm_scan *s, uint32_t id, uint32_t sum, uint32_t full)
{
    pksm_uksm_enter(s, &s->uksm->unstable, id, sum, full);
    s->table->nodes[id].flags |= PKSM_UNSTABLE;
    s->work->unshared++;
}

/* The page of an item becomes the kept one, and that of another item is merged into it. */
static int keep(const uksm_scan *s, uint32_t id, uint32_t other, uint32_t sum, uint32_t full)
{
    pksm_node *nodes = s->table->nodes;
    uint32_t kept, node;

    pksm_uksm_leave(s, other);
    if (is_busy_page(s, nodes[id].page) || is_busy_page(s, nodes[other].page))
        return PKSM_UKSM_BUSY;
    node = pksm_uksm_living_node(s, sum);
    if (node) { /* what reads bytes, which may be gone, comes before the stable node */
        tell_apart(s, &s->uksm->stable, node, sum);
        full = full ? full : full_sum(s, nodes[id].page);
        pksm_uksm_living_item(s, sum, full);
        node = pksm_uksm_living_node(s, sum);
    }
    kept = pksm_uksm_spare(s);
    if (!kept)
        return PKSM_UKSM_BUSY;
    nodes[kept].page = nodes[id].page;
    nodes[kept].flags = PKSM_STABLE;
    s->uksm->kept_of_page[nodes[kept].page] = kept;
    pksm_uksm_enter(s, &s->uksm->stable, kept, sum, node ? full : 0);
    pksm_uksm_hang(s, id, kept);
    pksm_uksm_hang(s, other, kept);
    return PKSM_UKSM_PAIR;
}

static int visit_unstable(const uksm_scan *s, uint32_t id, uint32_t sum, uint32_t full, uint32_t *other)
{
    pksm_node *nodes = s->table->nodes, *item = &nodes[id];
    uint32_t node = pksm_uksm_find(s, &s->uksm->unstable.nodes, pksm_uksm_key(sum, 0)), met;

    if (!node) {
        into_unstable(s, id, sum, 0);
        return PKSM_UKSM_NEW_NODE;
    }
    met = s->rules->counts_first ? pksm_uksm_paged(s, s->uksm->first[node]) : 0;
    if (met) {
        if (!(nodes[met].flags & PKSM_DELLIST) && nodes[met].page != item->page &&
            same_bytes(s, item->page, nodes[met].page)) {
            *other = met;
            return keep(s, id, met, sum, full);
        }
        s->work->negative += s->rules->compare_cost;
        tell_apart(s, &s->uksm->unstable, node, sum);
    }
    if (!full)
        full = full_sum(s, item->page);
    met = pksm_uksm_paged(s, pksm_uksm_find(s, &s->uksm->unstable.items, pksm_uksm_key(sum, full)));
    if (!met) {
        into_unstable(s, id, sum, full);
        return PKSM_UKSM_BESIDE;
    }
    *other = met;
    if (nodes[met].flags & PKSM_DELLIST) {
        pksm_uksm_leave(s, met);
        return PKSM_UKSM_STALE;
    }
    if (nodes[met].page == item->page)
        return PKSM_UKSM_SAME;
    if (!same_bytes(s, item->page, nodes[met].page)) {
        pksm_uksm_leave(s, met);
        return PKSM_UKSM_CHANGED;
    }
    return keep(s, id, met, sum, full);
}

/* 1 if an item may stay where it waits: it alone has this hash, and nothing stable has it. */
static int waits_alone(const uksm_scan *s, uint32_t id, uint64_t key)
{
    uint32_t node = s->table->nodes[id].flags & PKSM_UNSTABLE ? pksm_uksm_item(s, s->uksm->node[id]) : 0;

    return node && s->uksm->count[node] == 1 && s->table->nodes[node].checksum == key &&
           !pksm_uksm_find(s, &s->uksm->stable.nodes, key);
}

/* sum_ahead: null if it has not been made. */
static int visit_page(const uksm_scan *s, uint64_t entry, uint32_t page, const uint64_t *sum_ahead, int own,
                      uint32_t *other)
{
    uint32_t id = pksm_uksm_item(s, s->uksm->item_at[entry]), kept = pksm_uksm_kept_by(s, id, page), full = 0, sum;
    pksm_node *item = &s->table->nodes[id];
    uint64_t zero = pksm_uksm_key((uint32_t)s->rules->zero_checksum, 0);
    int out;

    s->work->hashed++;
    s->work->positive += s->rules->positive;
    if (kept) {
        if (s->table->nodes[pksm_uksm_item(s, s->uksm->node[kept])].checksum == zero)
            s->work->negative += s->rules->compare_cost / 2;
        return PKSM_UKSM_MERGED;
    }
    sum = (uint32_t)(sum_ahead ? *sum_ahead : one_sum(s, page));
    if (sum == (uint32_t)s->rules->zero_checksum && !s->uksm->kept_of_page[page]) {
        if (pksm_kernels.is_zero(page_bytes(s->store, page), s->store->page_size) && !is_busy_page(s, page)) {
            if (id)
                pksm_uksm_free(s, id);
            s->uksm->item_at[entry] = 0;
            return PKSM_UKSM_ZEROED;
        }
        s->work->negative += s->rules->compare_cost / 2;
    }
    if (s->rules->zero_only)
        return PKSM_UKSM_LEFT;
    if (!id) {
        id = s->uksm->item_at[entry] = pksm_uksm_spare(s);
        item = &s->table->nodes[id];
    }
    kept = pksm_uksm_item(s, s->uksm->kept_of_page[page]);
    s->uksm->slot[id] = s->work->slot;
    s->uksm->index[id] = s->uksm->permutation[entry];
    if (!kept && waits_alone(s, id, pksm_uksm_key(sum, 0))) {
        pksm_uksm_stay(s, &s->uksm->unstable, id, sum);
        item->page = page;
        item->flags = (uint16_t)(PKSM_UNSTABLE | (own ? 0 : PKSM_DELLIST));
        return PKSM_UKSM_NEW_NODE;
    }
    pksm_uksm_leave(s, id);
    item->page = page;
    item->flags = own ? 0 : PKSM_DELLIST;
    if (kept) {
        pksm_uksm_hang(s, id, kept);
        return PKSM_UKSM_SAME_KEPT;
    }
    out = visit_stable(s, id, sum, &full);
    return out ? out : visit_unstable(s, id, sum, full, other);
}

static int visit_nothing(const uksm_scan *s, uint64_t entry, uint32_t page)
{
    uint32_t id = pksm_uksm_item(s, s->uksm->item_at[entry]);

    if (id)
        pksm_uksm_free(s, id);
    s->uksm->item_at[entry] = 0;
    return page == UINT32_MAX ? PKSM_UKSM_ZERO_PTE : PKSM_UKSM_ABSENT;
}

NOINLINE int pksm_uksm_visit_all(const uksm_scan *s, uint64_t first, const uint32_t *pages, const uint8_t *own,
                                 size_t n, uint8_t *outs, uint32_t *others)
{
    for (size_t start = 0; start < n; start += UKSM_WINDOW) {
        uksm_window w = {first + start, pages + start, n - start < UKSM_WINDOW ? n - start : UKSM_WINDOW, 0, {0}, {0}};
        size_t next = 0;

        pksm_uksm_look_ahead(s, &w);
        for (size_t k = 0; k < w.n; k++) {
            size_t i = start + k;
            const uint64_t *sum = next < w.n_sums && w.of_sum[next] == k ? &w.sums[next++] : NULL;

            others[i] = 0;
            outs[i] = (uint8_t)(pages[i] >= s->store->n_pages
                                    ? visit_nothing(s, first + i, pages[i])
                                    : visit_page(s, first + i, pages[i], sum, own[i], &others[i]));
            if (*s->status != PKSM_OK)
                return *s->status;
            s->work->done++;
        }
    }
    return PKSM_OK;
}

/* PKSM_OK if everything is there, and as long as the item table. */
static int check_uksm(const pksm_table *table, const pksm_uksm *uksm, const pksm_uksm_work *work)
{
    const pksm_uksm_tree *trees[2] = {&uksm->unstable, &uksm->stable};
    int status = pksm_check_items(NULL, table, NULL, 0);

    if (status != PKSM_OK)
        return status;
    for (int i = 0; i < 2; i++)
        if (pksm_buckets_check(&trees[i]->nodes, table) || pksm_buckets_check(&trees[i]->items, table))
            return PKSM_EINVAL;
    if (!uksm->permutation || !uksm->item_at || !uksm->slot || !uksm->index || !uksm->full || !uksm->node ||
        !uksm->first || !uksm->count || !uksm->freed || uksm->n_ids < table->n_nodes ||
        (uksm->n_pages && !uksm->kept_of_page) || (uksm->n_room && !uksm->spare) || work->n_spare > uksm->n_room)
        return PKSM_EINVAL;
    return PKSM_OK;
}

int pksm_uksm_may_visit(const pksm_store *store, const pksm_table *table, const pksm_uksm *uksm,
                        const pksm_uksm_rules *rules, uint64_t first, size_t n, const pksm_uksm_work *work)
{
    int status = pksm_check_pages(store, NULL, 0);

    if (status == PKSM_OK)
        status = check_uksm(table, uksm, work);
    if (status == PKSM_OK && (first > uksm->n_entries || n > uksm->n_entries - first || work->n_spare / 4 < n ||
                              store->n_pages > uksm->n_pages || !rules->checksum.sum || !rules->full.sum))
        status = PKSM_EINVAL;
    for (size_t i = 0; status == PKSM_OK && i < n; i++)
        if (uksm->item_at[first + i] >= table->n_nodes)
            status = PKSM_EITEM;
    return status;
}

EXPORT int pksm_uksm_visit(const pksm_store *store, pksm_table *table, pksm_uksm *uksm, const pksm_uksm_rules *rules,
                           const uint8_t *classes, uint64_t first, const uint32_t *pages, const uint8_t *own, size_t n,
                           uint8_t *outs, uint32_t *others, pksm_uksm_work *work)
{
    int now = PKSM_OK, status = pksm_uksm_may_visit(store, table, uksm, rules, first, n, work);
    uksm_scan s = {store, table, uksm, rules, classes, work, &now};

    work->done = 0;
    if (status == PKSM_OK)
        READING(status, pksm_uksm_visit_all(&s, first, pages, own, n, outs, others));
    return status;
}

EXPORT int pksm_uksm_drop(pksm_table *table, pksm_uksm *uksm, const uint32_t *ids, size_t n, int for_good,
                          pksm_uksm_work *work)
{
    int status = check_uksm(table, uksm, work);
    uksm_scan s = {NULL, table, uksm, NULL, NULL, work, &status};

    if (status == PKSM_OK)
        status = pksm_check_items(NULL, table, ids, n);
    for (size_t i = 0; status == PKSM_OK && i < n; i++) {
        if (for_good)
            pksm_uksm_free(&s, ids[i]);
        else
            pksm_uksm_leave(&s, ids[i]);
    }
    return status;
}

EXPORT int pksm_uksm_bury(pksm_table *table, pksm_uksm *uksm, const uint32_t *pages, size_t n, pksm_uksm_work *work)
{
    int status = check_uksm(table, uksm, work);
    uksm_scan s = {NULL, table, uksm, NULL, NULL, work, &status};

    for (size_t i = 0; status == PKSM_OK && i < n; i++)
        if (pages[i] < uksm->n_pages && uksm->kept_of_page[pages[i]])
            pksm_uksm_bury_kept(&s, pksm_uksm_item(&s, uksm->kept_of_page[pages[i]]));
    return status;
}

EXPORT int pksm_uksm_sort_in(pksm_table *table, pksm_uksm *uksm, const uint32_t *ids, const uint64_t *sums,
                             const uint64_t *fulls, size_t n, pksm_uksm_work *work)
{
    int status = check_uksm(table, uksm, work);
    uksm_scan s = {NULL, table, uksm, NULL, NULL, work, &status};

    if (status == PKSM_OK)
        status = pksm_check_items(NULL, table, ids, n);
    if (status == PKSM_OK && work->n_spare < n)
        status = PKSM_EINVAL;
    for (size_t i = 0; status == PKSM_OK && i < n; i++) {
        uint32_t sum = (uint32_t)sums[i], full = (uint32_t)fulls[i] ? (uint32_t)fulls[i] : 1;
        uint32_t node = pksm_uksm_find(&s, &uksm->stable.nodes, pksm_uksm_key(sum, 0));

        if (node && uksm->first[node])
            pksm_uksm_first_by_full(&s, &uksm->stable, node, sum);
        pksm_uksm_enter(&s, &uksm->stable, ids[i], sum, node ? full : 0);
        uksm->full[ids[i]] = full;
    }
    return status;
}

EXPORT int pksm_uksm_empty(pksm_table *table, pksm_uksm *uksm, pksm_uksm_work *work)
{
    int status = check_uksm(table, uksm, work);
    uksm_scan s = {NULL, table, uksm, NULL, NULL, work, &status};

    if (status == PKSM_OK)
        pksm_uksm_clear(&s, &uksm->unstable);
    if (status == PKSM_OK)
        pksm_uksm_clear(&s, &uksm->stable);
    return status;
}

static void swap_entries(pksm_uksm *uksm, uint64_t a, uint64_t b)
{
    uint32_t page = uksm->permutation[a], item = uksm->item_at[a];

    uksm->permutation[a] = uksm->permutation[b];
    uksm->item_at[a] = uksm->item_at[b];
    uksm->permutation[b] = page;
    uksm->item_at[b] = item;
}

static int check_partners(const pksm_uksm *uksm, uint64_t base, uint64_t first, const uint64_t *partners, size_t n,
                          uint64_t end)
{
    if (base > first || first > end || n > end - first || end > uksm->n_entries || !uksm->permutation || !uksm->item_at)
        return PKSM_EINVAL;
    for (size_t i = 0; i < n; i++)
        if (partners[i] < first + i || partners[i] >= end)
            return PKSM_EINVAL;
    return PKSM_OK;
}

EXPORT int pksm_uksm_shuffle(pksm_uksm *uksm, uint64_t base, uint64_t first, const uint64_t *partners, size_t n,
                             uint64_t end)
{
    int status = check_partners(uksm, base, first, partners, n, end);

    for (size_t i = 0; status == PKSM_OK && i < n; i++) {
        if (i + SWAPS_AHEAD < n) {
            __builtin_prefetch(&uksm->permutation[partners[i + SWAPS_AHEAD]], 1);
            __builtin_prefetch(&uksm->item_at[partners[i + SWAPS_AHEAD]], 1);
        }
        swap_entries(uksm, first + i, partners[i]);
    }
    return status;
}

EXPORT int pksm_uksm_unshuffle(pksm_uksm *uksm, uint64_t base, uint64_t first, const uint64_t *partners, size_t n,
                               uint64_t end)
{
    int status = check_partners(uksm, base, first, partners, n, end);

    while (status == PKSM_OK && n--)
        swap_entries(uksm, first + n, partners[n]);
    return status;
}
