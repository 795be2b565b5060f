/* flight.c: many searches of one tree at a time, so that their cache misses overlap.
 *
 * While descents are in flight nothing changes a tree. What each of them saw (a match, or the two neighbours of the
 * gap it ended in) is used later, when its item's turn comes, if it still holds; otherwise the item searches alone. */
#include "core.h"

/* Drops the lanes that are done (node 0) from the list of those in flight. */
static size_t land(lane *const *flying, size_t n, lane **still)
{
    size_t left = 0;

    for (size_t i = 0; i < n; i++)
        if (flying[i]->node)
            still[left++] = flying[i];
    return left;
}

static inline void step(const pksm_node *nodes, lane *l, sight *seen, int right)
{
    seen->bound[!right] = l->node;
    l->node = nodes[l->node].child[right];
    __builtin_prefetch(&nodes[l->node]);
}

static void see_nothing(lane *l, sight *seen)
{
    seen->what = SIGHT_NONE;
    l->node = 0;
}

static void see_match(lane *l, sight *seen)
{
    seen->what = SIGHT_MATCH;
    seen->match = l->node;
    l->node = 0;
}

static void fly_by_checksum(const page_tree *tree, int side, lane **flying, size_t n)
{
    const pksm_node *nodes = tree->table->nodes;

    while (n) {
        tree->cost->tree_steps += n;
        for (size_t i = 0; i < n; i++) {
            lane *l = flying[i];
            const pksm_node *node = &nodes[l->node];

            if (node->flags & PKSM_DELLIST)
                see_nothing(l, &l->seen[side]);
            else if (node->checksum == l->checksum)
                see_match(l, &l->seen[side]);
            else
                step(nodes, l, &l->seen[side], l->checksum > node->checksum);
        }
        n = land(flying, n, flying);
    }
}

/* Two items between which a page is to go share with it what they share with each other: compare from there on. */
static void fly_by_content(const page_tree *tree, int side, lane **flying, size_t n)
{
    const pksm_node *nodes = tree->table->nodes;
    size_t size = tree->store->page_size;

    while (n) {
        tree->cost->tree_steps += n;
        for (size_t i = 0; i < n; i++) {
            lane *l = flying[i];
            size_t from = l->common[0] < l->common[1] ? l->common[0] : l->common[1];
            const uint8_t *bytes = page_bytes(tree->store, nodes[l->node].page) + from;
            __builtin_prefetch(bytes);
            __builtin_prefetch(bytes + 64);
        }
        for (size_t i = 0; i < n; i++) {
            lane *l = flying[i];
            const pksm_node *node = &nodes[l->node];
            size_t from = l->common[0] < l->common[1] ? l->common[0] : l->common[1], common = from;
            int order;

            if (node->flags & PKSM_DELLIST) {
                see_nothing(l, &l->seen[side]);
                continue;
            }
            order = node->page == l->page ? 0
                                          : kernels.compare(page_bytes(tree->store, l->page),
                                                            page_bytes(tree->store, node->page), size, from, &common);
            tree->cost->bytes_compared += common - from;
            if (!order) {
                see_match(l, &l->seen[side]);
                continue;
            }
            tree->cost->futile_compares++;
            l->common[order < 0] = common;
            step(nodes, l, &l->seen[side], order > 0);
        }
        n = land(flying, n, flying);
    }
}

void fly(const page_tree *tree, int which, lane *lanes, size_t n)
{
    lane *flying[PKSM_MAX_WINDOW];
    int side = which == PKSM_STABLE;
    size_t flyers = 0;
    uint32_t root = side ? tree->trees->stable_root : tree->trees->unstable_root;

    for (size_t i = 0; i < n; i++) {
        lane *l = &lanes[i];
        if (!l->flies || (!side && l->seen[1].what == SIGHT_MATCH))
            continue;
        l->seen[side] = (sight){.what = SIGHT_GAP};
        l->node = root;
        l->common[0] = l->common[1] = 0;
        flying[flyers++] = l;
    }
    if (!root)
        return;
    if (tree->order == PKSM_CONTENT)
        fly_by_content(tree, side, flying, flyers);
    else
        fly_by_checksum(tree, side, flying, flyers);
}

/* Fetches the bytes that a lane will be compared with. */
void fetch_match(const page_tree *tree, const lane *l)
{
    const sight *seen = l->seen[1].what == SIGHT_MATCH ? &l->seen[1] : &l->seen[0];
    const uint8_t *bytes;

    if (!l->flies || seen->what != SIGHT_MATCH || tree->order == PKSM_CONTENT)
        return;
    bytes = page_bytes(tree->store, tree->table->nodes[seen->match].page);
    for (size_t at = 0; at < tree->store->page_size; at += 64)
        __builtin_prefetch(bytes + at);
}

/* The gap is still one if its two sides are in the tree and neighbours. */
static int still_a_gap(const page_tree *tree, int which, const sight *seen, place *at)
{
    const pksm_node *nodes = tree->table->nodes;
    uint32_t low = seen->bound[0], high = seen->bound[1];
    uint32_t root = which == PKSM_STABLE ? tree->trees->stable_root : tree->trees->unstable_root;

    if ((low && !(nodes[low].flags & which)) || (high && !(nodes[high].flags & which)))
        return 0;
    if ((low ? rb_next(nodes, low) : rb_first(nodes, root)) != high)
        return 0;
    at->node = 0;
    at->side = low && !nodes[low].child[1];
    at->parent = at->side ? low : high;
    return 1;
}

int sight_holds(const page_tree *tree, int which, const sight *seen, uint32_t page, place *at, enum find *found)
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
        (tree->trees->collided || (match->page != page && tree_compare(tree, page, match->page))))
        return 0;
    *found = FIND_MATCH;
    at->node = seen->match;
    return 1;
}
