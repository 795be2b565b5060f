/* ksm.c: one visit of KSM's to each of a batch of mappings, in order of address, and one verdict each.
 *
 * settle.c works on frames, each of which it sees once; here several mappings may share a frame, and stable pages are
 * nodes of their own, because they outlive the mappings that made them. Trees and searches are the same. */
#include "core.h"

typedef struct {
    page_tree tree;
    pksm_node *nodes;
    pksm_trees *trees;
    pksm_ksm *ksm;
    pksm_ksm_counts *counts;
    const pksm_rules *rules;
    const pksm_ksm_limits *limits;
    const uint8_t *classes;
} scan;

enum { NEXT = PKSM_N_VERDICTS };

static int is_busy(const scan *s, uint32_t page)
{
    return s->classes && s->classes[page] == PKSM_BUSY_PAGE;
}

/* ---- stable nodes and their chains ---- */

static uint32_t take_spare(const scan *s)
{
    return s->ksm->spare[--s->counts->n_spare];
}

static void give_back(const scan *s, uint32_t id)
{
    memset(&s->nodes[id], 0, sizeof s->nodes[id]);
    s->ksm->sharers[id] = s->ksm->next[id] = 0;
    s->ksm->spare[s->counts->n_spare++] = id;
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

static void chain_first(const scan *s, uint32_t chain, uint32_t dup)
{
    s->nodes[dup].flags |= PKSM_DUP;
    s->nodes[dup].link = chain;
    s->ksm->next[dup] = s->ksm->next[chain];
    s->ksm->next[chain] = dup;
    s->counts->dups++;
}

/* Lets one item stand in the stable tree where another stood. */
static void take_place(const scan *s, uint32_t out, uint32_t in)
{
    pksm_rb_replace(s->nodes, &s->trees->stable_root, out, in);
    s->nodes[out].flags &= (uint16_t)~PKSM_STABLE;
    s->nodes[in].flags |= PKSM_STABLE;
}

/* Takes a stable node whose page is gone, or a chain of such, out of the tree or its chain. */
static void remove_dead(const scan *s, uint32_t node)
{
    if (s->nodes[node].flags & PKSM_CHAIN) {
        while (s->ksm->next[node])
            remove_dead(s, s->ksm->next[node]);
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

static void attach(const scan *s, uint32_t id, uint32_t node)
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
        remove_dead(s, node);
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

/* Takes an item out of the unstable tree, or off its stable node. */
static void drop(const scan *s, uint32_t id)
{
    pksm_node *item = &s->nodes[id];

    pksm_tree_erase(s->tree.table, s->trees, id);
    if (item->flags & PKSM_PASSED)
        s->counts->passed--;
    item->flags &= (uint16_t)~(PKSM_PASSED | PKSM_DELLIST);
    if (item->link)
        detach(s, id);
}

static int has_room(const scan *s, uint32_t node, uint32_t besides)
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
            remove_dead(s, dup);
            continue;
        }
        if (has_room(s, dup, 0) && (!found || s->ksm->sharers[dup] > s->ksm->sharers[found])) {
            found = dup;
            if (!prune)
                break;
        }
    }
    next = s->ksm->next[chain];
    if (next && !s->ksm->next[next]) {
        unchain(s, next);
        take_place(s, chain, next);
        s->counts->chains--;
        give_back(s, chain);
        *stands = next;
    } else if (found && s->ksm->next[chain] != found && has_room(s, found, 1)) {
        unchain(s, found);
        chain_first(s, chain, found);
    }
    return found;
}

/* ---- stages ---- */

/* As pksm_tree_find in the stable tree; *room: the node of a match that can take one more, 0: none. What is dead on the
 * way goes, and then it looks again; chains on the way are kept in order. */
static int find_stable(const scan *s, uint32_t page, int may_prune, place *at, uint32_t *room)
{
    const pksm_store *store = s->tree.store;
    size_t common;
    uint32_t id;
    int order;

again:
    *at = (place){0};
    for (id = s->trees->stable_root; id; id = s->nodes[id].child[at->side]) {
        *room = s->nodes[id].flags & PKSM_CHAIN ? pick(s, &id, may_prune) : has_room(s, id, 0) ? id : 0;
        if (s->nodes[id].flags & PKSM_DELLIST) {
            remove_dead(s, id);
            goto again;
        }
        s->tree.cost->tree_steps++;
        order = pksm_kernels.compare(page_bytes(store, page), page_bytes(store, s->nodes[id].page), store->page_size, 0,
                                     &common);
        s->tree.cost->bytes_compared += common;
        if (!order) {
            at->node = id;
            return FIND_MATCH;
        }
        s->tree.cost->futile_compares++;
        at->parent = id;
        at->side = order > 0;
    }
    return FIND_NOTHING;
}

