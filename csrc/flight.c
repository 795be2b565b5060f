/* flight.c: many searches at a time, in both trees, so that their cache misses overlap.
 *
 * While descents are in flight nothing changes a tree. What each of them saw (a match, or the gap it ended in) is used
 * later, when its item's turn comes, if it still holds; otherwise the item searches alone. */
#include "core.h"

/* One descent: of one lane, in one tree. */
typedef struct {
    uint64_t checksum;
    uint32_t node; /* where it is */
    uint32_t page;
    uint32_t common[2]; /* bytes shared with where it went right last, and left; order CONTENT only */
    sight *seen;
} descent;

/* Into the second cache level: the first can wait for too few lines at a time. */
static INLINE void fetch_node(const pksm_node *nodes, uint32_t id)
{
    __builtin_prefetch(&nodes[id], 0, 2);
}

/* Fetches what rebalancing will look at beside the path that was descended: below a match that may be taken out; and
 * the uncles of what will be hung into a gap, those of two generations. */
static INLINE void fetch_relatives(const pksm_node *nodes, const sight *seen)
{
    uint32_t at = seen->node;

    if (seen->what == SIGHT_GAP) {
        at = rb_parent(nodes, at);
        uint32_t above = rb_parent(nodes, rb_parent(nodes, at));
        fetch_node(nodes, nodes[above].child[0]);
        fetch_node(nodes, nodes[above].child[1]);
    }
    fetch_node(nodes, nodes[at].child[0]);
    fetch_node(nodes, nodes[at].child[1]);
}

/* Goes on to a child, or writes down that there is none: a gap. Returns whether it flies on. */
static INLINE int step(const pksm_node *nodes, descent *d, int right)
{
    uint32_t child = nodes[d->node].child[right];

    fetch_node(nodes, child);
    if (child) {
        d->node = child;
        return 1;
    }
    *d->seen = (sight){.what = SIGHT_GAP, .node = d->node, .side = right};
    fetch_relatives(nodes, d->seen);
    return 0;
}

/* Writes down where it ended without a gap; returns 0. */
static INLINE int land(const pksm_node *nodes, descent *d)
{
    int deleted = nodes[d->node].flags & PKSM_DELLIST;

    *d->seen = (sight){.what = deleted ? SIGHT_NONE : SIGHT_MATCH, .node = d->node};
    fetch_relatives(nodes, d->seen);
    return 0;
}

/* No branch depends on how a comparison comes out: it would be mispredicted every second time. */
static void fly_by_checksum(const page_tree *tree, descent *flying, size_t n)
{
    const pksm_node *nodes = tree->table->nodes;

    while (n) {
        tree->cost->tree_steps += n;
        for (size_t i = 0; i < n;) {
            descent *d = &flying[i];
            const pksm_node *node = &nodes[d->node];
            int flies;

            if (__builtin_expect((d->checksum == node->checksum) | !!(node->flags & PKSM_DELLIST), 0))
                flies = land(nodes, d);
            else
                flies = step(nodes, d, d->checksum > node->checksum);
            if (flies)
                i++;
            else
                *d = flying[--n];
        }
    }
}

/* Bytes from which on a page is compared: a page between two items shares with both what they share. */
static inline size_t known(const descent *d)
{
    return d->common[0] < d->common[1] ? d->common[0] : d->common[1];
}

static void fly_by_content(const page_tree *tree, descent *flying, size_t n)
{
    const pksm_node *nodes = tree->table->nodes;
    size_t size = tree->store->page_size;

    while (n) {
        tree->cost->tree_steps += n;
        for (size_t i = 0; i < n; i++) {
            const uint8_t *bytes = page_bytes(tree->store, nodes[flying[i].node].page) + known(&flying[i]);
            __builtin_prefetch(bytes);
            __builtin_prefetch(bytes + 64);
        }
        for (size_t i = 0; i < n;) {
            descent *d = &flying[i];
            const pksm_node *node = &nodes[d->node];
            size_t from = known(d), common = from;
            int flies, order = 0;

            if (!(node->flags & PKSM_DELLIST) && node->page != d->page) {
                order = salt_order(tree->store, d->page, node->page);
                if (order) /* what both share with others is not known */
                    from = common = 0;
                else
                    order = pksm_kernels.compare(page_bytes(tree->store, d->page), page_bytes(tree->store, node->page),
                                                 size, from, &common);
            }
            tree->cost->bytes_compared += common - from;
            tree->cost->futile_compares += order != 0;
            d->common[order < 0] = (uint32_t)common;
            flies = order ? step(nodes, d, order > 0) : land(nodes, d);
            if (flies)
                i++;
            else
                *d = flying[--n];
        }
    }
}

