/* page_tree.c: red-black trees whose keys are pages: search by content, by checksum, or by both. */
#include "core.h"

static uint32_t *count_of(pksm_trees *trees, int which)
{
    return which == PKSM_STABLE ? &trees->n_stable : &trees->n_unstable;
}

int pksm_tree_compare(const page_tree *tree, uint32_t page, uint32_t other)
{
    size_t size = tree->store->page_size, common;
    int order = salt_order(tree->store, page, other);

    if (order) {
        tree->cost->futile_compares++;
        return order;
    }
    order = pksm_kernels.compare(page_bytes(tree->store, page), page_bytes(tree->store, other), size, 0, &common);
    tree->cost->bytes_compared += order ? common + 1 : size;
    tree->cost->futile_compares += order != 0;
    return order;
}

int pksm_tree_is_outdated(const page_tree *tree, uint32_t id)
{
    const pksm_node *node = &tree->table->nodes[id];

    tree->cost->bytes_hashed += tree->store->page_size;
    return tree->checksum.sum(page_bytes(tree->store, node->page), tree->store->page_size, tree->checksum.state) !=
           node->checksum;
}

enum find pksm_tree_find(const page_tree *tree, int which, uint64_t checksum, uint32_t page, place *at)
{
    const pksm_node *nodes = tree->table->nodes;
    uint32_t id = *pksm_root(tree->table, tree->trees, which, checksum);

    *at = (place){0};
    while (id) {
        const pksm_node *node = &nodes[id];
        int order = 0;

        tree->cost->tree_steps++;
        at->node = id;
        if (node->flags & PKSM_DELLIST)
            return FIND_DELETED;
        if (tree->order != PKSM_CONTENT)
            order = checksum < node->checksum ? -1 : checksum > node->checksum;
        if (!order && tree->order != PKSM_CHECKSUM && node->page != page) {
            order = pksm_tree_compare(tree, page, node->page);
            if (order && tree->order == PKSM_CHECKSUM_CONTENT) {
                tree->cost->collisions++;
                tree->trees->collided = 1;
                if (which == PKSM_UNSTABLE && tree->distrust && pksm_tree_is_outdated(tree, id))
                    return FIND_OUTDATED;
            }
        }
        if (!order)
            return FIND_MATCH;
        at->parent = id;
        at->side = order > 0;
        id = node->child[at->side];
    }
    at->node = 0;
    return FIND_NOTHING;
}

void pksm_tree_insert(const page_tree *tree, int which, uint32_t id, const place *at)
{
    pksm_node *nodes = tree->table->nodes;

    pksm_rb_insert(nodes, pksm_root(tree->table, tree->trees, which, nodes[id].checksum), id, at->parent, at->side);
    nodes[id].flags |= (uint16_t)which;
    ++*count_of(tree->trees, which);
}

void pksm_tree_erase(pksm_table *table, pksm_trees *trees, uint32_t id)
{
    int which = table->nodes[id].flags & (PKSM_STABLE | PKSM_UNSTABLE);

    if (!which)
        return;
    pksm_rb_erase(table->nodes, pksm_root(table, trees, which, table->nodes[id].checksum), id);
    table->nodes[id].flags &= (uint16_t)~which;
    --*count_of(trees, which);
}

EXPORT int pksm_unlink(pksm_table *table, pksm_trees *trees, const uint32_t *ids, size_t n)
{
    int status = pksm_check_items(NULL, table, ids, n);

    if (status == PKSM_OK)
        for (size_t i = 0; i < n; i++)
            pksm_tree_erase(table, trees, ids[i]);
    return status;
}

static NOINLINE int relink(const page_tree *tree, int which, const uint32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const pksm_node *node = &tree->table->nodes[ids[i]];
        enum find found;
        place at;

        while ((found = pksm_tree_find(tree, which, node->checksum, node->page, &at)) == FIND_DELETED) {
            pksm_tree_erase(tree->table, tree->trees, at.node);
            tree->cost->unlinked++;
        }
        if (found == FIND_NOTHING)
            pksm_tree_insert(tree, which, ids[i], &at);
    }
    return PKSM_OK;
}

EXPORT int pksm_relink(const pksm_store *store, pksm_table *table, pksm_trees *trees, int order, int which,
                       const uint32_t *ids, size_t n, pksm_cost *cost)
{
    page_tree tree = {.store = store, .table = table, .trees = trees, .cost = cost, .order = order};
    int status = pksm_check_pages(store, NULL, 0);

    if (status == PKSM_OK)
        status = pksm_check_items(store, table, ids, n);
    if (status == PKSM_OK && which != PKSM_UNSTABLE && which != PKSM_STABLE)
        status = PKSM_EINVAL;
    if (status == PKSM_OK)
        status = pksm_check_forest(table, order);
    for (size_t i = 0; status == PKSM_OK && i < n; i++)
        if (table->nodes[ids[i]].flags & (PKSM_STABLE | PKSM_UNSTABLE | PKSM_DELLIST))
            status = PKSM_EINVAL;
    if (status == PKSM_OK)
        READING(status, relink(&tree, which, ids, n));
    return status;
}

