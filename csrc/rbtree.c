/* rbtree.c: a red-black tree over the indices of an array. It knows links and colours; users write the search.
 *
 * child[side] with side 0 or 1 lets one piece of code serve both mirror images. nodes[0] is nil: black, its own
 * parent, never written. */
#include "core.h"

static void set_parent(pksm_node *nodes, uint32_t id, uint32_t parent)
{
    nodes[id].parent_colour = parent << 1 | (nodes[id].parent_colour & 1);
}

static void paint_black(pksm_node *nodes, uint32_t id)
{
    nodes[id].parent_colour &= ~1u;
}

static void paint_red(pksm_node *nodes, uint32_t id)
{
    nodes[id].parent_colour |= 1u;
}

/* Which child of its parent id is; 0 for the root. */
static int side_of(const pksm_node *nodes, uint32_t id)
{
    return nodes[rb_parent(nodes, id)].child[1] == id;
}

/* Puts `in` where `out` hangs below its parent; the children of `out` are not touched. */
static void replace_child(pksm_node *nodes, uint32_t *root, uint32_t out, uint32_t in)
{
    uint32_t parent = rb_parent(nodes, out);

    if (parent)
        nodes[parent].child[side_of(nodes, out)] = in;
    else
        *root = in;
    if (in)
        set_parent(nodes, in, parent);
}

/*      low                  high
 *     /   \                /    \         rotate(low, 0): low goes down to side 0,
 *    A    high    <-->   low     C        rotate(high, 1): high goes down to side 1
 *        /    \         /   \
 *       B      C       A     B            */
static void rotate(pksm_node *nodes, uint32_t *root, uint32_t down, int side)
{
    uint32_t up = nodes[down].child[!side];
    uint32_t middle = nodes[up].child[side];

    replace_child(nodes, root, down, up);
    nodes[up].child[side] = down;
    set_parent(nodes, down, up);
    nodes[down].child[!side] = middle;
    if (middle)
        set_parent(nodes, middle, down);
}

void pksm_rb_replace(pksm_node *nodes, uint32_t *root, uint32_t out, uint32_t in)
{
    nodes[in].parent_colour = nodes[out].parent_colour;
    for (int side = 0; side < 2; side++) {
        nodes[in].child[side] = nodes[out].child[side];
        if (nodes[in].child[side])
            set_parent(nodes, nodes[in].child[side], in);
        nodes[out].child[side] = 0;
    }
    replace_child(nodes, root, out, in);
    nodes[out].parent_colour = 0;
}

void pksm_rb_insert(pksm_node *nodes, uint32_t *root, uint32_t id, uint32_t parent, int side)
{
    nodes[id].child[0] = nodes[id].child[1] = 0;
    nodes[id].parent_colour = parent << 1 | 1;
    if (parent)
        nodes[parent].child[side] = id;
    else
        *root = id;

    /* invariant: id is red, and the only flaw left is that its parent may be red too */
    while (parent && rb_is_red(nodes, parent)) {
        uint32_t grandparent = rb_parent(nodes, parent);
        uint32_t uncle;

        side = side_of(nodes, parent);
        uncle = nodes[grandparent].child[!side];
        if (rb_is_red(nodes, uncle)) {
            /* both red: push the red one generation up and look again there */
            paint_black(nodes, parent);
            paint_black(nodes, uncle);
            paint_red(nodes, grandparent);
            id = grandparent;
            parent = rb_parent(nodes, id);
            continue;
        }
        if (nodes[parent].child[!side] == id) {
            /* inner grandchild: make it the outer one */
            rotate(nodes, root, parent, side);
            parent = id;
        }
        paint_black(nodes, parent);
        paint_red(nodes, grandparent);
        rotate(nodes, root, grandparent, !side);
        break;
    }
    paint_black(nodes, *root);
}

