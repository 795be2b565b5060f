/* uksm.c: UKSM's visits to the pages of vma slots, in the order of their permutations.
 *
 * Stable nodes are items from the spare ids; an item that is merged hangs on one (link). The trees by hash with their
 * sub-trees by full hash are buckets here: what stands beside each other in one node has one checksum. */
#include "buckets.h"

typedef struct {
    const pksm_store *store;
    pksm_table *table;
    pksm_uksm *uksm;
    const pksm_uksm_rules *rules;
    const uint8_t *classes;
    pksm_uksm_work *work;
} uksm_scan;

static uint32_t uksm_spare(const uksm_scan *s)
{
    uint32_t id = s->uksm->spare[--s->work->n_spare];

    s->table->nodes[id] = (pksm_node){0};
    s->uksm->full[id] = s->uksm->count[id] = s->uksm->first[id] = s->uksm->node[id] = 0;
    return id;
}

static uint64_t key_of(uint32_t sum, uint32_t full)
{
    uint64_t x = (uint64_t)sum << 32 | full;

    x = (x ^ x >> 31) * 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9u;
    return x ^ x >> 32;
}

static uint32_t find_key(const uksm_scan *s, const pksm_buckets *buckets, uint64_t key)
{
    uint32_t id = *pksm_bucket_of(buckets, key);

    while (id && s->table->nodes[id].checksum != key)
        id = buckets->next[id];
    return id;
}

static void blank(const uksm_scan *s, uint32_t id)
{
    s->table->nodes[id] = (pksm_node){0};
    s->uksm->freed[s->work->n_freed++] = id;
}

/* Puts id into the tree: in the node of its hash, as its first (full 0), or by its full hash. */
static void enter(const uksm_scan *s, pksm_uksm_tree *tree, uint32_t id, uint32_t sum, uint32_t full)
{
    pksm_node *nodes = s->table->nodes;
    uint32_t node = find_key(s, &tree->nodes, key_of(sum, 0));

    if (!node) {
        node = uksm_spare(s);
        nodes[node].checksum = key_of(sum, 0);
        pksm_buckets_insert(&tree->nodes, nodes, node);
    }
    s->uksm->count[node]++;
    s->uksm->node[id] = node;
    s->uksm->full[id] = full;
    nodes[id].checksum = key_of(sum, full);
    if (full)
        pksm_buckets_insert(&tree->items, nodes, id);
    else
        s->uksm->first[node] = id;
}

static void leave_tree(const uksm_scan *s, pksm_uksm_tree *tree, uint32_t id)
{
    pksm_node *nodes = s->table->nodes;
    uint32_t node = s->uksm->node[id];

    if (s->uksm->first[node] == id)
        s->uksm->first[node] = 0;
    else
        pksm_buckets_erase(&tree->items, nodes, id);
    s->uksm->node[id] = 0;
    if (--s->uksm->count[node])
        return;
    pksm_buckets_erase(&tree->nodes, nodes, node);
    blank(s, node);
}

/* A stable node whose page is gone, or that nothing hangs on, is no longer found. */
static void leave_stable(const uksm_scan *s, uint32_t kept)
{
    if (!(s->table->nodes[kept].flags & PKSM_STABLE))
        return;
    leave_tree(s, &s->uksm->stable, kept);
    s->uksm->kept_of_page[s->table->nodes[kept].page] = 0;
    s->table->nodes[kept].flags &= (uint16_t)~PKSM_STABLE;
}

/* Takes an item out of the tree or off its stable node, which goes with its last item. */
static void uksm_leave(const uksm_scan *s, uint32_t id)
{
    pksm_node *item = &s->table->nodes[id];
    uint32_t kept = item->link;

    if (item->flags & PKSM_UNSTABLE)
        leave_tree(s, &s->uksm->unstable, id);
    if (item->flags & (PKSM_UNSTABLE | PKSM_PASSED))
        s->work->unshared--;
    item->flags &= (uint16_t)~(PKSM_UNSTABLE | PKSM_PASSED);
    if (!kept)
        return;
    item->link = 0;
    s->work->sharing--;
    if (--s->uksm->count[kept])
        return;
    s->work->sharing++;
    s->work->shared--;
    leave_stable(s, kept);
    blank(s, kept);
}

