/* stages.c: takes one item through the stages of the rules and gives it its verdict: what the published kernels do. */
#include "settle.h"

/* Beside enum pksm_class: a page all of whose ptes the stage ZERO has moved, though it failed. */
enum { GONE = PKSM_MLOCKED - 1 };

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

/* Pages of one checksum that differ count as merged; those of different salts never do. */
static int differ_is_success(const batch *b, uint32_t page, uint32_t other)
{
    return b->rules->on_differ == PKSM_SUCCESS && !salt_order(b->tree.store, page, other);
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
        return differ_is_success(b, item->page, kept->page) ? PKSM_LIMBO : PKSM_DIFFERENT;
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
        if (!differ_is_success(b, item->page, nodes[at.node].page))
            return PKSM_DIFFERENT;
        return promote(b, id, l, at.node, PKSM_LIMBO, other);
    }
    if (hangs(b, nodes[at.node].page, item->page)) {
        pksm_tree_erase(b->tree.table, b->tree.trees, at.node);
        return PKSM_HANGS;
    }
    return promote(b, id, l, at.node, PKSM_PAIRED, other);
}

int pksm_settle_one(const batch *b, uint32_t id, const lane *l, uint32_t *other)
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
