/* Trees: items go in and out at random; after every step the tree is a red-black tree and holds what it should. */
#include <unistd.h>

#include "world.h"

static const world *sorting;
static int sorting_order;

static int compare_items(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    uint64_t x = sorting->table.nodes[a].checksum, y = sorting->table.nodes[b].checksum;
    int order = 0;

    if (sorting_order != PKSM_CONTENT)
        order = (x > y) - (x < y);
    if (order == 0 && sorting_order != PKSM_CHECKSUM)
        order = memcmp(page_of(sorting, a), page_of(sorting, b), sorting->size);
    return order;
}

static void check_tree(const world *w, int order, const uint32_t *expected, uint32_t n)
{
    uint32_t *items = block(n * sizeof *items);

    CHECK(pksm_trees_check(&w->store, &w->table, &w->trees, order) == PKSM_OK);
    CHECK(pksm_trees_check(NULL, &w->table, &w->trees, order) == PKSM_OK);
    CHECK(w->trees.n_unstable == n && w->trees.n_stable == 0);
    CHECK(pksm_tree_items(&w->table, &w->trees, PKSM_UNSTABLE, items) == PKSM_OK);
    CHECK(memcmp(items, expected, n * sizeof *items) == 0);
    CHECK(pksm_tree_items(&w->table, &w->trees, PKSM_STABLE, items) == PKSM_OK); /* writes nothing */
    free(items);
}

/* Any one wrong field must be found, whatever it points to. */
static void check_damage(world *w, int order)
{
    uint32_t n = w->trees.n_unstable, *items, id, other, at = UINT32_MAX, root = 0;
    pksm_trees trees = w->trees;
    pksm_node node, *nodes = w->table.nodes;

    if (n < 3)
        return;
    items = block(n * sizeof *items);
    pksm_tree_items(&w->table, &w->trees, PKSM_UNSTABLE, items);
    id = items[below(n - 1)]; /* not the last in order */
    node = nodes[id];
    switch (below(w->table.forest ? 10 : 9)) {
    case 0:
        nodes[id].parent_colour ^= 1;
        break;
    case 1:
        nodes[id].parent_colour ^= (1 + below(w->n)) << 1;
        break;
    case 2:
        other = below(w->n + 1);
        nodes[id].child[below(2)] = other == node.child[0] || other == node.child[1] ? id : other;
        break;
    case 3:
        nodes[id].child[below(2)] = (uint32_t)w->table.n_nodes + below(1000);
        break;
    case 4:
        nodes[id].flags ^= one_in(2) ? PKSM_UNSTABLE : PKSM_STABLE;
        break;
    case 5:
        nodes[id].checksum = UINT64_MAX;
        break;
    case 6:
        w->trees.n_unstable += one_in(2) ? 1 : UINT32_MAX;
        break;
    case 7:
        do
            w->trees.unstable_root = below((uint32_t)w->table.n_nodes + 10);
        while (w->trees.unstable_root == trees.unstable_root);
        break;
    case 8:
        w->trees.stable_root = id;
        break;
    case 9: /* of another tree, or none */
        at = below(2u << w->table.forest_bits);
        root = w->table.forest[at];
        do
            w->table.forest[at] = below((uint32_t)w->table.n_nodes + 10);
        while (w->table.forest[at] == root);
        break;
    }
    if (order == PKSM_CONTENT && nodes[id].checksum != node.checksum)
        CHECK(pksm_trees_check(&w->store, &w->table, &w->trees, order) == PKSM_OK); /* no key there */
    else
        CHECK(pksm_trees_check(&w->store, &w->table, &w->trees, order) == PKSM_ETREE);
    nodes[id] = node;
    w->trees = trees;
    if (at != UINT32_MAX)
        w->table.forest[at] = root;
    CHECK(pksm_trees_check(&w->store, &w->table, &w->trees, order) == PKSM_OK);
    free(items);
}

static void test_random(uint32_t n, uint32_t n_contents, int order, uint32_t forest_bits)
{
    world w;
    uint32_t *in, *batch, n_in = 0;

    make_world(&w, n, n, (size_t)8 << below(5), n_contents);
    plant_forest(&w, forest_bits);
    w.modulus = order == PKSM_CHECKSUM ? 2 * n : w.modulus;
    for (uint32_t id = 1; id <= n; id++)
        w.table.nodes[id].checksum = weak_sum(page_of(&w, id), w.size, &w.modulus);
    in = block(n * sizeof *in);
    batch = block(n * sizeof *batch);
    sorting = &w;
    sorting_order = order;
    for (int step = 0; step < 60; step++) {
        uint32_t n_batch = 0, before = n_in;

        if (one_in(2)) {
            for (uint32_t id = 1; id <= n; id++) {
                if (in_tree(&w, id) || one_in(3))
                    continue;
                batch[n_batch++] = id;
                in[n_in] = id;
                for (uint32_t i = 0; i < n_in; i++)
                    if (compare_items(&in[i], &id) == 0)
                        goto left_out;
                n_in++;
            left_out:;
            }
            CHECK(pksm_relink(&w.store, &w.table, &w.trees, order, PKSM_UNSTABLE, batch, n_batch, &w.cost) == PKSM_OK);
            CHECK(n_in == before || w.cost.tree_steps > 0 || n_in == 1 || w.table.forest);
        } else {
            /* some are in no tree: those are left alone */
            for (uint32_t id = 1; id <= n; id++)
                if (one_in(3))
                    batch[n_batch++] = id;
            CHECK(pksm_unlink(&w.table, &w.trees, batch, n_batch) == PKSM_OK);
            for (uint32_t i = n_in = 0; i < before; i++)
                if (in_tree(&w, in[i]))
                    in[n_in++] = in[i];
            for (uint32_t i = 0; i < n_batch; i++)
                CHECK(!in_tree(&w, batch[i]));
        }
        qsort(in, n_in, sizeof *in, compare_items);
        check_tree(&w, order, in, n_in);
        check_damage(&w, order);
    }
    batch[0] = n + 1;
    CHECK(pksm_unlink(&w.table, &w.trees, batch, 1) == PKSM_EITEM);
    CHECK(pksm_relink(&w.store, &w.table, &w.trees, order, PKSM_UNSTABLE, batch, 1, &w.cost) == PKSM_EITEM);
    batch[0] = 0;
    CHECK(pksm_unlink(&w.table, &w.trees, batch, 1) == PKSM_EITEM);
    check_tree(&w, order, in, n_in);
    free(in);
    free(batch);
    free_world(&w);
}

