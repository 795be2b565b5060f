/* ksm_nodes.c: KSM's stable nodes, which outlive the mappings that made them, their chains, and what hangs on them. */
#include "ksm.h"

uint32_t pksm_nodes_spare(const scan *s)
{
    return s->ksm->spare[--s->counts->n_spare];
}

static void give_back(const scan *s, uint32_t id)
{
    memset(&s->nodes[id], 0, sizeof s->nodes[id]);
    s->ksm->sharers[id] = s->ksm->next[id] = 0;
    s->ksm->spare[s->counts->n_spare++] = id;
    if (s->since)
        s->since->reused = 1;
}

/* A node without a page: what hangs on it hangs on nothing. It is given back with the last of these. */
static void retire(const scan *s, uint32_t node)
{
    uint32_t sharers = s->ksm->sharers[node];

    s->nodes[node].flags = PKSM_RETIRED;
    if (sharers) {
        s->counts->shared--;
        s->counts->sharing -= sharers - 1;
    } else {
        give_back(s, node);
    }
}

static void unchain(const scan *s, uint32_t dup)
{
    uint32_t before = s->nodes[dup].link;

    while (s->ksm->next[before] != dup)
        before = s->ksm->next[before];
    s->ksm->next[before] = s->ksm->next[dup];
    s->ksm->next[dup] = 0;
    s->nodes[dup].link = 0;
    s->nodes[dup].flags &= (uint16_t)~PKSM_DUP;
    s->counts->dups--;
}

void pksm_nodes_chain(const scan *s, uint32_t chain, uint32_t dup)
{
    s->nodes[dup].flags |= PKSM_DUP;
    s->nodes[dup].link = chain;
    s->ksm->next[dup] = s->ksm->next[chain];
    s->ksm->next[chain] = dup;
    s->counts->dups++;
}

void pksm_nodes_replace(const scan *s, uint32_t out, uint32_t in)
{
    pksm_rb_replace(s->nodes, &s->trees->stable_root, out, in);
    s->nodes[out].flags &= (uint16_t)~PKSM_STABLE;
    s->nodes[in].flags |= PKSM_STABLE;
}

void pksm_nodes_remove(const scan *s, uint32_t node)
{
    if (s->nodes[node].flags & PKSM_CHAIN) {
        while (s->ksm->next[node])
            pksm_nodes_remove(s, s->ksm->next[node]);
        pksm_tree_erase(s->tree.table, s->trees, node);
        s->counts->chains--;
        give_back(s, node);
        return;
    }
    if (s->nodes[node].flags & PKSM_DUP)
        unchain(s, node);
    else
        pksm_tree_erase(s->tree.table, s->trees, node);
    s->tree.cost->unlinked++;
    retire(s, node);
}

void pksm_nodes_attach(const scan *s, uint32_t id, uint32_t node)
{
    s->nodes[id].link = node;
    if (s->ksm->sharers[node]++)
        s->counts->sharing++;
    else
        s->counts->shared++;
}

static void detach(const scan *s, uint32_t id)
{
    uint32_t node = s->nodes[id].link;

    s->nodes[id].link = 0;
    if ((s->nodes[node].flags & (PKSM_DELLIST | PKSM_RETIRED)) == PKSM_DELLIST)
        pksm_nodes_remove(s, node);
    s->ksm->sharers[node]--;
    if (s->nodes[node].flags & PKSM_RETIRED) {
        if (!s->ksm->sharers[node])
            give_back(s, node);
    } else if (s->ksm->sharers[node]) {
        s->counts->sharing--;
    } else {
        s->counts->shared--;
    }
}

void pksm_nodes_drop(const scan *s, uint32_t id)
{
    pksm_node *item = &s->nodes[id];

    pksm_tree_erase(s->tree.table, s->trees, id);
    if (item->flags & PKSM_PASSED)
        s->counts->passed--;
    item->flags &= (uint16_t)~(PKSM_PASSED | PKSM_DELLIST);
    if (item->link)
        detach(s, id);
}

static int node_has_room(const scan *s, uint32_t node, uint32_t besides)
{
    uint32_t sharers = s->ksm->sharers[node];

    return !s->limits->max_page_sharing || (sharers && sharers + besides < s->limits->max_page_sharing);
}

/* Drops the dead of a chain and returns its node that can take one more, 0 when all are full: the first that will do,
 * or, from time to time, the fullest. The only one that is left becomes a node like others, in the chain's place;
 * *stands is then that node. */
