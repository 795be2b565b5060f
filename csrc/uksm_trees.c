/* uksm_trees.c: UKSM's trees by hash with their sub-trees by full hash, as buckets: what stands beside each other in
 * one node has one checksum. And its stable nodes: items from the spare ids, on which merged items hang (link).
 *
 * Nothing here trusts a link: what leads to no item, or in a circle, sets the scan's status. */
#include "uksm.h"

enum { SPARE_AHEAD = 8 }; /* ids ahead of the one that is taken */

uint32_t pksm_uksm_item(const uksm_scan *s, uint32_t id)
{
    if (id < s->table->n_nodes)
        return id;
    *s->status = PKSM_ETREE;
    return 0;
}

uint32_t pksm_uksm_paged(const uksm_scan *s, uint32_t id)
{
    id = pksm_uksm_item(s, id);
    if (s->table->nodes[id].page < (s->store ? s->store->n_pages : s->uksm->n_pages))
        return id;
    *s->status = PKSM_ETREE;
    return 0;
}

static void put(const uksm_scan *s, pksm_buckets *buckets, uint32_t id)
{
    if (pksm_buckets_insert(buckets, s->table, id) != PKSM_OK)
        *s->status = PKSM_ETREE;
}

static void take_out(const uksm_scan *s, pksm_buckets *buckets, uint32_t id)
{
    if (pksm_buckets_erase(buckets, s->table, id) != PKSM_OK)
        *s->status = PKSM_ETREE;
}

static INLINE void fetch_spare(const uksm_scan *s, uint32_t id)
{
    if (id >= s->table->n_nodes)
        return;
    __builtin_prefetch(&s->table->nodes[id], 1);
    __builtin_prefetch(&s->uksm->full[id], 1);
    __builtin_prefetch(&s->uksm->count[id], 1);
    __builtin_prefetch(&s->uksm->first[id], 1);
    __builtin_prefetch(&s->uksm->node[id], 1);
}

uint32_t pksm_uksm_spare(const uksm_scan *s)
{
    uint32_t id = s->work->n_spare ? pksm_uksm_item(s, s->uksm->spare[--s->work->n_spare]) : 0;

    if (!id) {
        *s->status = PKSM_ETREE;
        return 0;
    }
    if (s->work->n_spare > SPARE_AHEAD)
        fetch_spare(s, s->uksm->spare[s->work->n_spare - SPARE_AHEAD]);
    s->table->nodes[id] = (pksm_node){0};
    s->uksm->full[id] = s->uksm->count[id] = s->uksm->first[id] = s->uksm->node[id] = 0;
    return id;
}

uint32_t pksm_uksm_find(const uksm_scan *s, const pksm_buckets *buckets, uint64_t key)
{
    uint32_t id = pksm_uksm_item(s, *pksm_bucket_of(buckets, key));

    for (uint64_t left = buckets->n_items; id && s->table->nodes[id].checksum != key; left--) {
        id = pksm_uksm_item(s, buckets->next[id]);
        if (!left)
            return pksm_uksm_item(s, UINT32_MAX);
    }
    return id;
}

static void blank(const uksm_scan *s, uint32_t id)
{
    s->table->nodes[id] = (pksm_node){0};
    if (s->work->n_freed < s->uksm->n_ids)
        s->uksm->freed[s->work->n_freed++] = id;
    else
        *s->status = PKSM_ETREE;
}

void pksm_uksm_enter(const uksm_scan *s, pksm_uksm_tree *tree, uint32_t id, uint32_t sum, uint32_t full)
{
    pksm_node *nodes = s->table->nodes;
    uint32_t node = pksm_uksm_find(s, &tree->nodes, pksm_uksm_key(sum, 0));

    if (!node) {
        node = pksm_uksm_spare(s);
        if (!node)
            return;
        nodes[node].checksum = pksm_uksm_key(sum, 0);
        put(s, &tree->nodes, node);
    }
    s->uksm->count[node]++;
    s->uksm->node[id] = node;
    s->uksm->full[id] = full;
    nodes[id].checksum = pksm_uksm_key(sum, full);
    if (full)
        put(s, &tree->items, id);
    else
        s->uksm->first[node] = id;
}

void pksm_uksm_stay(const uksm_scan *s, pksm_uksm_tree *tree, uint32_t id, uint32_t sum)
{
    uint32_t node = s->uksm->node[id];

    if (s->uksm->first[node] == id)
        return;
    take_out(s, &tree->items, id);
    s->uksm->first[node] = id;
    s->uksm->full[id] = 0;
    s->table->nodes[id].checksum = pksm_uksm_key(sum, 0);
}

static void leave_tree(const uksm_scan *s, pksm_uksm_tree *tree, uint32_t id)
{
    uint32_t node = pksm_uksm_item(s, s->uksm->node[id]);

    if (!node) {
        *s->status = PKSM_ETREE;
        return;
    }
    if (s->uksm->first[node] == id)
        s->uksm->first[node] = 0;
    else
        take_out(s, &tree->items, id);
    s->uksm->node[id] = 0;
    if (--s->uksm->count[node])
        return;
    take_out(s, &tree->nodes, node);
    blank(s, node);
}