static void uksm_hang(const uksm_scan *s, uint32_t id, uint32_t kept)
{
    s->table->nodes[id].link = kept;
    if (s->uksm->count[kept]++)
        s->work->sharing++;
    else
        s->work->shared++;
}

static void uksm_free(const uksm_scan *s, uint32_t id)
{
    uksm_leave(s, id);
    blank(s, id);
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
    int differ = pksm_kernels.compare(page_bytes(s->store, page), page_bytes(s->store, other), s->store->page_size, 0,
                                      &common);

    s->work->compares++;
    return !differ;
}

static int is_busy_page(const uksm_scan *s, uint32_t page)
{
    return s->classes && (s->classes[page] & (PKSM_MLOCKED - 1)) == PKSM_BUSY_PAGE;
}

/* The first of a node stands among the others, by its full hash. */
static void first_by_full(const uksm_scan *s, pksm_uksm_tree *tree, uint32_t node, uint32_t sum)
{
    uint32_t id = s->uksm->first[node];

    s->uksm->first[node] = 0;
    s->table->nodes[id].checksum = key_of(sum, s->uksm->full[id]);
    pksm_buckets_insert(&tree->items, s->table->nodes, id);
}

/* The first of a node, if there is one, gets its full hash. */
static void tell_apart(const uksm_scan *s, pksm_uksm_tree *tree, uint32_t node, uint32_t sum)
{
    uint32_t id = s->uksm->first[node];

    if (!id)
        return;
    s->uksm->full[id] = full_sum(s, s->table->nodes[id].page);
    first_by_full(s, tree, node, sum);
}

/* Looks in the stable tree. 0: go on with the unstable one. *full: the page's full hash, 0 while not known. */
static int visit_stable(const uksm_scan *s, uint32_t id, uint32_t sum, uint32_t *full)
{
    pksm_node *nodes = s->table->nodes;
    uint32_t node = find_key(s, &s->uksm->stable.nodes, key_of(sum, 0)), kept;

    if (!node)
        return 0;
    kept = s->uksm->first[node];
    if (!kept) {
        *full = full_sum(s, nodes[id].page);
        kept = find_key(s, &s->uksm->stable.items, key_of(sum, *full));
    }
    if (!kept)
        return 0;
    if (!same_bytes(s, nodes[id].page, nodes[kept].page)) {
        s->work->negative += s->rules->compare_cost;
        return *full ? PKSM_UKSM_COLLISION : 0;
    }
    if (is_busy_page(s, nodes[id].page))
        return PKSM_UKSM_BUSY;
    uksm_hang(s, id, kept);
    return PKSM_UKSM_KEPT;
}

static void into_unstable(const uksm_scan *s, uint32_t id, uint32_t sum, uint32_t full)
{
    enter(s, &s->uksm->unstable, id, sum, full);
    s->table->nodes[id].flags |= PKSM_UNSTABLE;
    s->work->unshared++;
}

/* The page of an item becomes the kept one, and that of another item is merged into it. */
static int keep(const uksm_scan *s, uint32_t id, uint32_t other, uint32_t sum, uint32_t full)
{
    pksm_node *nodes = s->table->nodes;
    uint32_t kept, node;

    uksm_leave(s, other);
    if (is_busy_page(s, nodes[id].page) || is_busy_page(s, nodes[other].page))
        return PKSM_UKSM_BUSY;
    kept = uksm_spare(s);
    nodes[kept].page = nodes[id].page;
    nodes[kept].flags = PKSM_STABLE;
    s->uksm->kept_of_page[nodes[kept].page] = kept;
    node = find_key(s, &s->uksm->stable.nodes, key_of(sum, 0));
    if (node) {
        tell_apart(s, &s->uksm->stable, node, sum);
        full = full ? full : full_sum(s, nodes[kept].page);
    }
    enter(s, &s->uksm->stable, kept, sum, node ? full : 0);
    uksm_hang(s, id, kept);
    uksm_hang(s, other, kept);
    return PKSM_UKSM_PAIR;
}

