/* ksm.c: one visit of KSM's to each of a batch of mappings, in order of address, and one verdict each.
 *
 * settle.c works on frames, each of which it sees once; here several mappings may share a frame, and stable pages are
 * nodes of their own (ksm_nodes.c), because they outlive the mappings that made them. Trees and searches are the same.
 * A window of items is summed together, and searched for together (flight.c) where the unstable tree is in order; what
 * was seen is used for an item that comes to search, if it still holds. */
#include "ksm.h"

enum { KSM_NEXT = PKSM_N_VERDICTS };

/* What is known of the items of a window before their turn comes. */
typedef struct {
    lane lanes[PKSM_MAX_WINDOW];
    uint64_t sums[PKSM_MAX_WINDOW];
    uint8_t is_summed[PKSM_MAX_WINDOW];
} window;

static int is_busy(const scan *s, uint32_t page)
{
    return s->classes && s->classes[page] == PKSM_BUSY_PAGE;
}

/* ---- searches ---- */

/* What a flight saw in a tree, if it still holds and nothing dead is on the way there: FIND_MATCH or FIND_NOTHING as
 * from pksm_tree_find; -1: the item searches alone. A search alone keeps chains on its way in order: so does this. */
static int seen_before(const scan *s, int which, const lane *l, int may_prune, place *at, uint32_t *room)
{
    uint32_t path[2 * 32], id, *end;
    size_t n = 0;
    enum find found;

    if (!l->flies || (which == PKSM_STABLE && s->since->reused) ||
        !pksm_sight_holds(&s->tree, which, &s->since->gone[which == PKSM_STABLE], l, at, &found))
        return -1;
    end = found == FIND_MATCH ? &at->node : &at->parent;
    for (id = *end; id; id = rb_parent(s->nodes, id)) {
        if (s->nodes[id].flags & PKSM_DELLIST)
            return -1;
        path[n++] = id;
    }
    s->tree.cost->tree_steps += n;
    if (which == PKSM_STABLE && n) {
        while (--n)
            if (s->nodes[path[n]].flags & PKSM_CHAIN)
                pksm_nodes_room(s, &path[n], may_prune);
        *room = pksm_nodes_room(s, &path[0], may_prune);
        *end = path[0];
    }
    return (int)found;
}

/* As pksm_tree_find in the stable tree; *room: the node of a match that can take one more, 0: none. What is dead on the
 * way goes, and then it looks again; chains on the way are kept in order. */
