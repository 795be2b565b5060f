/* settle.c: takes a batch of items through the stages of the rules and gives each its verdict.
 *
 * Items are committed one at a time, in order of arrival: what the published kernels do. A window of them is summed and
 * searched for together beforehand (flight.c); what was seen then is used only where it still holds. */
#include "core.h"

typedef struct {
    page_tree tree;
    const pksm_rules *rules;
    const uint8_t *classes;
    uint32_t *revisit;
    size_t *n_revisit;
    size_t room; /* of revisit */
    size_t window;
    filled *gone;      /* since this window began: in the unstable tree, in the stable tree */
    pksm_ahead *ahead; /* null: nobody sums but us */
    int sum_at_once;   /* a search may come before the stage UNCHANGED, or there is no such stage */
} batch;

/* Where the journey of one item stands; NEXT: on to the next stage. */
enum { NEXT = PKSM_N_VERDICTS, FULL };

/* Items whose candidates' bytes are on their way while another is settled: fetched all at once, they would be waited
 * for; fetched later, too. */
enum { EARLY = 6 };

/* Beside enum pksm_class: a page all of whose ptes the stage ZERO has moved, though it failed. */
enum { GONE = PKSM_MLOCKED - 1 };

static int class_of(const batch *b, uint32_t page)
{
    return b->classes ? b->classes[page] & (PKSM_MLOCKED - 1) : PKSM_FREE;
}

/* The page is not looked at at all. */
static int stays(const batch *b, int class)
{
    return class == PKSM_NOT_ANON || (class == PKSM_BUSY_PAGE && b->rules->busy_waits);
}

static int is_mlocked(const batch *b, uint32_t page)
{
    return b->classes && b->classes[page] & PKSM_MLOCKED;
}

/* The reverse walk does not come to a good end. */
static int walk_fails(int class)
{
    return class == PKSM_WALK_FAILS || class == PKSM_WALK_BREAKS || class == PKSM_WALK_LOSES || class == GONE;
}

static uint64_t sum_page(const batch *b, uint32_t page)
{
    const pksm_store *store = b->tree.store;

    b->tree.cost->bytes_hashed += store->page_size;
    return b->rules->checksum.sum(page_bytes(store, page), store->page_size, b->rules->checksum.state);
}

/* An unstable item whose page has changed leaves the tree, to be visited again. */
static int unlink_outdated(const batch *b, uint32_t id)
{
    if (*b->n_revisit == b->room)
        return FULL;
    pksm_tree_erase(b->tree.table, b->tree.trees, id);
    b->tree.table->nodes[id].flags |= PKSM_INITCHECKSUM;
    b->revisit[(*b->n_revisit)++] = id;
    b->tree.cost->unlinked++;
    return NEXT;
}

/* As pksm_tree_find, but with what is in the way taken out: only FIND_NOTHING, FIND_MATCH or (on_stale STOP)
 * FIND_DELETED come back; -1 when revisit is full. */
static int find(const batch *b, int which, const pksm_node *item, const lane *l, place *at)
{
    enum find seen;

    /* an item found outdated while it waited for its turn has been summed again since it flew */
    if (l->flies && l->checksum == item->checksum &&
        pksm_sight_holds(&b->tree, which, &b->gone[which == PKSM_STABLE], l, at, &seen))
        return seen;
    for (;;) {
        int found = pksm_tree_find(&b->tree, which, item->checksum, item->page, at);

        if (found == FIND_DELETED && b->rules->on_stale == PKSM_SKIP) {
            pksm_tree_erase(b->tree.table, b->tree.trees, at->node);
            b->tree.cost->unlinked++;
        } else if (found == FIND_OUTDATED) {
            if (unlink_outdated(b, at->node) == FULL)
                return -1;
        } else {
            return found;
        }
    }
}

static void insert(const batch *b, int which, uint32_t id, const place *at)
{
    pksm_tree_insert(&b->tree, which, id, at);
    if (b->window > 1)
        pksm_fill_gap(b->tree.table->nodes, &b->gone[which == PKSM_STABLE], id, at);
}

static void fill_checksum(const batch *b, pksm_node *item)
{
    item->checksum = sum_page(b, item->page);
    item->flags &= (uint16_t)~PKSM_INITCHECKSUM;
}