static uint64_t n_trees(const pksm_table *table)
{
    return table->forest ? UINT64_C(1) << table->forest_bits : 1;
}

/* The root of tree number `tree` of those of `which`. */
static uint32_t root_of(const pksm_table *table, const pksm_trees *trees, int which, uint64_t tree)
{
    if (table->forest)
        return table->forest[tree * 2 + (which == PKSM_STABLE)];
    return which == PKSM_STABLE ? trees->stable_root : trees->unstable_root;
}

EXPORT int pksm_tree_items(const pksm_table *table, const pksm_trees *trees, int which, uint32_t *out)
{
    int status = pksm_check_forest(table, PKSM_CHECKSUM);

    if (status != PKSM_OK)
        return status;
    for (uint64_t tree = 0; tree < n_trees(table); tree++) {
        uint32_t id = pksm_rb_first(table->nodes, root_of(table, trees, which, tree));

        for (; id; id = pksm_rb_next(table->nodes, id))
            *out++ = id;
    }
    return PKSM_OK;
}

static NOINLINE int check_keys(const pksm_store *store, const pksm_node *nodes, uint32_t root, int which, int by)
{
    uint32_t id = pksm_rb_first(nodes, root), next;

    for (; id; id = next) {
        size_t common;
        int order = 0;

        next = pksm_rb_next(nodes, id);
        if ((nodes[id].flags & (PKSM_STABLE | PKSM_UNSTABLE)) != which)
            return PKSM_ETREE;
        if (!next)
            break;
        if (by != PKSM_CONTENT)
            order = nodes[id].checksum < nodes[next].checksum ? -1 : nodes[id].checksum > nodes[next].checksum;
        if (order > 0 || (order == 0 && by == PKSM_CHECKSUM))
            return PKSM_ETREE;
        if (order == 0 && store && !((nodes[id].flags | nodes[next].flags) & PKSM_DELLIST)) {
            order = salt_order(store, nodes[id].page, nodes[next].page);
            if (!order)
                order = pksm_page_compare(page_bytes(store, nodes[id].page), page_bytes(store, nodes[next].page),
                                          store->page_size, &common);
            if (order >= 0)
                return PKSM_ETREE;
        }
    }
    return PKSM_OK;
}

/* The items of a tree in a forest have its number as their top bits: in order, so that two of them are looked at. */
static int all_belong(const pksm_table *table, uint32_t root, uint64_t tree)
{
    uint32_t first = pksm_rb_first(table->nodes, root), last = root;
    int shift = 64 - (int)table->forest_bits;

    while (last && table->nodes[last].child[1])
        last = table->nodes[last].child[1];
    return !root || (table->nodes[first].checksum >> shift == tree && table->nodes[last].checksum >> shift == tree);
}

/* A tree with links that agree; its items are counted. */
static NOINLINE int check_tree(const pksm_store *store, const pksm_table *table, uint32_t root, int which, int order,
                               uint32_t *count)
{
    int status = pksm_rb_check(table, root, count);

    if (status == PKSM_OK)
        READING(status, check_keys(store, table->nodes, root, which, order));
    return status;
}

/* All trees of `which`. */
static int check_trees(const pksm_store *store, const pksm_table *table, const pksm_trees *trees, int which, int order,
                       uint32_t *count)
{
    int status = PKSM_OK;

    for (uint64_t tree = 0; tree < n_trees(table) && status == PKSM_OK; tree++) {
        uint32_t root = root_of(table, trees, which, tree);

        status = check_tree(store, table, root, which, order, count);
        if (status == PKSM_OK && table->forest && !all_belong(table, root, tree))
            status = PKSM_ETREE;
    }
    return status;
}

EXPORT int pksm_trees_check(const pksm_store *store, const pksm_table *table, const pksm_trees *trees, int order)
{
    uint32_t flagged[2] = {0, 0}, counts[2] = {0, 0};
    int status = store ? pksm_check_pages(store, NULL, 0) : PKSM_OK;

    if (status == PKSM_OK)
        status = pksm_check_forest(table, order);
    if (status == PKSM_OK &&
        (!pksm_rb_links_agree(table) || (table->forest && (trees->unstable_root | trees->stable_root))))
        status = PKSM_ETREE;
    if (status == PKSM_OK)
        status = check_trees(store, table, trees, PKSM_UNSTABLE, order, &counts[0]);
    if (status == PKSM_OK)
        status = check_trees(store, table, trees, PKSM_STABLE, order, &counts[1]);
    if (status == PKSM_OK && (counts[0] != trees->n_unstable || counts[1] != trees->n_stable))
        status = PKSM_ETREE;
    for (uint64_t id = 1; id < table->n_nodes; id++) {
        flagged[0] += !!(table->nodes[id].flags & PKSM_UNSTABLE);
        flagged[1] += !!(table->nodes[id].flags & PKSM_STABLE);
    }
    if (status == PKSM_OK && (flagged[0] != trees->n_unstable || flagged[1] != trees->n_stable))
        status = PKSM_ETREE;
    return status;
}
