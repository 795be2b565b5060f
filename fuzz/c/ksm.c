/* KSM's visits: any ids, limits and stages; pages that die and are born anew; items that are dropped. The trees are
 * sound and the counts are those of a plain count after each call; refused calls change nothing. */
#include "input.h"

enum { PAGES = 24, ITEMS = 40, SPARE = 24 }; /* so few spare ids that there is none now and then */

typedef struct {
    pages p;
    pksm_table table;
    pksm_trees trees;
    pksm_cost cost;
    pksm_ksm ksm;
    pksm_ksm_counts counts;
    uint32_t now;
} world;

static void check(const world *w)
{
    const pksm_node *nodes = w->table.nodes;
    uint32_t hang[ITEMS + SPARE + 1] = {0}, shared = 0, sharing = 0, passed = 0, chains = 0, dups = 0;

    for (uint32_t id = 1; id <= ITEMS; id++) {
        CHECK(nodes[id].link < w->table.n_nodes);
        hang[nodes[id].link]++;
        passed += !!(nodes[id].flags & PKSM_PASSED);
    }
    for (uint32_t id = ITEMS + 1; id < w->table.n_nodes; id++) {
        chains += !!(nodes[id].flags & PKSM_CHAIN);
        dups += !!(nodes[id].flags & PKSM_DUP);
        if (nodes[id].flags & PKSM_CHAIN)
            continue;
        CHECK(w->ksm.sharers[id] == hang[id]);
        if (hang[id] && !(nodes[id].flags & PKSM_RETIRED)) {
            shared++;
            sharing += hang[id] - 1;
        }
    }
    CHECK(w->counts.shared == shared && w->counts.sharing == sharing && w->counts.passed == passed);
    CHECK(w->counts.chains == chains && w->counts.dups == dups && w->counts.n_spare <= SPARE);
    CHECK(pksm_trees_check(NULL, &w->table, &w->trees, PKSM_CONTENT) == PKSM_OK);
    for (uint32_t page = 0; page < w->p.n; page++)
        CHECK(!w->ksm.node_of_page[page] || nodes[w->ksm.node_of_page[page]].page == page);
}

static pksm_rules next_rules(input *in, world *w)
{
    pksm_rules rules = {.stages = {PKSM_STAGE_UNCHANGED, PKSM_STAGE_ZERO, PKSM_STAGE_STABLE, PKSM_STAGE_UNSTABLE},
                        .order = PKSM_CONTENT,
                        .zero_checksum = next_below(in, 3),
                        .checksum = {weak_sum, &w->p.modulus, NULL}};

    if (next_below(in, 4) == 3)
        for (int i = 0; i < 8; i++)
            rules.stages[i] = (uint8_t)next_below(in, 6);
    if (next_below(in, 16) == 15)
        rules.checksum.sum = NULL;
    return rules;
}

/* The ptes move: so do the items' pages. */
static void move_pages(world *w, const uint32_t *ids, const uint8_t *verdicts, const uint32_t *others, size_t done)
{
    pksm_node *nodes = w->table.nodes;

    for (size_t i = 0; i < done; i++) {
        CHECK(verdicts[i] < PKSM_N_VERDICTS && others[i] < w->table.n_nodes);
        if (verdicts[i] == PKSM_JOINED)
            nodes[ids[i]].page = nodes[others[i]].page;
        else if (verdicts[i] == PKSM_PAIRED && !(nodes[others[i]].flags & PKSM_UNSTABLE))
            nodes[others[i]].page = nodes[ids[i]].page;
    }
}