/* Two trees side by side, one item at a time, many items. */
static void test_large(uint32_t forest_bits)
{
    enum { N = 3000 };
    world w;
    uint32_t ids[N], n_in = 0;

    make_world(&w, N, N, 8, 2);
    plant_forest(&w, forest_bits);
    for (uint32_t id = 1; id <= N; id++) {
        w.table.nodes[id].checksum = random64();
        ids[id - 1] = id;
    }
    for (int step = 0; step < 12000; step++) {
        uint32_t id = 1 + below(N);
        if (in_tree(&w, id)) {
            CHECK(pksm_unlink(&w.table, &w.trees, &id, 1) == PKSM_OK);
            n_in--;
        } else {
            CHECK(pksm_relink(&w.store, &w.table, &w.trees, PKSM_CHECKSUM, PKSM_UNSTABLE, &id, 1, &w.cost) == PKSM_OK);
            n_in++;
        }
        CHECK(w.trees.n_unstable == n_in);
        if (step % 100 == 0)
            CHECK(pksm_trees_check(NULL, &w.table, &w.trees, PKSM_CHECKSUM) == PKSM_OK);
    }
    CHECK(pksm_unlink(&w.table, &w.trees, ids, N) == PKSM_OK);
    CHECK(pksm_trees_check(NULL, &w.table, &w.trees, PKSM_CHECKSUM) == PKSM_OK);
    CHECK(w.trees.unstable_root == 0 && w.trees.n_unstable == 0);
    free_world(&w);
}

/* Too many trees, or an order that does not begin with the checksum: refused, and nothing is read. */
static void test_no_such_forest(void)
{
    static const struct {
        uint32_t bits;
        int order;
    } wrong[] = {{0, PKSM_CHECKSUM}, {PKSM_MAX_FOREST_BITS + 1, PKSM_CHECKSUM}, {1, PKSM_CONTENT}};
    world w;
    uint32_t id = 1, out;

    make_world(&w, 2, 2, 8, 2);
    plant_forest(&w, 1);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        w.table.forest_bits = wrong[i].bits;
        CHECK(pksm_relink(&w.store, &w.table, &w.trees, wrong[i].order, PKSM_UNSTABLE, &id, 1, &w.cost) == PKSM_EINVAL);
        CHECK(pksm_trees_check(NULL, &w.table, &w.trees, wrong[i].order) == PKSM_EINVAL);
        if (wrong[i].bits != 1) {
            CHECK(pksm_unlink(&w.table, &w.trees, &id, 1) == PKSM_EINVAL);
            CHECK(pksm_tree_items(&w.table, &w.trees, PKSM_STABLE, &out) == PKSM_EINVAL);
        }
    }
    free_world(&w);
}

/* A root that hangs above its only child on both sides is never come by. */
static void test_twice_above_its_child(void)
{
    pksm_node nodes[3] = {{0}};
    pksm_table table = {.nodes = nodes, .n_nodes = 3};
    pksm_trees trees = {.unstable_root = 1, .n_unstable = 1};

    nodes[1].child[0] = nodes[1].child[1] = 2;
    nodes[2].parent_colour = 1 << 1 | 1;
    nodes[2].flags = PKSM_UNSTABLE;
    CHECK(pksm_trees_check(NULL, &table, &trees, PKSM_CHECKSUM) == PKSM_ETREE);
    nodes[1].child[0] = 0;
    nodes[1].flags = PKSM_UNSTABLE;
    nodes[2].checksum = 1;
    trees.n_unstable = 2;
    CHECK(pksm_trees_check(NULL, &table, &trees, PKSM_CHECKSUM) == PKSM_OK);
}

int main(int argc, char **argv)
{
    seed_from(argc, argv);
    alarm(100); /* a damaged tree must not send the check round in circles */
    for (int order = PKSM_CONTENT; order <= PKSM_CHECKSUM_CONTENT; order++) {
        for (int i = 0; i < 40; i++)
            test_random(1 + below(40), 2 + below(60), order, order == PKSM_CONTENT ? 0 : below(4));
        for (int i = 0; i < 4; i++)
            test_random(200, 150, order, order == PKSM_CONTENT ? 0 : below(4));
    }
    test_large(0);
    test_large(4);
    test_large(16);
    test_no_such_forest();
    test_twice_above_its_child();
    printf("ok\n");
    return 0;
}