/* At its first visit a page has nothing to be compared with: it counts as changed. */
static int stage_unchanged(const batch *b, pksm_node *item, int first_visit)
{
    uint64_t before = item->checksum;

    if (!first_visit || (item->flags & PKSM_INITCHECKSUM))
        fill_checksum(b, item);
    return first_visit || item->checksum != before ? PKSM_STALE : NEXT;
}

/* A walk that fails half way has moved ptes of a zero page for good: *class is what is left of it for the trees. */
static int stage_zero(const batch *b, const pksm_node *item, const lane *l, int *class)
{
    const pksm_store *store = b->tree.store;

    if (item->checksum != b->rules->zero_checksum || (item->flags & (PKSM_INITCHECKSUM | PKSM_ZERO_REFUSED)))
        return NEXT;
    if (l->zero < 0 ? pksm_kernels.is_zero(page_bytes(store, item->page), store->page_size) : l->zero) {
        if (*class == PKSM_BUSY_PAGE)
            return PKSM_BUSY;
        if (!walk_fails(*class))
            return PKSM_ZERO;
        *class = *class == PKSM_WALK_LOSES ? GONE : PKSM_WALK_FAILS;
        return NEXT;
    }
    b->tree.cost->collisions++;
    return b->rules->zero_on_differ == PKSM_SUCCESS && !walk_fails(*class) ? PKSM_LIMBO : NEXT;
}

/* What stands against merging the matched pages, or NEXT. In the unstable tree either may become the kept one. */
static int refuse(const batch *b, int which, int class, uint32_t other)
{
    int others = class_of(b, other);

    if (class == PKSM_BUSY_PAGE || others == PKSM_BUSY_PAGE)
        return PKSM_BUSY;
    if (walk_fails(class) || (which == PKSM_UNSTABLE && (class == PKSM_NOT_KPAGE || walk_fails(others))))
        return PKSM_DROP;
    return NEXT;
}

/* The kept page stays locked when an mlocked page is merged into it and it is not mlocked itself. */
static int hangs(const batch *b, uint32_t page, uint32_t kept)
{
    return b->rules->mlock_hangs && is_mlocked(b, page) && !is_mlocked(b, kept);
}

static int stage_stable(const batch *b, const pksm_node *item, const lane *l, int class, uint32_t *other)
{
    const pksm_node *kept;
    place at;
    int refused, found = find(b, PKSM_STABLE, item, l, &at);

    if (found != FIND_MATCH)
        return NEXT;
    kept = &b->tree.table->nodes[at.node];
    *other = at.node;
    if (kept->page == item->page)
        return PKSM_SAME;
    if (b->rules->on_unusable == PKSM_STOP && class_of(b, kept->page) == PKSM_NOT_ANON) {
        *other = 0;
        return NEXT;
    }
    refused = refuse(b, PKSM_STABLE, class, kept->page);
    if (refused != NEXT)
        return refused;
    if (b->tree.order == PKSM_CHECKSUM && pksm_tree_compare(&b->tree, item->page, kept->page)) {
        b->tree.cost->collisions++;
        return b->rules->on_differ == PKSM_SUCCESS ? PKSM_LIMBO : PKSM_DIFFERENT;
    }
    return hangs(b, item->page, kept->page) ? PKSM_HANGS : PKSM_JOINED;
}

/* The twin leaves the unstable tree, the item enters the stable one; BUSY when its key is taken there. */
static int promote(const batch *b, uint32_t id, const lane *l, uint32_t match, int verdict, uint32_t *other)
{
    const pksm_node *item = &b->tree.table->nodes[id];
    place at;

    if (find(b, PKSM_STABLE, item, l, &at) != FIND_NOTHING) {
        *other = at.node;
        return PKSM_BUSY;
    }
    pksm_tree_erase(b->tree.table, b->tree.trees, match);
    insert(b, PKSM_STABLE, id, &at);
    return verdict;
}

/* The match leaves the tree, to be visited again, and the search begins anew? */
static int makes_room(const batch *b, int class, int others)
{
    if (others == PKSM_NOT_ANON)
        return b->rules->on_unusable != PKSM_STOP;
    return b->rules->unfit_aside && walk_fails(others) && !walk_fails(class) && class != PKSM_NOT_KPAGE;
}