void pksm_fly(const page_tree *tree, lane *lanes, size_t n)
{
    descent flying[2 * PKSM_MAX_WINDOW];
    size_t flyers = 0;

    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < n; i++) {
            lane *l = &lanes[i];
            uint32_t root;

            if (!l->flies)
                continue;
            l->seen[side] = (sight){.what = SIGHT_GAP};
            root = *pksm_root(tree->table, tree->trees, side ? PKSM_STABLE : PKSM_UNSTABLE, l->checksum);
            fetch_node(tree->table->nodes, root);
            if (root)
                flying[flyers++] = (descent){.checksum = l->checksum,
                                             .page = l->page,
                                             .node = root,
                                             .seen = &l->seen[side]};
        }
    }
    if (tree->order == PKSM_CONTENT)
        fly_by_content(tree, flying, flyers);
    else
        fly_by_checksum(tree, flying, flyers);
}

int pksm_fetch_match(const page_tree *tree, const lane *l)
{
    const sight *seen = l->seen[1].what == SIGHT_MATCH ? &l->seen[1] : &l->seen[0];

    if (!l->flies || seen->what != SIGHT_MATCH || tree->order == PKSM_CONTENT)
        return 0;
    fetch_bytes(page_bytes(tree->store, tree->table->nodes[seen->node].page), tree->store->page_size);
    return 1;
}

/* ---- gaps: while a window is committed, they fill up ---- */

/* Where a gap stands in the set, or would. The gap of an empty tree is not named: its root shows it. */
static INLINE uint32_t slot_of(const filled *gone, uint32_t gap)
{
    uint32_t at = gap * 0x9E3779B1u >> 24;

    _Static_assert(FILLED_SLOTS == 256, "eight bits of the product");
    while (gone->slots[at] && gone->slots[at] != gap)
        at = (at + 1) % FILLED_SLOTS;
    return at;
}

static INLINE void fill(filled *gone, uint32_t node, int side)
{
    uint32_t gap = node << 1 | (uint32_t)side;

    if (node) {
        gone->slots[slot_of(gone, gap)] = gap;
        gone->n++;
    }
}

/* An item that searched alone names the gap by both neighbours: a flight may have seen it from either. */
void pksm_fill_gap(const pksm_node *nodes, filled *gone, uint32_t id, const place *at)
{
    if (at->gap) {
        fill(gone, at->gap >> 1, at->gap & 1);
        return;
    }
    fill(gone, pksm_rb_beside(nodes, id, 0), 1);
    fill(gone, pksm_rb_beside(nodes, id, 1), 0);
}

void pksm_forget_gaps(filled *gone)
{
    if (gone->n)
        memset(gone, 0, sizeof *gone);
}

/* A gap lies between a node and its neighbour on one side. It is still what lies there if the node is in the tree and
 * nothing has been put into it; should the neighbour have left, it has only become wider. All flights of a window see
 * the same tree, where only one of the two has no child on that side: they name a gap alike. A node that has left does
 * not come back before the window ends, for a window of items that are in the tree works one by one. */
static INLINE int still_a_gap(const page_tree *tree, int which, const filled *gone, const lane *l, place *at)
{
    const sight *seen = &l->seen[which == PKSM_STABLE];
    const pksm_node *nodes = tree->table->nodes;
    uint32_t node = seen->node, gap = node << 1 | (uint32_t)seen->side;
    int side = seen->side;

    *at = (place){.gap = gap};
    if (!node)
        return !*pksm_root(tree->table, tree->trees, which, l->checksum);
    if (!(nodes[node].flags & which) || gone->slots[slot_of(gone, gap)])
        return 0;
    if (__builtin_expect(nodes[node].child[side] != 0, 0)) {
        /* rebalancing has hung others below: next to the node, on that side, is the far end of them */
        node = nodes[node].child[side];
        side = !side;
        while (nodes[node].child[side])
            node = nodes[node].child[side];
    }
    at->parent = node;
    at->side = side;
    return 1;
}

int pksm_sight_holds(const page_tree *tree, int which, const filled *gone, const lane *l, place *at, enum find *found)
{
    const sight *seen = &l->seen[which == PKSM_STABLE];
    const pksm_node *match;

    if (seen->what == SIGHT_GAP) {
        *found = FIND_NOTHING;
        return still_a_gap(tree, which, gone, l, at);
    }
    if (seen->what != SIGHT_MATCH)
        return 0;
    match = &tree->table->nodes[seen->node];
    if (!(match->flags & which))
        return 0;
    /* with several contents of one checksum the first met need not be the right one */
    if (tree->order == PKSM_CHECKSUM_CONTENT &&
        (tree->trees->collided || (match->page != l->page && pksm_tree_compare(tree, l->page, match->page))))
        return 0;
    *found = FIND_MATCH;
    at->node = seen->node;
    return 1;
}