static int stage_unchanged(const scan *s, pksm_node *item)
{
    const pksm_store *store = s->tree.store;
    uint64_t before = item->checksum;

    item->checksum = s->rules->checksum.sum(page_bytes(store, item->page), store->page_size, s->rules->checksum.state);
    s->tree.cost->bytes_hashed += store->page_size;
    return item->checksum == before ? NEXT : PKSM_STALE;
}

static int stage_zero(const scan *s, const pksm_node *item)
{
    const pksm_store *store = s->tree.store;

    if (item->checksum != s->rules->zero_checksum || is_busy(s, item->page))
        return NEXT;
    if (pksm_kernels.is_zero(page_bytes(store, item->page), store->page_size))
        return PKSM_ZERO;
    s->tree.cost->collisions++;
    return NEXT;
}

static int stage_stable(const scan *s, uint32_t id, uint32_t *other)
{
    uint32_t page = s->nodes[id].page;
    place at;

    if (find_stable(s, page, 1, &at, other) != FIND_MATCH || !*other)
        return NEXT;
    if (is_busy(s, page) || is_busy(s, s->nodes[*other].page))
        return PKSM_BUSY;
    attach(s, id, *other);
    return PKSM_JOINED;
}

/* Makes a stable node of a page, beside those of the same content that are full; found, at: from find_stable. */
static uint32_t make_stable(const scan *s, uint32_t page, int found, const place *at)
{
    uint32_t node = take_spare(s), chain;

    s->nodes[node].page = page;
    s->ksm->node_of_page[page] = node;
    if (found == FIND_NOTHING) {
        pksm_tree_insert(&s->tree, PKSM_STABLE, node, at);
        return node;
    }
    chain = at->node;
    if (!(s->nodes[chain].flags & PKSM_CHAIN)) {
        chain = take_spare(s);
        s->nodes[chain].page = s->nodes[at->node].page;
        s->nodes[chain].flags = PKSM_CHAIN;
        s->ksm->sharers[chain] = s->limits->now_millisecs;
        take_place(s, at->node, chain);
        chain_first(s, chain, at->node);
        s->counts->chains++;
    }
    chain_first(s, chain, node);
    return node;
}

static int stage_unstable(const scan *s, uint32_t id, uint32_t *other)
{
    uint32_t page = s->nodes[id].page, node, room;
    place at, stable;
    int found = pksm_tree_find(&s->tree, PKSM_UNSTABLE, 0, page, &at);

    if (found == FIND_NOTHING) {
        pksm_tree_insert(&s->tree, PKSM_UNSTABLE, id, &at);
        return PKSM_WAITING;
    }
    *other = at.node;
    if (found == FIND_DELETED)
        return PKSM_ABORTED;
    if (s->nodes[at.node].page == page)
        return PKSM_SAME;
    if (is_busy(s, page) || is_busy(s, s->nodes[at.node].page))
        return PKSM_BUSY;
    found = find_stable(s, page, 0, &stable, &room); /* the last that reads bytes, which may be gone */
    drop(s, at.node);
    node = make_stable(s, page, found, &stable);
    attach(s, at.node, node);
    attach(s, id, node);
    return PKSM_PAIRED;
}

/* The longer a page has not merged, the more full scans leave it out. Mirrors should_skip_rmap_item. */
static int is_skipped(pksm_node *item)
{
    uint8_t age = item->visits;

    if (age != UINT8_MAX)
        item->visits++;
    if (age < 3)
        return 0;
    if (item->skips) {
        item->skips--;
        return 1;
    }
    item->skips = age <= 3 ? 1 : age <= 5 ? 2 : age <= 8 ? 4 : 8;
    return 0;
}