static int visit_unstable(const uksm_scan *s, uint32_t id, uint32_t sum, uint32_t full, uint32_t *other)
{
    pksm_node *nodes = s->table->nodes, *item = &nodes[id];
    uint32_t node = find_key(s, &s->uksm->unstable.nodes, key_of(sum, 0)), met;

    if (!node) {
        into_unstable(s, id, sum, 0);
        return PKSM_UKSM_NEW_NODE;
    }
    met = s->uksm->first[node];
    if (s->rules->counts_first && met) {
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
    met = find_key(s, &s->uksm->unstable.items, key_of(sum, full));
    if (!met) {
        into_unstable(s, id, sum, full);
        return PKSM_UKSM_BESIDE;
    }
    *other = met;
    if (nodes[met].flags & PKSM_DELLIST) {
        uksm_leave(s, met);
        return PKSM_UKSM_STALE;
    }
    if (nodes[met].page == item->page)
        return PKSM_UKSM_SAME;
    if (!same_bytes(s, item->page, nodes[met].page)) {
        uksm_leave(s, met);
        return PKSM_UKSM_CHANGED;
    }
    return keep(s, id, met, sum, full);
}

static int visit_page(const uksm_scan *s, uint64_t entry, uint32_t page, uint64_t sum, int own, uint32_t *other)
{
    uint32_t id = s->uksm->item_at[entry], kept, full = 0;
    pksm_node *item = &s->table->nodes[id];
    int out;

    /* merged in this call, it has the page of before still */
    if (id && item->link && item->page == page && (s->table->nodes[item->link].flags & PKSM_STABLE))
        return PKSM_UKSM_MERGED;
    s->work->hashed++;
    s->work->positive += s->rules->positive;
    if (sum == s->rules->zero_checksum && !s->uksm->kept_of_page[page]) {
        if (pksm_kernels.is_zero(page_bytes(s->store, page), s->store->page_size) && !is_busy_page(s, page)) {
            if (id)
                uksm_free(s, id);
            s->uksm->item_at[entry] = 0;
            return PKSM_UKSM_ZEROED;
        }
        s->work->negative += s->rules->compare_cost / 2;
    }
    if (!id) {
        id = s->uksm->item_at[entry] = uksm_spare(s);
        item = &s->table->nodes[id];
    }
    uksm_leave(s, id);
    s->uksm->slot[id] = s->work->slot;
    s->uksm->index[id] = s->uksm->permutation[entry];
    item->page = page;
    item->flags = own ? 0 : PKSM_DELLIST;
    kept = s->uksm->kept_of_page[page];
    if (kept) {
        uksm_hang(s, id, kept);
        return PKSM_UKSM_SAME_KEPT;
    }
    out = visit_stable(s, id, (uint32_t)sum, &full);
    return out ? out : visit_unstable(s, id, (uint32_t)sum, full, other);
}

static NOINLINE int uksm_visit_all(const uksm_scan *s, uint64_t first, const uint32_t *pages, const uint8_t *own,
                                   size_t n, uint8_t *outs, uint32_t *others)
{
    uint32_t some[64], which[64];
    uint64_t sums[64];
    uint8_t zero[64];

    for (size_t start = 0; start < n; start += 64) {
        size_t part = n - start < 64 ? n - start : 64, summed = 0, next = 0;

        for (size_t k = 0; k < part; k++)
            if (pages[start + k] < s->store->n_pages) {
                uint32_t id = s->uksm->item_at[first + start + k];
                const pksm_node *item = &s->table->nodes[id];

                if (id && item->link && item->page == pages[start + k])
                    continue;
                which[summed] = (uint32_t)k;
                some[summed++] = pages[start + k];
            }
        pksm_sum_pages(s->store, &s->rules->checksum, some, summed, sums, zero);
        for (size_t k = 0; k < part; k++) {
            size_t i = start + k;
            uint64_t sum = 0;

            others[i] = 0;
            if (pages[i] >= s->store->n_pages) {
                uint32_t id = s->uksm->item_at[first + i];

                if (id)
                    uksm_free(s, id);
                s->uksm->item_at[first + i] = 0;
                outs[i] = pages[i] == UINT32_MAX ? PKSM_UKSM_ZERO_PTE : PKSM_UKSM_ABSENT;
                s->work->done++;
                continue;
            }
            if (next < summed && which[next] == k)
                sum = sums[next++];
            else
                sum = s->rules->checksum.sum(page_bytes(s->store, pages[i]), s->store->page_size,
                                             s->rules->checksum.state);
            outs[i] = (uint8_t)visit_page(s, first + i, pages[i], sum, own[i], &others[i]);
            s->work->done++;
        }
    }
    return PKSM_OK;
}

EXPORT int pksm_uksm_visit(const pksm_store *store, pksm_table *table, pksm_uksm *uksm, const pksm_uksm_rules *rules,
                           const uint8_t *classes, uint64_t first, const uint32_t *pages, const uint8_t *own, size_t n,
                           uint8_t *outs, uint32_t *others, pksm_uksm_work *work)
{
    uksm_scan s = {store, table, uksm, rules, classes, work};
    int status = pksm_check_pages(store, NULL, 0);

    work->done = 0;
    if (status == PKSM_OK &&
        (first + n > uksm->n_entries || work->n_spare < 4 * n || !rules->checksum.sum || !rules->full.sum ||
         pksm_buckets_check_size(&uksm->stable.nodes) || pksm_buckets_check_size(&uksm->unstable.nodes) ||
         pksm_buckets_check_size(&uksm->stable.items) || pksm_buckets_check_size(&uksm->unstable.items)))
        status = PKSM_EINVAL;
    for (size_t i = 0; status == PKSM_OK && i < n; i++)
        if (uksm->item_at[first + i] >= table->n_nodes)
            status = PKSM_EITEM;
    if (status == PKSM_OK)
        READING(status, uksm_visit_all(&s, first, pages, own, n, outs, others));
    return status;
}

EXPORT int pksm_uksm_drop(pksm_table *table, pksm_uksm *uksm, const uint32_t *ids, size_t n, int for_good,
                          pksm_uksm_work *work)
{
    uksm_scan s = {NULL, table, uksm, NULL, NULL, work};
    int status = pksm_check_items(NULL, table, ids, n);

    for (size_t i = 0; status == PKSM_OK && i < n; i++) {
        if (for_good)
            uksm_free(&s, ids[i]);
        else
            uksm_leave(&s, ids[i]);
    }
    return status;
}

EXPORT int pksm_uksm_bury(pksm_table *table, pksm_uksm *uksm, const uint32_t *pages, size_t n, uint64_t n_pages,
                          pksm_uksm_work *work)
{
    uksm_scan s = {NULL, table, uksm, NULL, NULL, work};

    for (size_t i = 0; i < n; i++)
        if (pages[i] < n_pages && uksm->kept_of_page[pages[i]])
            leave_stable(&s, uksm->kept_of_page[pages[i]]);
    return PKSM_OK;
}

EXPORT int pksm_uksm_sort_in(pksm_table *table, pksm_uksm *uksm, const uint32_t *ids, const uint64_t *sums,
                             const uint64_t *fulls, size_t n, pksm_uksm_work *work)
{
    uksm_scan s = {NULL, table, uksm, NULL, NULL, work};
    int status = pksm_check_items(NULL, table, ids, n);

    if (status == PKSM_OK && work->n_spare < n)
        status = PKSM_EINVAL;
    for (size_t i = 0; status == PKSM_OK && i < n; i++) {
        uint32_t sum = (uint32_t)sums[i], full = (uint32_t)fulls[i] ? (uint32_t)fulls[i] : 1;
        uint32_t node = find_key(&s, &uksm->stable.nodes, key_of(sum, 0));

        if (node && uksm->first[node])
            first_by_full(&s, &uksm->stable, node, sum);
        enter(&s, &uksm->stable, ids[i], sum, node ? full : 0);
        uksm->full[ids[i]] = full;
    }
    return status;
}

EXPORT int pksm_uksm_shuffle(pksm_uksm *uksm, uint64_t base, uint64_t first, const uint64_t *partners, size_t n,
                             uint64_t end)
{
    if (base > first || first + n > end || end > uksm->n_entries)
        return PKSM_EINVAL;
    for (size_t i = 0; i < n; i++)
        if (partners[i] < first + i || partners[i] >= end)
            return PKSM_EINVAL;
    for (size_t i = 0; i < n; i++) {
        uint64_t a = first + i, b = partners[i];
        uint32_t page = uksm->permutation[a], item = uksm->item_at[a];

        uksm->permutation[a] = uksm->permutation[b];
        uksm->item_at[a] = uksm->item_at[b];
        uksm->permutation[b] = page;
        uksm->item_at[b] = item;
    }
    return PKSM_OK;
}