static void visit(world *w, input *in)
{
    size_t n = next_below(in, ITEMS), done = 77, limit = next_below(in, ITEMS + 1);
    size_t bytes = w->table.n_nodes * sizeof *w->table.nodes;
    uint32_t *ids = next_indexes(in, n, ITEMS + 1), *others;
    uint8_t *mapped, *verdicts, *classes = next_bit(in) ? block(w->p.n) : NULL;
    pksm_rules rules = next_rules(in, w);
    pksm_ksm_limits limits = {.max_page_sharing = next_below(in, 5),
                              .prune_millisecs = next_byte(in),
                              .now_millisecs = w->now += next_byte(in),
                              .smart_scan = next_byte(in) & 1,
                              .in_order = next_byte(in) & 1};
    pksm_node *before = copy_of(w->table.nodes, bytes);
    int status;

    n = each_once(ids, n);
    for (size_t i = 0; i < n; i++) /* stable nodes are no mappings */
        if (ids[i] > ITEMS && ids[i] < w->table.n_nodes)
            ids[i] = UINT32_MAX;
    others = block(n * sizeof *others);
    mapped = block(n);
    verdicts = block(n);
    for (size_t i = 0; i < n; i++)
        mapped[i] = next_below(in, 8) != 0;
    for (uint32_t page = 0; classes && page < w->p.n; page++)
        classes[page] = next_below(in, 4) ? PKSM_FREE : PKSM_BUSY_PAGE;
    status = pksm_ksm_visit(&w->p.store, &w->table, &w->trees, &w->ksm, &rules, &limits, classes, ids, mapped, n, limit,
                            verdicts, others, &done, &w->cost);
    if (status == PKSM_OK) {
        CHECK(done <= n);
        move_pages(w, ids, verdicts, others, done);
    } else {
        CHECK(status == PKSM_EINVAL || status == PKSM_EITEM || status == PKSM_EPAGE);
        CHECK(done == 0 && !memcmp(before, w->table.nodes, bytes));
    }
    free(before);
    free(ids);
    free(others);
    free(mapped);
    free(verdicts);
    free(classes);
}

static void bury(world *w, input *in)
{
    size_t n = next_below(in, 6);
    uint32_t *buried = next_indexes(in, n, w->p.n);

    CHECK(pksm_ksm_bury(&w->table, &w->ksm, buried, n) == PKSM_OK);
    for (size_t i = 0; i < n; i++)
        if (buried[i] < w->p.n)
            write_page(&w->p, buried[i], next_byte(in));
    free(buried);
}

static void remap(world *w, input *in)
{
    pksm_node *item = &w->table.nodes[1 + next_below(in, ITEMS)];

    if (!(item->flags & PKSM_UNSTABLE))
        item->page = next_index(in, w->p.n);
}

static void drop(world *w, input *in)
{
    size_t n = next_below(in, 6);
    uint32_t *ids = next_indexes(in, n, ITEMS + 1);

    for (size_t i = 0; i < n; i++)
        if (ids[i] > ITEMS && ids[i] < w->table.n_nodes)
            ids[i] = 0;
    if (pksm_ksm_drop(&w->table, &w->trees, &w->ksm, ids, n, &w->cost) == PKSM_OK)
        for (size_t i = 0; i < n; i++)
            CHECK(!w->table.nodes[ids[i]].link && !(w->table.nodes[ids[i]].flags & (PKSM_UNSTABLE | PKSM_PASSED)));
    free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    world w = {.p = next_pages(&in, PAGES)};
    int left;

    w.table = (pksm_table){.nodes = block((ITEMS + SPARE + 1) * sizeof *w.table.nodes), .n_nodes = ITEMS + SPARE + 1};
    w.ksm = (pksm_ksm){.node_of_page = block(w.p.n * 4),
                       .n_pages = w.p.n,
                       .sharers = block(w.table.n_nodes * 4),
                       .next = block(w.table.n_nodes * 4),
                       .spare = block(SPARE * 4),
                       .counts = &w.counts};
    for (uint32_t i = 0; i < SPARE; i++)
        w.ksm.spare[w.counts.n_spare++] = ITEMS + 1 + i;
    for (uint32_t id = 1; id <= ITEMS; id++)
        w.table.nodes[id].page = (id - 1) % w.p.n;
    while (in.left) {
        switch (next_below(&in, 8)) {
        case 0:
            CHECK(pksm_ksm_pass(&w.table, &w.trees, &w.ksm) == PKSM_OK && !w.trees.n_unstable);
            break;
        case 1:
            bury(&w, &in);
            break;
        case 2:
            drop(&w, &in);
            break;
        case 3:
            remap(&w, &in);
            break;
        case 4:
            CHECK(pksm_ksm_remove_dead(&w.table, &w.trees, &w.ksm, &left, &w.cost) == PKSM_OK);
            break;
        default:
            visit(&w, &in);
        }
        check(&w);
    }
    free(w.ksm.node_of_page);
    free(w.ksm.sharers);
    free(w.ksm.next);
    free(w.ksm.spare);
    free(w.table.nodes);
    free_pages(&w.p);
    return 0;
}
