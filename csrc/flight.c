/* flight.c: many searches at a time, in both trees, so that their cache misses overlap.
 *
 * While descents are in flight nothing changes a tree. What each of them saw (a match, or the two neighbours of the
 * gap it ended in) is used later, when its item's turn comes, if it still holds; otherwise the item searches alone. */
#include "core.h"

/* One descent: of one lane, in one tree. */
typedef struct {
    uint64_t checksum;
    uint32_t node;     /* where it is; 0: it has landed */
    uint32_t bound[2]; /* where it went right last, and left: the neighbours of the gap */
    uint32_t page;
    uint32_t common[2]; /* bytes shared with either of them; order CONTENT only */
    sight *seen;
} descent;

/* Below which of its two neighbours there is room for what goes between them: on its right, or on its left. */
static uint32_t gap_parent(const pksm_node *nodes, const uint32_t bound[2])
{
    return bound[0] && !nodes[bound[0]].child[1] ? bound[0] : bound[1];
}

/* Fetches, into the second cache level, what rebalancing will look at beside the path that was descended: below a match
 * that may be taken out; and the uncles of what will be hung into a gap, those of two generations. */
static INLINE void fetch_relatives(const pksm_node *nodes, const sight *seen)
{
    uint32_t at = seen->match;

    if (seen->what == SIGHT_GAP) {
        at = rb_parent(nodes, gap_parent(nodes, seen->bound));
        uint32_t above = rb_parent(nodes, rb_parent(nodes, at));
        __builtin_prefetch(&nodes[nodes[above].child[0]]);
        __builtin_prefetch(&nodes[nodes[above].child[1]]);
    }
    __builtin_prefetch(&nodes[nodes[at].child[0]]);
    __builtin_prefetch(&nodes[nodes[at].child[1]]);
}

/* Goes on to a child; 0 if there is none: then the gap is found. */
static inline int step(const pksm_node *nodes, descent *d, int right)
{
    d->bound[!right] = d->node;
    d->node = nodes[d->node].child[right];
    __builtin_prefetch(&nodes[d->node]);
    return d->node != 0;
}

/* Writes down what was seen; returns 0. */
static INLINE int land(const pksm_node *nodes, descent *d, int what)
{
    *d->seen = (sight){.what = what, .match = d->node, .bound = {d->bound[0], d->bound[1]}};
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
                flies = land(nodes, d, node->flags & PKSM_DELLIST ? SIGHT_NONE : SIGHT_MATCH);
            else
                flies = step(nodes, d, d->checksum > node->checksum) || land(nodes, d, SIGHT_GAP);
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

            if (!(node->flags & PKSM_DELLIST) && node->page != d->page)
                order = pksm_kernels.compare(page_bytes(tree->store, d->page), page_bytes(tree->store, node->page),
                                             size, from, &common);
            tree->cost->bytes_compared += common - from;
            tree->cost->futile_compares += order != 0;
            d->common[order < 0] = (uint32_t)common;
            if (!order)
                flies = land(nodes, d, node->flags & PKSM_DELLIST ? SIGHT_NONE : SIGHT_MATCH);
            else
                flies = step(nodes, d, order > 0) || land(nodes, d, SIGHT_GAP);
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
        uint32_t root = side ? tree->trees->stable_root : tree->trees->unstable_root;

        for (size_t i = 0; i < n; i++) {
            lane *l = &lanes[i];

            if (!l->flies)
                continue;
            l->seen[side] = (sight){.what = SIGHT_GAP};
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

enum { FETCHED = 4096 }; /* bytes of a page that are fetched ahead: of a longer one, the processor sees a stream */

void pksm_fetch_bytes(const page_tree *tree, uint32_t page)
{
    const uint8_t *bytes = page_bytes(tree->store, page);
    size_t size = tree->store->page_size < FETCHED ? tree->store->page_size : FETCHED;

    /* into the second cache level: the first can wait for too few lines at a time */
    for (size_t at = 0; at < size; at += 64)
        __builtin_prefetch(bytes + at, 0, 2);
}

void pksm_fetch_match(const page_tree *tree, const lane *l)
{
    const sight *seen = l->seen[1].what == SIGHT_MATCH ? &l->seen[1] : &l->seen[0];

    if (l->flies && seen->what == SIGHT_MATCH && tree->order != PKSM_CONTENT)
        pksm_fetch_bytes(tree, tree->table->nodes[seen->match].page);
}

/* The gap is still one if its two sides are in the tree and neighbours. */
static int still_a_gap(const page_tree *tree, int which, const sight *seen, place *at)
{
    const pksm_node *nodes = tree->table->nodes;
    uint32_t low = seen->bound[0], high = seen->bound[1];
    uint32_t root = which == PKSM_STABLE ? tree->trees->stable_root : tree->trees->unstable_root;

    if ((low && !(nodes[low].flags & which)) || (high && !(nodes[high].flags & which)))
        return 0;
    if ((low ? pksm_rb_next(nodes, low) : pksm_rb_first(nodes, root)) != high)
        return 0;
    at->node = 0;
    at->parent = gap_parent(nodes, seen->bound);
    at->side = at->parent == low && low;
    return 1;
}

int pksm_sight_holds(const page_tree *tree, int which, const sight *seen, uint32_t page, place *at, enum find *found)
{
    const pksm_node *match;

    if (seen->what == SIGHT_GAP) {
        *found = FIND_NOTHING;
        return still_a_gap(tree, which, seen, at);
    }
    if (seen->what != SIGHT_MATCH)
        return 0;
    match = &tree->table->nodes[seen->match];
    if (!(match->flags & which))
        return 0;
    /* with several contents of one checksum the first met need not be the right one */
    if (tree->order == PKSM_CHECKSUM_CONTENT &&
        (tree->trees->collided || (match->page != page && pksm_tree_compare(tree, page, match->page))))
        return 0;
    *found = FIND_MATCH;
    at->node = seen->match;
    return 1;
}