static int stage_unstable(const batch *b, uint32_t id, const lane *l, int class, uint32_t *other)
{
    const pksm_node *nodes = b->tree.table->nodes, *item = &nodes[id];
    place at;
    int refused, found, others;

again:
    found = find(b, PKSM_UNSTABLE, item, l, &at);
    if (found < 0)
        return FULL;
    if (found == FIND_NOTHING && class == GONE)
        return PKSM_DROP;
    if (found == FIND_NOTHING) {
        insert(b, PKSM_UNSTABLE, id, &at);
        return PKSM_WAITING;
    }
    *other = at.node;
    if (found == FIND_DELETED)
        return PKSM_ABORTED;
    if (nodes[at.node].page == item->page)
        return PKSM_SAME;
    others = class_of(b, nodes[at.node].page);
    if (makes_room(b, class, others)) {
        if (unlink_outdated(b, at.node) == FULL)
            return FULL;
        *other = 0;
        goto again;
    }
    if (others == PKSM_NOT_ANON)
        return PKSM_ABORTED;
    refused = refuse(b, PKSM_UNSTABLE, class, nodes[at.node].page);
    if (refused == PKSM_DROP && class == PKSM_FREE && others == PKSM_WALK_LOSES &&
        !pksm_tree_compare(&b->tree, item->page, nodes[at.node].page))
        pksm_tree_erase(b->tree.table, b->tree.trees, at.node);
    if (refused != NEXT)
        return refused;
    if (b->tree.order == PKSM_CHECKSUM && pksm_tree_compare(&b->tree, item->page, nodes[at.node].page)) {
        b->tree.cost->collisions++;
        if (b->tree.distrust && pksm_tree_is_outdated(&b->tree, at.node)) {
            if (unlink_outdated(b, at.node) == FULL)
                return FULL;
            *other = 0;
            goto again;
        }
        if (b->rules->on_differ != PKSM_SUCCESS)
            return PKSM_DIFFERENT;
        return promote(b, id, l, at.node, PKSM_LIMBO, other);
    }
    if (hangs(b, nodes[at.node].page, item->page)) {
        pksm_tree_erase(b->tree.table, b->tree.trees, at.node);
        return PKSM_HANGS;
    }
    return promote(b, id, l, at.node, PKSM_PAIRED, other);
}

static int settle_one(const batch *b, uint32_t id, const lane *l, uint32_t *other)
{
    pksm_node *item = &b->tree.table->nodes[id];
    int verdict = NEXT, first_visit = item->flags & PKSM_INITCHECKSUM, class = class_of(b, item->page);

    *other = 0;
    if (item->flags & PKSM_STABLE)
        return PKSM_SAME;
    pksm_tree_erase(b->tree.table, b->tree.trees, id);
    if ((item->flags & PKSM_DELLIST) || class == PKSM_NOT_ANON)
        return PKSM_DROP;
    if (stays(b, class))
        return PKSM_BUSY;
    if (first_visit && b->sum_at_once && b->rules->checksum.sum)
        fill_checksum(b, item);
    else if (!b->rules->checksum.sum)
        item->flags &= (uint16_t)~PKSM_INITCHECKSUM; /* made room for another of the batch: its sum is as it was */
    for (const uint8_t *stage = b->rules->stages; verdict == NEXT && *stage; stage++) {
        switch (*stage) {
        case PKSM_STAGE_UNCHANGED:
            verdict = stage_unchanged(b, item, first_visit);
            break;
        case PKSM_STAGE_ZERO:
            verdict = stage_zero(b, item, l, &class);
            break;
        case PKSM_STAGE_STABLE:
            verdict = stage_stable(b, item, l, class, other);
            break;
        case PKSM_STAGE_UNSTABLE:
            verdict = stage_unstable(b, id, l, class, other);
            break;
        }
    }
    return verdict;
}

static void give_sum(const batch *b, pksm_node *item, uint64_t sum)
{
    item->checksum = sum;
    item->flags &= (uint16_t)~PKSM_INITCHECKSUM;
    b->tree.cost->bytes_hashed += b->tree.store->page_size;
}

