/* The trees and settling: batches of any ids under any rules, pages that change, items that die. Statuses are those
 * that pksm.h promises, refused calls leave outputs alone, and after each call both trees are sound. */
#include "input.h"

enum { PAGES = 80, ITEMS = 100, BATCH = 80 };

typedef struct {
    pages p;
    pksm_table table;
    pksm_trees trees;
    pksm_cost cost;
    int order;   /* of both trees */
    int changed; /* pages have changed since they were put into a tree: it need not be in order of bytes */
} world;

static pksm_rules next_rules(input *in, world *w)
{
    pksm_rules rules = {.order = (uint8_t)w->order,
                        .zero_on_differ = next_byte(in) & 1,
                        .on_differ = next_byte(in) & 1,
                        .on_stale = (uint8_t)(PKSM_SKIP + next_bit(in)),
                        .on_unusable = (uint8_t)(PKSM_SKIP + next_bit(in)),
                        .busy_waits = next_byte(in) & 1,
                        .unfit_aside = next_byte(in) & 1,
                        .mlock_hangs = next_byte(in) & 1,
                        .distrust = next_byte(in) & 1,
                        .zero_checksum = next_below(in, 3),
                        .checksum = {weak_sum, &w->p.modulus, next_bit(in) ? weak_sums : NULL}};
    static const uint8_t usual[][8] = {{PKSM_STAGE_ZERO, PKSM_STAGE_STABLE, PKSM_STAGE_UNSTABLE},
                                       {PKSM_STAGE_UNCHANGED, PKSM_STAGE_ZERO, PKSM_STAGE_STABLE, PKSM_STAGE_UNSTABLE},
                                       {PKSM_STAGE_STABLE, PKSM_STAGE_UNCHANGED, PKSM_STAGE_UNSTABLE}};
    uint32_t stages = next_below(in, 5), window = next_below(in, PKSM_MAX_WINDOW + 3);

    rules.window = (uint8_t)window;
    if (stages < 3)
        memcpy(rules.stages, usual[stages], 8);
    else
        for (int i = 0; i < 8; i++)
            rules.stages[i] = (uint8_t)next_below(in, 6);
    if (next_below(in, 16) == 15)
        rules.checksum = (pksm_checksum){NULL, NULL, NULL};
    if (next_below(in, 32) == 31)
        rules.order = (uint8_t)(PKSM_CHECKSUM_CONTENT + 1 + next_below(in, 250)); /* another one spoils a tree */
    return rules;
}

static void check(const world *w)
{
    CHECK(pksm_trees_check(w->changed ? NULL : &w->p.store, &w->table, &w->trees, w->order) == PKSM_OK);
}

static int items_are_good(const world *w, const uint32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!ids[i] || ids[i] >= w->table.n_nodes || w->table.nodes[ids[i]].page >= w->p.n)
            return 0;
    return 1;
}

static void settle(world *w, input *in)
{
    size_t n = next_below(in, BATCH), n_revisit = 77, done = 77, bytes = w->table.n_nodes * sizeof *w->table.nodes;
    uint32_t *ids = next_indexes(in, n, ITEMS + 1), *rows = block(8 * n * sizeof *rows), starts[PKSM_N_VERDICTS + 1];
    uint8_t *classes = next_bit(in) ? block(w->p.n) : NULL;
    pksm_rules rules = next_rules(in, w);
    pksm_node *before = copy_of(w->table.nodes, bytes);
    pksm_trees trees = w->trees;
    int status;

    for (uint32_t page = 0; classes && page < w->p.n; page++)
        classes[page] = (uint8_t)(next_below(in, 16) < 10 ? PKSM_FREE
                                                          : (next_below(in, 7) | (next_bit(in) ? PKSM_MLOCKED : 0)));
    status = pksm_settle_batch(&w->p.store, &w->table, &w->trees, &rules, classes, ids, n, NULL, rows, starts,
                               &n_revisit, &done, &w->cost);
    if (status == PKSM_OK) {
        CHECK(items_are_good(w, ids, n) && done <= n && n_revisit <= n && starts[PKSM_N_VERDICTS] == done);
        for (size_t i = 0; i < done; i++)
            CHECK(rows[i] < n && rows[done + i] == ids[rows[i]] && rows[2 * done + i] < w->table.n_nodes);
        CHECK(all_below(rows + 6 * n, n_revisit, w->table.n_nodes));
    } else {
        CHECK(status == PKSM_EINVAL || !items_are_good(w, ids, n));
        CHECK(!memcmp(before, w->table.nodes, bytes) && !memcmp(&trees, &w->trees, sizeof trees));
    }
    free(before);
    free(ids);
    free(rows);
    free(classes);
}