static uint32_t pick(const scan *s, uint32_t *stands, int may_prune)
{
    uint32_t chain = *stands, found = 0, next;
    int prune = may_prune && s->limits->now_millisecs - s->ksm->sharers[chain] >= s->limits->prune_millisecs;

    if (prune)
        s->ksm->sharers[chain] = s->limits->now_millisecs;
    for (uint32_t dup = s->ksm->next[chain]; dup; dup = next) {
        next = s->ksm->next[dup];
        if (s->nodes[dup].flags & PKSM_DELLIST) {
            pksm_nodes_remove(s, dup);
            continue;
        }
        if (node_has_room(s, dup, 0) && (!found || s->ksm->sharers[dup] > s->ksm->sharers[found])) {
            found = dup;
            if (!prune)
                break;
        }
    }
    next = s->ksm->next[chain];
    if (next && !s->ksm->next[next]) {
        unchain(s, next);
        pksm_nodes_replace(s, chain, next);
        s->counts->chains--;
        give_back(s, chain);
        *stands = next;
    } else if (found && s->ksm->next[chain] != found && node_has_room(s, found, 1)) {
        unchain(s, found);
        pksm_nodes_chain(s, chain, found);
    }
    return found;
}

uint32_t pksm_nodes_room(const scan *s, uint32_t *stands, int may_prune)
{
    if (s->nodes[*stands].flags & PKSM_CHAIN)
        return pick(s, stands, may_prune);
    return node_has_room(s, *stands, 0) ? *stands : 0;
}

/* ---- entries ---- */

scan pksm_nodes_scan(const pksm_store *store, pksm_table *table, pksm_trees *trees, pksm_ksm *ksm, pksm_cost *cost)
{
    return (scan){.tree = {.store = store, .table = table, .trees = trees, .cost = cost, .order = PKSM_CONTENT},
                  .nodes = table->nodes,
                  .trees = trees,
                  .ksm = ksm,
                  .counts = ksm->counts};
}

EXPORT int pksm_ksm_drop(pksm_table *table, pksm_trees *trees, pksm_ksm *ksm, const uint32_t *ids, size_t n,
                         pksm_cost *cost)
{
    int status = pksm_check_items(NULL, table, ids, n);
    scan s;

    if (status == PKSM_OK)
        status = pksm_check_forest(table, PKSM_CONTENT);
    if (status != PKSM_OK)
        return status;
    s = pksm_nodes_scan(NULL, table, trees, ksm, cost);
    for (size_t i = 0; i < n; i++)
        pksm_nodes_drop(&s, ids[i]);
    return PKSM_OK;
}

/* A chain has the page of one of its nodes: when that is gone, of another. */
EXPORT int pksm_ksm_bury(pksm_table *table, pksm_ksm *ksm, const uint32_t *pages, size_t n)
{
    pksm_node *nodes = table->nodes;

    for (size_t i = 0; i < n; i++) {
        uint32_t node = pages[i] < ksm->n_pages ? ksm->node_of_page[pages[i]] : 0, chain, dup;

        if (!node)
            continue;
        ksm->node_of_page[pages[i]] = 0;
        nodes[node].flags |= PKSM_DELLIST;
        chain = nodes[node].flags & PKSM_DUP ? nodes[node].link : 0;
        if (!chain || nodes[chain].page != pages[i])
            continue;
        for (dup = ksm->next[chain]; dup && nodes[dup].flags & PKSM_DELLIST; dup = ksm->next[dup])
            ;
        if (dup)
            nodes[chain].page = nodes[dup].page;
        else
            nodes[chain].flags |= PKSM_DELLIST;
    }
    return PKSM_OK;
}

/* Whether a stable node or chain went; of a chain some may have gone all the same. */
static int went(const scan *s, uint32_t node)
{
    uint32_t next;

    if (s->nodes[node].flags & PKSM_CHAIN) {
        for (uint32_t dup = s->ksm->next[node]; dup; dup = next) {
            next = s->ksm->next[dup];
            if (!went(s, dup))
                return 0;
        }
    } else if (!(s->nodes[node].flags & PKSM_DELLIST)) {
        return 0;
    }
    pksm_nodes_remove(s, node);
    return 1;
}

EXPORT int pksm_ksm_remove_dead(pksm_table *table, pksm_trees *trees, pksm_ksm *ksm, int *left, pksm_cost *cost)
{
    scan s = pksm_nodes_scan(NULL, table, trees, ksm, cost);

    while (trees->stable_root && went(&s, trees->stable_root))
        ;
    *left = trees->stable_root != 0;
    return PKSM_OK;
}

EXPORT int pksm_ksm_pass(pksm_table *table, pksm_trees *trees, pksm_ksm *ksm)
{
    for (uint64_t id = 1; id < table->n_nodes && trees->n_unstable; id++) {
        pksm_node *item = &table->nodes[id];

        if (!(item->flags & PKSM_UNSTABLE))
            continue;
        item->child[0] = item->child[1] = item->parent_colour = 0;
        item->flags = (uint16_t)((item->flags & ~(PKSM_UNSTABLE | PKSM_DELLIST)) | PKSM_PASSED);
        ksm->counts->passed++;
        trees->n_unstable--;
    }
    trees->unstable_root = 0;
    return PKSM_OK;
}