/* What hangs on a stable node that is let go of counts no more. */
static void stop_counting(const uksm_scan *s, uint32_t kept)
{
    s->table->nodes[kept].flags &= (uint16_t)~PKSM_STABLE;
    s->work->shared--;
    s->work->sharing -= s->uksm->count[kept] - 1;
}

void pksm_uksm_let_go(const uksm_scan *s, uint32_t kept)
{
    leave_tree(s, &s->uksm->stable, kept);
    stop_counting(s, kept);
}

uint32_t pksm_uksm_living_node(const uksm_scan *s, uint32_t sum)
{
    uint32_t node = pksm_uksm_find(s, &s->uksm->stable.nodes, pksm_uksm_key(sum, 0));
    uint32_t first = pksm_uksm_item(s, s->uksm->first[node]);

    if (!pksm_uksm_is_buried(s, first))
        return node;
    pksm_uksm_let_go(s, first);
    return pksm_uksm_find(s, &s->uksm->stable.nodes, pksm_uksm_key(sum, 0));
}

uint32_t pksm_uksm_living_item(const uksm_scan *s, uint32_t sum, uint32_t full)
{
    uint32_t kept = pksm_uksm_find(s, &s->uksm->stable.items, pksm_uksm_key(sum, full));

    if (!pksm_uksm_is_buried(s, kept))
        return kept;
    pksm_uksm_let_go(s, kept);
    return 0;
}

void pksm_uksm_bury_kept(const uksm_scan *s, uint32_t kept)
{
    if (!(s->table->nodes[kept].flags & PKSM_STABLE) || !pksm_uksm_paged(s, kept))
        return;
    s->uksm->kept_of_page[s->table->nodes[kept].page] = 0;
    if (s->uksm->count[kept]) {
        s->table->nodes[kept].flags |= PKSM_DELLIST;
        return;
    }
    leave_tree(s, &s->uksm->stable, kept);
    blank(s, kept);
}

void pksm_uksm_leave(const uksm_scan *s, uint32_t id)
{
    pksm_node *item = &s->table->nodes[id];
    uint32_t kept = pksm_uksm_item(s, item->link);

    if (item->flags & PKSM_UNSTABLE)
        leave_tree(s, &s->uksm->unstable, id);
    if (item->flags & (PKSM_UNSTABLE | PKSM_PASSED))
        s->work->unshared--;
    item->flags &= (uint16_t)~(PKSM_UNSTABLE | PKSM_PASSED);
    if (!kept)
        return;
    item->link = 0;
    if (pksm_uksm_is_buried(s, kept))
        pksm_uksm_let_go(s, kept);
    s->uksm->count[kept]--;
    if (!(s->table->nodes[kept].flags & PKSM_STABLE)) {
        if (!s->uksm->count[kept])
            blank(s, kept);
    } else if (s->uksm->count[kept]) {
        s->work->sharing--;
    } else {
        s->work->shared--;
    }
}

void pksm_uksm_hang(const uksm_scan *s, uint32_t id, uint32_t kept)
{
    s->table->nodes[id].link = kept;
    if (s->uksm->count[kept]++)
        s->work->sharing++;
    else
        s->work->shared++;
}

void pksm_uksm_free(const uksm_scan *s, uint32_t id)
{
    pksm_uksm_leave(s, id);
    blank(s, id);
}

void pksm_uksm_first_by_full(const uksm_scan *s, pksm_uksm_tree *tree, uint32_t node, uint32_t sum)
{
    uint32_t id = pksm_uksm_item(s, s->uksm->first[node]);

    if (!id)
        return;
    s->uksm->first[node] = 0;
    s->table->nodes[id].checksum = pksm_uksm_key(sum, s->uksm->full[id]);
    put(s, &tree->items, id);
}

/* Takes the first item of a bucket off its chain, without a look at the others; 0: it is empty. */
static uint32_t pop(const uksm_scan *s, pksm_buckets *buckets, uint32_t *head)
{
    uint32_t id = pksm_uksm_item(s, *head);

    *head = id ? buckets->next[id] : 0;
    if (!id)
        return 0;
    if (!buckets->n_items--)
        return pksm_uksm_item(s, UINT32_MAX);
    buckets->next[id] = buckets->before[id] = 0;
    return id;
}

static void let_out(const uksm_scan *s, uint32_t id)
{
    uint16_t *flags = &s->table->nodes[id].flags;

    s->uksm->node[id] = 0;
    if (pksm_uksm_is_buried(s, id))
        stop_counting(s, id);
    if (*flags & PKSM_UNSTABLE)
        *flags = (uint16_t)((*flags & ~PKSM_UNSTABLE) | PKSM_PASSED);
}

void pksm_uksm_clear(const uksm_scan *s, pksm_uksm_tree *tree)
{
    uint32_t id;

    for (uint64_t head = 0; head < tree->items.n_heads && *s->status == PKSM_OK; head++)
        while ((id = pop(s, &tree->items, &tree->items.heads[head])))
            let_out(s, id);
    for (uint64_t head = 0; head < tree->nodes.n_heads && *s->status == PKSM_OK; head++)
        while ((id = pop(s, &tree->nodes, &tree->nodes.heads[head]))) {
            uint32_t first = pksm_uksm_item(s, s->uksm->first[id]);

            if (first)
                let_out(s, first);
            s->uksm->first[id] = s->uksm->count[id] = 0;
            blank(s, id);
        }
}