/* Gives the side of parent where a black node is missing (id, perhaps nil, hangs there) its black back. */
static void add_black(pksm_node *nodes, uint32_t *root, uint32_t id, uint32_t parent, int side)
{
    while (parent && !rb_is_red(nodes, id)) {
        uint32_t sibling = nodes[parent].child[!side];

        if (rb_is_red(nodes, sibling)) {
            paint_black(nodes, sibling);
            paint_red(nodes, parent);
            rotate(nodes, root, parent, side);
            sibling = nodes[parent].child[!side];
        }
        if (!rb_is_red(nodes, nodes[sibling].child[0]) && !rb_is_red(nodes, nodes[sibling].child[1])) {
            /* the sibling's side can spare one: now it is missing one generation up */
            paint_red(nodes, sibling);
            id = parent;
            parent = rb_parent(nodes, id);
            side = side_of(nodes, id);
            continue;
        }
        if (!rb_is_red(nodes, nodes[sibling].child[!side])) {
            paint_black(nodes, nodes[sibling].child[side]);
            paint_red(nodes, sibling);
            rotate(nodes, root, sibling, !side);
            sibling = nodes[parent].child[!side];
        }
        nodes[sibling].parent_colour = (nodes[sibling].parent_colour & ~1u) | (nodes[parent].parent_colour & 1u);
        paint_black(nodes, parent);
        paint_black(nodes, nodes[sibling].child[!side]);
        rotate(nodes, root, parent, side);
        return;
    }
    if (id)
        paint_black(nodes, id);
}

void pksm_rb_erase(pksm_node *nodes, uint32_t *root, uint32_t id)
{
    uint32_t low = nodes[id].child[0], high = nodes[id].child[1];
    uint32_t moved, parent; /* what hangs where a node left, and below whom */
    int side, lost_black;

    if (low && high) {
        /* the item behind id in order takes its place and colour; its own place is what is lost */
        uint32_t heir = high;
        while (nodes[heir].child[0])
            heir = nodes[heir].child[0];
        lost_black = !rb_is_red(nodes, heir);
        moved = nodes[heir].child[1];
        if (heir == high) {
            parent = heir;
            side = 1;
        } else {
            parent = rb_parent(nodes, heir);
            side = 0;
            nodes[parent].child[0] = moved;
            if (moved)
                set_parent(nodes, moved, parent);
            nodes[heir].child[1] = high;
            set_parent(nodes, high, heir);
        }
        nodes[heir].child[0] = low;
        set_parent(nodes, low, heir);
        replace_child(nodes, root, id, heir);
        nodes[heir].parent_colour = nodes[id].parent_colour;
    } else {
        moved = low ? low : high;
        parent = rb_parent(nodes, id);
        side = parent ? side_of(nodes, id) : 0;
        lost_black = !rb_is_red(nodes, id);
        replace_child(nodes, root, id, moved);
    }
    nodes[id].child[0] = nodes[id].child[1] = nodes[id].parent_colour = 0;
    if (lost_black)
        add_black(nodes, root, moved, parent, side);
}

uint32_t pksm_rb_first(const pksm_node *nodes, uint32_t root)
{
    while (root && nodes[root].child[0])
        root = nodes[root].child[0];
    return root;
}

uint32_t pksm_rb_beside(const pksm_node *nodes, uint32_t id, int side)
{
    uint32_t at = nodes[id].child[side], parent;

    if (at) {
        while (nodes[at].child[!side])
            at = nodes[at].child[!side];
        return at;
    }
    for (parent = rb_parent(nodes, id); parent && nodes[parent].child[side] == id; parent = rb_parent(nodes, id))
        id = parent;
    return parent;
}

int pksm_rb_links_agree(const pksm_table *table)
{
    const pksm_node *nodes = table->nodes;

    for (uint64_t id = 1; id < table->n_nodes; id++) {
        if (nodes[id].child[0] && nodes[id].child[0] == nodes[id].child[1])
            return 0;
        for (int side = 0; side < 2; side++) {
            uint32_t child = nodes[id].child[side];
            if (child >= table->n_nodes || (child && rb_parent(nodes, child) != id))
                return 0;
        }
        if (rb_parent(nodes, (uint32_t)id) >= table->n_nodes)
            return 0;
    }
    return 1;
}

int pksm_rb_check(const pksm_table *table, uint32_t root, uint32_t *count)
{
    const pksm_node *nodes = table->nodes;
    int black_height = -1;

    if (root >= table->n_nodes || nodes[root].parent_colour)
        return PKSM_ETREE;
    for (uint32_t id = pksm_rb_first(nodes, root); id; id = pksm_rb_next(nodes, id)) {
        int height = 0;

        ++*count;
        if (rb_is_red(nodes, id) && (rb_is_red(nodes, nodes[id].child[0]) || rb_is_red(nodes, nodes[id].child[1])))
            return PKSM_ETREE;
        if (nodes[id].child[0] && nodes[id].child[1])
            continue;
        for (uint32_t up = id; up; up = rb_parent(nodes, up))
            height += !rb_is_red(nodes, up);
        if (black_height >= 0 && height != black_height)
            return PKSM_ETREE;
        black_height = height;
    }
    return PKSM_OK;
}