/* Sums those items of a window that need it. position: of the first in the batch. */
static void sum_window(const batch *b, const uint32_t *ids, size_t position, size_t n, lane *lanes)
{
    pksm_node *nodes = b->tree.table->nodes;
    uint32_t pages[PKSM_MAX_WINDOW];
    uint64_t sums[PKSM_MAX_WINDOW];
    uint8_t zero[PKSM_MAX_WINDOW], unsummed[PKSM_MAX_WINDOW];
    size_t n_unsummed = 0;
    int told;

    if (b->ahead)
        pksm_ahead_reach(b->ahead, position + n);
    for (size_t i = 0; i < n; i++) {
        pksm_node *item = &nodes[ids[position + i]];
        lanes[i].flies = !(item->flags & (PKSM_STABLE | PKSM_DELLIST)) && !stays(b, class_of(b, item->page));
        lanes[i].zero = -1;
        if (!lanes[i].flies || !(item->flags & PKSM_INITCHECKSUM) || !b->rules->checksum.sum)
            continue;
        if (b->ahead && pksm_ahead_take(b->ahead, position + i, item->page, &sums[0], &lanes[i].zero)) {
            give_sum(b, item, sums[0]);
            continue;
        }
        unsummed[n_unsummed] = (uint8_t)i;
        pages[n_unsummed++] = item->page;
    }
    if (!n_unsummed)
        return;
    told = pksm_sum_pages(b->tree.store, &b->rules->checksum, pages, n_unsummed, sums, zero);
    for (size_t k = 0; k < n_unsummed; k++) {
        give_sum(b, &nodes[ids[position + unsummed[k]]], sums[k]);
        if (told)
            lanes[unsummed[k]].zero = zero[k];
    }
}

/* Lets all items of a window fly that have been summed and will search. */
static void fly_window(const batch *b, const uint32_t *ids, size_t n, lane *lanes)
{
    for (size_t i = 0; i < n; i++) {
        const pksm_node *item = &b->tree.table->nodes[ids[i]];
        lanes[i].checksum = item->checksum;
        lanes[i].page = item->page;
        lanes[i].seen[0].what = lanes[i].seen[1].what = SIGHT_NONE;
        lanes[i].flies &= !(item->flags & PKSM_INITCHECKSUM) && item->checksum != b->rules->zero_checksum;
    }
    pksm_fly(&b->tree, lanes, n);
}

static INLINE void fetch_candidate(const batch *b, const lane *l)
{
    if (pksm_fetch_match(&b->tree, l) && b->ahead) /* what another has summed is not in our caches */
        fetch_bytes(page_bytes(b->tree.store, l->page), b->tree.store->page_size);
}

/* Items of the next window: of n that are left, so that none is much smaller than the others. And whether they can work
 * together: those that are in a tree already could be found by others before their turn comes. */
static size_t window_at(const batch *b, const uint32_t *ids, size_t n, int *together)
{
    size_t windows = (n + b->window - 1) / b->window, part = n ? (n + windows - 1) / windows : 0;
    int flags = part > 1 ? 0 : PKSM_UNSTABLE;

    for (size_t i = 0; i < part; i++)
        flags |= b->tree.table->nodes[ids[i]].flags;
    *together = !(flags & PKSM_UNSTABLE);
    return part;
}

static NOINLINE int settle(const batch *b, const uint32_t *ids, size_t n, uint8_t *verdicts, uint32_t *others,
                           size_t *done)
{
    static const lane alone = {.zero = -1};
    lane lanes[2][PKSM_MAX_WINDOW], *now = lanes[0], *next = lanes[1], *swap;
    int together, summed = 0; /* summed: the window, while the one before it waited for its candidates' bytes */
    size_t part;

    for (size_t start = 0; start < n; start += part) {
        int next_together;
        size_t next_part;

        part = window_at(b, ids + start, n - start, &together);
        pksm_forget_gaps(&b->gone[0]);
        pksm_forget_gaps(&b->gone[1]);
        if (together) {
            if (!summed)
                sum_window(b, ids, start, part, now);
            if (start + part < n && !b->ahead)
                fetch_bytes(page_bytes(b->tree.store, b->tree.table->nodes[ids[start + part]].page),
                            b->tree.store->page_size);
            fly_window(b, ids + start, part, now);
            for (size_t i = 0; i < part && i < EARLY; i++)
                fetch_candidate(b, &now[i]);
        }
        next_part = window_at(b, ids + start + part, n - start - part, &next_together);
        summed = together && next_together;
        if (summed)
            sum_window(b, ids, start + part, next_part, next);
        for (size_t i = 0; i < part; i++) {
            int verdict;

            if (together && i + EARLY < part)
                fetch_candidate(b, &now[i + EARLY]);
            verdict = settle_one(b, ids[start + i], together ? &now[i] : &alone, &others[start + i]);

            if (verdict == FULL)
                return PKSM_OK;
            verdicts[start + i] = (uint8_t)verdict;
            b->tree.cost->pages_visited++;
            *done = start + i + 1;
            if (verdict == PKSM_HANGS)
                return PKSM_OK;
        }
        swap = now, now = next, next = swap;
    }
    return PKSM_OK;
}