static int find_stable(const scan *s, const lane *l, uint32_t page, int may_prune, place *at, uint32_t *room)
{
    const pksm_store *store = s->tree.store;
    size_t common;
    uint32_t id;
    int order, found = seen_before(s, PKSM_STABLE, l, may_prune, at, room);

    if (found >= 0)
        return found;
again:
    *at = (place){0};
    for (id = s->trees->stable_root; id; id = s->nodes[id].child[at->side]) {
        *room = pksm_nodes_room(s, &id, may_prune);
        if (s->nodes[id].flags & PKSM_DELLIST) {
            pksm_nodes_remove(s, id);
            goto again;
        }
        s->tree.cost->tree_steps++;
        common = 0;
        order = salt_order(store, page, s->nodes[id].page);
        if (!order)
            order = pksm_kernels.compare(page_bytes(store, page), page_bytes(store, s->nodes[id].page),
                                         store->page_size, 0, &common);
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

static int find_unstable(const scan *s, const lane *l, uint32_t page, place *at)
{
    uint32_t room;
    int found = seen_before(s, PKSM_UNSTABLE, l, 0, at, &room);

    return found >= 0 ? found : (int)pksm_tree_find(&s->tree, PKSM_UNSTABLE, 0, page, at);
}

static void ksm_insert(const scan *s, int which, uint32_t id, const place *at)
{
    pksm_tree_insert(&s->tree, which, id, at);
    if (s->since->together)
        pksm_fill_gap(s->nodes, &s->since->gone[which == PKSM_STABLE], id, at);
}

/* ---- stages ---- */

static int ksm_stage_unchanged(const scan *s, pksm_node *item, const uint64_t *sum)
{
    const pksm_store *store = s->tree.store;
    uint64_t before = item->checksum;

    item->checksum = sum ? *sum
                         : s->rules->checksum.sum(page_bytes(store, item->page), store->page_size,
                                                  s->rules->checksum.state);
    s->tree.cost->bytes_hashed += store->page_size;
    return item->checksum == before ? KSM_NEXT : PKSM_STALE;
}

static int ksm_stage_zero(const scan *s, const pksm_node *item, const lane *l)
{
    const pksm_store *store = s->tree.store;

    if (item->checksum != s->rules->zero_checksum || is_busy(s, item->page))
        return KSM_NEXT;
    if (l->zero < 0 ? pksm_kernels.is_zero(page_bytes(store, item->page), store->page_size) : l->zero)
        return PKSM_ZERO;
    s->tree.cost->collisions++;
    return KSM_NEXT;
}

static int ksm_stage_stable(const scan *s, uint32_t id, const lane *l, uint32_t *other)
{
    uint32_t page = s->nodes[id].page;
    place at;

    if (find_stable(s, l, page, 1, &at, other) != FIND_MATCH || !*other)
        return KSM_NEXT;
    if (is_busy(s, page) || is_busy(s, s->nodes[*other].page))
        return PKSM_BUSY;
    pksm_nodes_attach(s, id, *other);
    return PKSM_JOINED;
}

/* Makes a stable node of a page, beside those of the same content that are full; found, at: from find_stable. */
static uint32_t make_stable(const scan *s, uint32_t page, int found, const place *at)
{
    uint32_t node = pksm_nodes_spare(s), chain;

    s->nodes[node].page = page;
    s->ksm->node_of_page[page] = node;
    if (found == FIND_NOTHING) {
        ksm_insert(s, PKSM_STABLE, node, at);
        return node;
    }
    chain = at->node;
    if (!(s->nodes[chain].flags & PKSM_CHAIN)) {
        chain = pksm_nodes_spare(s);
        s->nodes[chain].page = s->nodes[at->node].page;
        s->nodes[chain].flags = PKSM_CHAIN;
        s->ksm->sharers[chain] = s->limits->now_millisecs;
        pksm_nodes_replace(s, at->node, chain);
        pksm_nodes_chain(s, chain, at->node);
        s->counts->chains++;
    }
    pksm_nodes_chain(s, chain, node);
    return node;
}

static int ksm_stage_unstable(const scan *s, uint32_t id, const lane *l, uint32_t *other)
{
    uint32_t page = s->nodes[id].page, node, room;
    place at, stable;
    int found = find_unstable(s, l, page, &at);

    if (found == FIND_NOTHING) {
        ksm_insert(s, PKSM_UNSTABLE, id, &at);
        return PKSM_WAITING;
    }
    *other = at.node;
    if (found == FIND_DELETED)
        return PKSM_ABORTED;
    if (s->nodes[at.node].page == page)
        return PKSM_SAME;
    if (is_busy(s, page) || is_busy(s, s->nodes[at.node].page))
        return PKSM_BUSY;
    found = find_stable(s, l, page, 0, &stable, &room); /* the last that reads bytes, which may be gone */
    pksm_nodes_drop(s, at.node);
    node = make_stable(s, page, found, &stable);
    pksm_nodes_attach(s, at.node, node);
    pksm_nodes_attach(s, id, node);
    return PKSM_PAIRED;
}

/* The longer a page has not merged, the more full scans leave it out. Mirrors should_skip_rmap_item. */
static int will_be_skipped(const scan *s, const pksm_node *item)
{
    return s->limits->smart_scan && item->visits >= 3 && item->skips;
}

static int is_skipped(const scan *s, pksm_node *item)
{
    int skipped = will_be_skipped(s, item);
    uint8_t age = item->visits;

    if (!s->limits->smart_scan)
        return 0;
    if (age != UINT8_MAX)
        item->visits++;
    if (skipped)
        item->skips--;
    else if (age >= 3)
        item->skips = age <= 3 ? 1 : age <= 5 ? 2 : age <= 8 ? 4 : 8;
    return skipped;
}

/* sum: null if it has not been summed. */
static int visit(const scan *s, uint32_t id, const lane *l, const uint64_t *sum, uint32_t *other)
{
    pksm_node *item = &s->nodes[id];
    uint32_t node = s->ksm->node_of_page[item->page];
    int verdict = KSM_NEXT;

    *other = node;
    if (node && item->link == node)
        return PKSM_SAME;
    if (!node && is_skipped(s, item)) {
        pksm_nodes_drop(s, id);
        return PKSM_SKIPPED;
    }
    pksm_nodes_drop(s, id);
    if (node) {
        pksm_nodes_attach(s, id, node);
        return PKSM_APPENDED;
    }
    for (const uint8_t *stage = s->rules->stages; verdict == KSM_NEXT && *stage; stage++) {
        switch (*stage) {
        case PKSM_STAGE_UNCHANGED:
            verdict = ksm_stage_unchanged(s, item, sum);
            break;
        case PKSM_STAGE_ZERO:
            verdict = ksm_stage_zero(s, item, l);
            break;
        case PKSM_STAGE_STABLE:
            verdict = ksm_stage_stable(s, id, l, other);
            break;
        default:
            verdict = ksm_stage_unstable(s, id, l, other);
            break;
        }
    }
    return verdict == KSM_NEXT ? PKSM_LEFT : verdict;
}

/* ---- windows ---- */

/* Sums the items that will be summed, if that is what comes first. */
static void ksm_sum_window(const scan *s, const uint32_t *ids, const uint8_t *mapped, size_t n, window *w)
{
    uint32_t pages[PKSM_MAX_WINDOW];
    uint64_t sums[PKSM_MAX_WINDOW];
    uint8_t zero[PKSM_MAX_WINDOW], which[PKSM_MAX_WINDOW];
    size_t n_summed = 0;
    int told;

    for (size_t i = 0; i < n; i++) {
        const pksm_node *item = &s->nodes[ids[i]];

        w->lanes[i] = (lane){.page = item->page, .zero = -1};
        w->lanes[i].flies = mapped[i] && !s->ksm->node_of_page[item->page] && !will_be_skipped(s, item);
        w->is_summed[i] = w->lanes[i].flies && s->rules->stages[0] == PKSM_STAGE_UNCHANGED;
        if (w->is_summed[i]) {
            which[n_summed] = (uint8_t)i;
            pages[n_summed++] = item->page;
        }
    }
    if (!n_summed)
        return;
    told = pksm_sum_pages(s->tree.store, &s->rules->checksum, pages, n_summed, sums, zero);
    for (size_t k = 0; k < n_summed; k++) {
        lane *l = &w->lanes[which[k]];

        w->sums[which[k]] = sums[k];
        l->flies = sums[k] == s->nodes[ids[which[k]]].checksum;
        if (told)
            l->zero = zero[k];
    }
}

/* Lets the items fly that will search. An item that is in a tree could be found by others before its turn comes: then
 * none flies. */
static void ksm_fly_window(const scan *s, const uint32_t *ids, size_t n, lane *lanes)
{
    int zeros_leave = memchr(s->rules->stages, PKSM_STAGE_ZERO, sizeof s->rules->stages) != NULL;
    int together = s->limits->in_order && n > 1;

    for (size_t i = 0; i < n; i++)
        together &= !(s->nodes[ids[i]].flags & PKSM_UNSTABLE);
    for (size_t i = 0; i < n; i++)
        lanes[i].flies &= together && !(zeros_leave && lanes[i].zero == 1);
    s->since->together = together;
    if (!together)
        return;
    s->since->reused = 0;
    pksm_forget_gaps(&s->since->gone[0]);
    pksm_forget_gaps(&s->since->gone[1]);
    pksm_fly(&s->tree, lanes, n);
}

static NOINLINE int visit_all(const scan *s, const uint32_t *ids, const uint8_t *mapped, size_t n, size_t limit,
                              uint8_t *verdicts, uint32_t *others, size_t *done)
{
    window w;
    size_t part;

    for (size_t start = 0; start < n && limit; start += part) {
        part = n - start < PKSM_MAX_WINDOW ? n - start : PKSM_MAX_WINDOW;
        part = part < limit ? part : limit;
        ksm_sum_window(s, ids + start, mapped + start, part, &w);
        ksm_fly_window(s, ids + start, part, w.lanes);
        for (size_t k = 0, i = start; k < part && limit; k++, i++) {
            if (s->counts->n_spare < 2) /* that a visit may take: a stable node, and the chain it goes to */
                return PKSM_OK;
            if (!mapped[i]) {
                pksm_nodes_drop(s, ids[i]);
                verdicts[i] = PKSM_DROP;
                others[i] = 0;
            } else {
                const uint64_t *sum = w.is_summed[k] ? &w.sums[k] : NULL;

                verdicts[i] = (uint8_t)visit(s, ids[i], &w.lanes[k], sum, &others[i]);
                limit -= verdicts[i] != PKSM_SKIPPED;
                s->tree.cost->pages_visited += verdicts[i] != PKSM_SKIPPED;
            }
            *done = i + 1;
        }
    }
    return PKSM_OK;
}

EXPORT int pksm_ksm_visit(const pksm_store *store, pksm_table *table, pksm_trees *trees, pksm_ksm *ksm,
                          const pksm_rules *rules, const pksm_ksm_limits *limits, const uint8_t *classes,
                          const uint32_t *ids, const uint8_t *mapped, size_t n, size_t limit, uint8_t *verdicts,
                          uint32_t *others, size_t *done, pksm_cost *cost)
{
    int status = pksm_check_pages(store, NULL, 0);
    since since = {0};
    scan s;

    *done = 0;
    if (status == PKSM_OK)
        status = pksm_check_items(store, table, ids, n);
    if (status == PKSM_OK)
        status = pksm_check_forest(table, PKSM_CONTENT);
    if (status == PKSM_OK)
        status = rules->checksum.sum ? pksm_check_stages(rules, 0) : PKSM_EINVAL;
    for (size_t i = 0; status == PKSM_OK && i < n; i++)
        if (mapped[i] && table->nodes[ids[i]].page >= ksm->n_pages)
            status = PKSM_EPAGE;
    if (status != PKSM_OK)
        return status;
    s = pksm_nodes_scan(store, table, trees, ksm, cost);
    s.rules = rules;
    s.limits = limits;
    s.classes = classes;
    s.since = &since;
    READING(status, visit_all(&s, ids, mapped, n, limit, verdicts, others, done));
    return status;
}

EXPORT int pksm_ksm_visit_batch(const pksm_store *store, pksm_table *table, pksm_trees *trees, pksm_ksm *ksm,
                                const pksm_rules *rules, const pksm_ksm_limits *limits, const uint8_t *classes,
                                const uint32_t *ids, const uint8_t *mapped, size_t n, size_t limit, uint32_t *rows,
                                uint32_t *starts, size_t *done, pksm_cost *cost)
{
    uint32_t *others = rows + 5 * n;
    uint8_t *verdicts = (uint8_t *)(rows + 6 * n);
    int status = pksm_ksm_visit(store, table, trees, ksm, rules, limits, classes, ids, mapped, n, limit, verdicts,
                                others, done, cost);

    return status == PKSM_OK ? pksm_sort_verdicts(table, ids, verdicts, others, *done, rows, starts) : status;
}