static void unlink_some(world *w, input *in)
{
    size_t n = next_below(in, 12);
    uint32_t *ids = next_indexes(in, n, ITEMS + 1);

    if (pksm_unlink(&w->table, &w->trees, ids, n) == PKSM_OK)
        for (size_t i = 0; i < n; i++)
            CHECK(!(w->table.nodes[ids[i]].flags & (PKSM_STABLE | PKSM_UNSTABLE)));
    free(ids);
}

static void relink_some(world *w, input *in)
{
    size_t n = next_below(in, 12);
    uint32_t *ids = next_indexes(in, n, ITEMS + 1);
    int which = next_below(in, 16) ? PKSM_UNSTABLE << next_bit(in) : next_byte(in), status;

    n = each_once(ids, n);
    status = pksm_relink(&w->p.store, &w->table, &w->trees, w->order, which, ids, n, &w->cost);
    CHECK(status != PKSM_OK || which == PKSM_UNSTABLE || which == PKSM_STABLE);
    free(ids);
}

static void list_all(const world *w)
{
    for (int stable = 0; stable < 2; stable++) {
        uint32_t count = stable ? w->trees.n_stable : w->trees.n_unstable, *out = block(count * sizeof *out);

        CHECK(pksm_tree_items(&w->table, &w->trees, stable ? PKSM_STABLE : PKSM_UNSTABLE, out) == PKSM_OK);
        for (uint32_t i = 0; i < count; i++)
            CHECK(w->table.nodes[out[i]].flags & (stable ? PKSM_STABLE : PKSM_UNSTABLE));
        free(out);
    }
}

/* Checksums are keys: those of items in a tree stay. */
static void change(world *w, input *in)
{
    uint32_t id = 1 + next_below(in, ITEMS);
    pksm_node *item = &w->table.nodes[id];

    switch (next_below(in, 4)) {
    case 0:
        write_page(&w->p, next_below(in, w->p.n), next_byte(in));
        w->changed = 1;
        break;
    case 1:
        item->flags |= PKSM_DELLIST;
        break;
    case 2:
        if (!(item->flags & (PKSM_STABLE | PKSM_UNSTABLE)))
            item->flags = next_bit(in) ? PKSM_INITCHECKSUM : PKSM_INITCHECKSUM | PKSM_ZERO_REFUSED;
        break;
    default:
        if (!(item->flags & (PKSM_STABLE | PKSM_UNSTABLE))) {
            item->page = next_index(in, w->p.n);
            item->checksum = (uint64_t)next_below(in, 5) << 62;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    world w = {.order = (int)next_below(&in, 3), .p = next_pages(&in, PAGES)};

    w.table = (pksm_table){.nodes = block((ITEMS + 1) * sizeof *w.table.nodes), .n_nodes = ITEMS + 1};
    for (uint32_t id = 1; id <= ITEMS; id++)
        w.table.nodes[id] = (pksm_node){.page = (id - 1) % w.p.n, .flags = PKSM_INITCHECKSUM};
    if (w.order != PKSM_CONTENT)
        w.table.forest_bits = next_below(&in, 4);
    if (w.table.forest_bits)
        w.table.forest = block((2u << w.table.forest_bits) * sizeof *w.table.forest);
    while (in.left) {
        switch (next_below(&in, 8)) {
        case 0:
            unlink_some(&w, &in);
            break;
        case 1:
            relink_some(&w, &in);
            break;
        case 2:
            list_all(&w);
            break;
        case 3:
        case 4:
            change(&w, &in);
            break;
        default:
            settle(&w, &in);
        }
        check(&w);
    }
    free(w.table.forest);
    free(w.table.nodes);
    free_pages(&w.p);
    return 0;
}