static int rules_are_sound(const pksm_rules *rules)
{
    return pksm_check_stages(rules, 1) == PKSM_OK && rules->order <= PKSM_CHECKSUM_CONTENT &&
           rules->window <= PKSM_MAX_WINDOW;
}

/* Without a checksum function, nothing may have to be summed. */
static int nothing_to_sum(const pksm_table *table, const pksm_rules *rules, const uint32_t *ids, size_t n)
{
    if (rules->distrust || memchr(rules->stages, PKSM_STAGE_UNCHANGED, sizeof rules->stages))
        return 0;
    for (size_t i = 0; i < n; i++)
        if (table->nodes[ids[i]].flags & PKSM_INITCHECKSUM)
            return 0;
    return 1;
}

static int settle_with(const pksm_store *store, pksm_table *table, pksm_trees *trees, const pksm_rules *rules,
                       const uint8_t *classes, const uint32_t *ids, size_t n, pksm_ahead *ahead, uint8_t *verdicts,
                       uint32_t *others, uint32_t *revisit, size_t *n_revisit, size_t *done, pksm_cost *cost)
{
    filled gone[2] = {{0}, {0}};
    batch b = {.gone = gone,
               .ahead = ahead,
               .rules = rules,
               .classes = classes,
               .revisit = revisit,
               .n_revisit = n_revisit,
               .room = n};
    int unchanged, status = pksm_check_pages(store, NULL, 0);

    if (status == PKSM_OK)
        status = pksm_check_items(store, table, ids, n);
    if (status == PKSM_OK && !rules_are_sound(rules))
        status = PKSM_EINVAL;
    if (status == PKSM_OK)
        status = pksm_check_forest(table, rules->order);
    if (status == PKSM_OK && !rules->checksum.sum && !nothing_to_sum(table, rules, ids, n))
        status = PKSM_EINVAL;
    if (status != PKSM_OK)
        return status;
    b.tree = (page_tree){.store = store,
                         .table = table,
                         .trees = trees,
                         .cost = cost,
                         .order = rules->order,
                         .distrust = rules->distrust,
                         .checksum = rules->checksum};
    unchanged = memchr(rules->stages, PKSM_STAGE_UNCHANGED, sizeof rules->stages) != NULL;
    b.sum_at_once = rules->order != PKSM_CONTENT || !unchanged;
    b.window = unchanged || rules->on_stale == PKSM_STOP || !rules->window ? 1 : rules->window;
    *done = *n_revisit = 0;
    READING(status, settle(&b, ids, n, verdicts, others, done));
    return status;
}

EXPORT int pksm_settle(const pksm_store *store, pksm_table *table, pksm_trees *trees, const pksm_rules *rules,
                       const uint8_t *classes, const uint32_t *ids, size_t n, uint8_t *verdicts, uint32_t *others,
                       uint32_t *revisit, size_t *n_revisit, size_t *done, pksm_cost *cost)
{
    return settle_with(store, table, trees, rules, classes, ids, n, NULL, verdicts, others, revisit, n_revisit, done,
                       cost);
}

EXPORT int pksm_settle_batch(const pksm_store *store, pksm_table *table, pksm_trees *trees, const pksm_rules *rules,
                             const uint8_t *classes, const uint32_t *ids, size_t n, pksm_ahead *ahead, uint32_t *rows,
                             uint32_t *starts, size_t *n_revisit, size_t *done, pksm_cost *cost)
{
    uint32_t *others = rows + 5 * n, *revisit = rows + 6 * n;
    uint8_t *verdicts = (uint8_t *)(rows + 7 * n);
    int sorted, status;

    *n_revisit = *done = 0;
    status = settle_with(store, table, trees, rules, classes, ids, n, ahead, verdicts, others, revisit, n_revisit, done,
                         cost);
    if (ahead)
        pksm_ahead_reach(ahead, UINT64_MAX);
    if (status != PKSM_OK && status != PKSM_EBUS)
        return status;
    sorted = pksm_sort_verdicts(table, ids, verdicts, others, *done, rows, starts);
    return sorted == PKSM_OK ? status : sorted;
}