static int visit(const scan *s, uint32_t id, uint32_t *other)
{
    pksm_node *item = &s->nodes[id];
    uint32_t node = s->ksm->node_of_page[item->page];
    int verdict = NEXT;

    *other = node;
    if (node && item->link == node)
        return PKSM_SAME;
    if (!node && s->limits->smart_scan && is_skipped(item)) {
        drop(s, id);
        return PKSM_SKIPPED;
    }
    drop(s, id);
    if (node) {
        attach(s, id, node);
        return PKSM_APPENDED;
    }
    for (const uint8_t *stage = s->rules->stages; verdict == NEXT && *stage; stage++) {
        switch (*stage) {
        case PKSM_STAGE_UNCHANGED:
            verdict = stage_unchanged(s, item);
            break;
        case PKSM_STAGE_ZERO:
            verdict = stage_zero(s, item);
            break;
        case PKSM_STAGE_STABLE:
            verdict = stage_stable(s, id, other);
            break;
        default:
            verdict = stage_unstable(s, id, other);
            break;
        }
    }
    return verdict;
}

static NOINLINE int visit_all(const scan *s, const uint32_t *ids, const uint8_t *mapped, size_t n, size_t limit,
                              uint8_t *verdicts, uint32_t *others, size_t *done)
{
    /* a visit takes two spare ids at most: a stable node, and the chain it goes to */
    for (size_t i = 0; i < n && limit && s->counts->n_spare >= 2; i++) {
        if (!mapped[i]) {
            drop(s, ids[i]);
            verdicts[i] = PKSM_DROP;
            others[i] = 0;
        } else {
            verdicts[i] = (uint8_t)visit(s, ids[i], &others[i]);
            limit -= verdicts[i] != PKSM_SKIPPED;
            s->tree.cost->pages_visited += verdicts[i] != PKSM_SKIPPED;
        }
        *done = i + 1;
    }
    return PKSM_OK;
}

/* ---- entries ---- */

static scan new_scan(const pksm_store *store, pksm_table *table, pksm_trees *trees, pksm_ksm *ksm, pksm_cost *cost)
{
    return (scan){.tree = {.store = store, .table = table, .trees = trees, .cost = cost, .order = PKSM_CONTENT},
                  .nodes = table->nodes,
                  .trees = trees,
                  .ksm = ksm,
                  .counts = ksm->counts};
}

EXPORT int pksm_ksm_visit(const pksm_store *store, pksm_table *table, pksm_trees *trees, pksm_ksm *ksm,
                          const pksm_rules *rules, const pksm_ksm_limits *limits, const uint8_t *classes,
                          const uint32_t *ids, const uint8_t *mapped, size_t n, size_t limit, uint8_t *verdicts,
                          uint32_t *others, size_t *done, pksm_cost *cost)
{
    int status = pksm_check_pages(store, NULL, 0);
    scan s;

    *done = 0;
    if (status == PKSM_OK)
        status = pksm_check_items(store, table, ids, n);
    if (status == PKSM_OK)
        status = rules->checksum.sum ? pksm_check_stages(rules) : PKSM_EINVAL;
    for (size_t i = 0; status == PKSM_OK && i < n; i++)
        if (mapped[i] && table->nodes[ids[i]].page >= ksm->n_pages)
            status = PKSM_EPAGE;
    if (status != PKSM_OK)
        return status;
    s = new_scan(store, table, trees, ksm, cost);
    s.rules = rules;
    s.limits = limits;
    s.classes = classes;
    READING(status, visit_all(&s, ids, mapped, n, limit, verdicts, others, done));
    return status;
}

EXPORT int pksm_ksm_drop(pksm_table *table, pksm_trees *trees, pksm_ksm *ksm, const uint32_t *ids, size_t n,
                         pksm_cost *cost)
{
    int status = pksm_check_items(NULL, table, ids, n);
    scan s;

    if (status != PKSM_OK)
        return status;
    s = new_scan(NULL, table, trees, ksm, cost);
    for (size_t i = 0; i < n; i++)
        drop(&s, ids[i]);
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
    remove_dead(s, node);
    return 1;
}

EXPORT int pksm_ksm_remove_dead(pksm_table *table, pksm_trees *trees, pksm_ksm *ksm, int *left, pksm_cost *cost)
{
    scan s = new_scan(NULL, table, trees, ksm, cost);

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
