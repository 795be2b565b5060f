/* ksm: mappings of few pages and few contents at random, visited in rounds, with small limits of sharing, pages that
 * die and are born anew, items that are dropped. After each call the trees are sound and the counts are those of a
 * plain count; nothing that is left out is read. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "world.h"

enum { PAGES = 24, ITEMS = 40, SPARE = 400 };

typedef struct {
    world w;
    pksm_ksm ksm;
    pksm_ksm_counts counts;
    pksm_ksm_limits limits;
    pksm_rules rules;
} ksm_world;

static void make(ksm_world *k)
{
    uint8_t *zero;

    memset(k, 0, sizeof *k);
    make_world(&k->w, PAGES, ITEMS + SPARE, 8u << below(4), 2 + below(5));
    zero = block(k->w.size);
    k->ksm = (pksm_ksm){.node_of_page = block(PAGES * 4),
                        .n_pages = PAGES,
                        .sharers = block(k->w.table.n_nodes * 4),
                        .next = block(k->w.table.n_nodes * 4),
                        .spare = block(SPARE * 4),
                        .counts = &k->counts};
    memset(k->ksm.node_of_page, 0, PAGES * 4);
    memset(k->ksm.sharers, 0, k->w.table.n_nodes * 4);
    memset(k->ksm.next, 0, k->w.table.n_nodes * 4);
    for (uint32_t i = 0; i < SPARE; i++)
        k->ksm.spare[i] = ITEMS + 1 + i;
    k->counts.n_spare = SPARE;
    for (uint32_t id = 1; id < k->w.table.n_nodes; id++) {
        memset(&k->w.table.nodes[id], 0, sizeof *k->w.table.nodes);
        if (id <= ITEMS)
            k->w.table.nodes[id].page = below(PAGES);
    }
    k->limits = (pksm_ksm_limits){.max_page_sharing = below(3) ? 2 + below(3) : 0,
                                  .prune_millisecs = below(50),
                                  .smart_scan = (uint8_t)below(2)};
    k->rules = (pksm_rules){.stages = {PKSM_STAGE_UNCHANGED, PKSM_STAGE_STABLE, PKSM_STAGE_UNSTABLE},
                            .order = PKSM_CONTENT,
                            .zero_checksum = weak_sum(zero, k->w.size, &k->w.modulus),
                            .checksum = {weak_sum, &k->w.modulus, NULL}};
    if (one_in(2))
        memcpy(k->rules.stages,
               (uint8_t[]){PKSM_STAGE_STABLE, PKSM_STAGE_UNCHANGED, PKSM_STAGE_ZERO, PKSM_STAGE_UNSTABLE, 0}, 5);
    else if (!below(4)) /* ends early: LEFT */
        memcpy(k->rules.stages, (uint8_t[]){PKSM_STAGE_UNCHANGED, PKSM_STAGE_ZERO, 0}, 3);
    free(zero);
}

static void free_ksm(ksm_world *k)
{
    free(k->ksm.node_of_page);
    free(k->ksm.sharers);
    free(k->ksm.next);
    free(k->ksm.spare);
    free_world(&k->w);
}

/* Counts what hangs on what, from the links alone. */
static void check_counts(const ksm_world *k)
{
    const pksm_node *nodes = k->w.table.nodes;
    uint32_t hang[ITEMS + SPARE + 1] = {0}, shared = 0, sharing = 0, passed = 0, chains = 0, dups = 0;

    for (uint32_t id = 1; id <= ITEMS; id++) {
        hang[nodes[id].link]++;
        passed += !!(nodes[id].flags & PKSM_PASSED);
        CHECK(!(nodes[id].link && nodes[id].flags & (PKSM_UNSTABLE | PKSM_PASSED)));
    }
    for (uint32_t id = ITEMS + 1; id < k->w.table.n_nodes; id++) {
        chains += !!(nodes[id].flags & PKSM_CHAIN);
        dups += !!(nodes[id].flags & PKSM_DUP);
        if (nodes[id].flags & PKSM_CHAIN)
            continue;
        CHECK(k->ksm.sharers[id] == hang[id]);
        if (hang[id] && !(nodes[id].flags & PKSM_RETIRED)) {
            shared++;
            sharing += hang[id] - 1;
        }
    }
    CHECK(k->counts.shared == shared && k->counts.sharing == sharing && k->counts.passed == passed);
    CHECK(k->counts.chains == chains && k->counts.dups == dups);
    CHECK(pksm_trees_check(NULL, &k->w.table, &k->w.trees, PKSM_CONTENT) == PKSM_OK);
    for (uint32_t page = 0; page < PAGES; page++)
        CHECK(!k->ksm.node_of_page[page] || nodes[k->ksm.node_of_page[page]].page == page);
}

/* What a visit changes. */
typedef struct {
    pksm_node nodes[ITEMS + SPARE + 1];
    uint32_t node_of_page[PAGES], sharers[ITEMS + SPARE + 1], next[ITEMS + SPARE + 1], spare[SPARE];
    pksm_ksm_counts counts;
    pksm_trees trees;
} state;

static void copy_state(state *to, const ksm_world *k)
{
    memset(to, 0, sizeof *to);
    memcpy(to->nodes, k->w.table.nodes, sizeof to->nodes);
    memcpy(to->node_of_page, k->ksm.node_of_page, sizeof to->node_of_page);
    memcpy(to->sharers, k->ksm.sharers, sizeof to->sharers);
    memcpy(to->next, k->ksm.next, sizeof to->next);
    memcpy(to->spare, k->ksm.spare, sizeof to->spare);
    to->counts = k->counts;
    to->trees = k->w.trees;
}

/* Searches that fly together come to what searches one by one come to, to the last link. */
static void check_one_by_one(const ksm_world *k, const state *before, const state *after, const uint32_t *ids,
                             const uint8_t *mapped, size_t n, size_t limit, const uint8_t *verdicts,
                             const uint32_t *others, size_t done)
{
    static state alone;
    pksm_table table = {.nodes = alone.nodes, .n_nodes = k->w.table.n_nodes};
    pksm_ksm ksm = {alone.node_of_page, PAGES, alone.sharers, alone.next, alone.spare, &alone.counts};
    pksm_ksm_limits limits = k->limits;
    pksm_cost cost = {0};
    uint32_t others_alone[ITEMS];
    uint8_t verdicts_alone[ITEMS];
    size_t done_alone;

    alone = *before;
    limits.in_order = 0;
    CHECK(pksm_ksm_visit(&k->w.store, &table, &alone.trees, &ksm, &k->rules, &limits, NULL, ids, mapped, n, limit,
                         verdicts_alone, others_alone, &done_alone, &cost) == PKSM_OK);
    CHECK(done == done_alone && !memcmp(verdicts, verdicts_alone, done));
    for (size_t i = 0; i < done; i++)
        CHECK(verdicts[i] == PKSM_WAITING || verdicts[i] == PKSM_STALE || verdicts[i] == PKSM_ZERO ||
              verdicts[i] == PKSM_LEFT || others[i] == others_alone[i]);
    CHECK(!memcmp(after->nodes, alone.nodes, sizeof alone.nodes));
    CHECK(!memcmp(after->node_of_page, alone.node_of_page, sizeof alone.node_of_page));
    CHECK(!memcmp(after->sharers, alone.sharers, sizeof alone.sharers));
    CHECK(!memcmp(after->next, alone.next, sizeof alone.next));
    CHECK(!memcmp(after->spare, alone.spare, alone.counts.n_spare * sizeof *alone.spare));
    CHECK(!memcmp(&after->counts, &alone.counts, sizeof alone.counts));
    CHECK(!memcmp(&after->trees, &alone.trees, sizeof alone.trees));
}

static void visit_some(ksm_world *k)
{
    static state before, after;
    uint32_t ids[ITEMS], others[ITEMS];
    uint8_t mapped[ITEMS], verdicts[ITEMS];
    size_t n = 0, done, visited = 0, limit = 1 + below(ITEMS);

    for (uint32_t id = 1; id <= ITEMS; id++)
        if (one_in(k->w.table.nodes[id].flags & PKSM_UNSTABLE ? 40 : 2)) {
            mapped[n] = !one_in(6);
            ids[n++] = id;
        }
    k->limits.now_millisecs += below(30);
    copy_state(&before, k);
    CHECK(pksm_ksm_visit(&k->w.store, &k->w.table, &k->w.trees, &k->ksm, &k->rules, &k->limits, NULL, ids, mapped, n,
                         limit, verdicts, others, &done, &k->w.cost) == PKSM_OK);
    copy_state(&after, k);
    if (k->limits.in_order)
        check_one_by_one(k, &before, &after, ids, mapped, n, limit, verdicts, others, done);
    for (size_t i = 0; i < done; i++) {
        const pksm_node *item = &k->w.table.nodes[ids[i]];
        visited += mapped[i] && verdicts[i] != PKSM_SKIPPED;
        CHECK(mapped[i] || verdicts[i] == PKSM_DROP);
        if (verdicts[i] == PKSM_JOINED || verdicts[i] == PKSM_APPENDED) {
            /* the pte moves, if it does: so does the item's page */
            CHECK(memcmp(page_of(&k->w, ids[i]), page_of(&k->w, others[i]), k->w.size) == 0);
            k->w.table.nodes[ids[i]].page = k->w.table.nodes[others[i]].page;
        } else if (verdicts[i] == PKSM_PAIRED) {
            CHECK(same_bytes(&k->w, ids[i], others[i]));
            k->w.table.nodes[others[i]].page = item->page;
        }
    }
    CHECK(visited <= limit && (done == n || visited == limit));
    check_counts(k);
}

/* Pages change, and are no longer what their stable nodes had; mappings get others. */
static void change_some(ksm_world *k)
{
    k->limits.in_order = 0; /* until the unstable tree begins anew */
    for (uint32_t page = 0; page < PAGES; page++) {
        if (!one_in(6))
            continue;
        CHECK(pksm_ksm_bury(&k->w.table, &k->ksm, &page, 1) == PKSM_OK);
        write_page(&k->w, page);
    }
    for (uint32_t id = 1; id <= ITEMS; id++)
        if (one_in(8) && !(k->w.table.nodes[id].flags & PKSM_UNSTABLE))
            k->w.table.nodes[id].page = below(PAGES);
    check_counts(k);
}

/* Pages die where they stand, and waiting items lose theirs: the unstable tree stays in order. */
static void let_some_die(ksm_world *k)
{
    for (uint32_t page = 0; page < PAGES; page++)
        if (one_in(6))
            CHECK(pksm_ksm_bury(&k->w.table, &k->ksm, &page, 1) == PKSM_OK);
    for (uint32_t id = 1; id <= ITEMS; id++)
        if (one_in(12) && k->w.table.nodes[id].flags & PKSM_UNSTABLE)
            k->w.table.nodes[id].flags |= PKSM_DELLIST;
    check_counts(k);
}

static void drop_some(ksm_world *k)
{
    uint32_t id = 1 + below(ITEMS);

    CHECK(pksm_ksm_drop(&k->w.table, &k->w.trees, &k->ksm, &id, 1, &k->w.cost) == PKSM_OK);
    CHECK(!k->w.table.nodes[id].link && !(k->w.table.nodes[id].flags & (PKSM_UNSTABLE | PKSM_PASSED)));
    check_counts(k);
}

static void test_refused_arguments(void)
{
    static const uint8_t unsound[][8] = {{0}, {PKSM_STAGE_UNSTABLE + 1, PKSM_STAGE_UNSTABLE}};
    ksm_world k;
    uint32_t id = 1, other;
    uint8_t mapped = 1, verdict;
    size_t done;

    make(&k);
    for (size_t i = 0; i <= sizeof unsound / sizeof unsound[0]; i++) {
        if (i < sizeof unsound / sizeof unsound[0])
            memcpy(k.rules.stages, unsound[i], 8);
        else
            memset(k.rules.stages, PKSM_STAGE_UNSTABLE, 8); /* does not end */
        CHECK(pksm_ksm_visit(&k.w.store, &k.w.table, &k.w.trees, &k.ksm, &k.rules, &k.limits, NULL, &id, &mapped, 1, 1,
                             &verdict, &other, &done, &k.w.cost) == PKSM_EINVAL);
        CHECK(done == 0 && !k.w.trees.n_unstable && !k.w.cost.pages_visited);
    }
    free_ksm(&k);
}

/* The page of a stable node is gone when a pair looks for its place: the twin waits on, and no spare id is lost. */
static void test_bytes_that_are_gone(void)
{
    char name[] = "/tmp/pksm-test-ksm-XXXXXX";
    int file = mkstemp(name);
    uint8_t *bytes;
    ksm_world k;
    uint32_t ids[2] = {1, 2}, others[2], spare;
    uint8_t mapped[2] = {1, 1}, verdicts[2];
    size_t done;

    make(&k);
    CHECK(file >= 0 && unlink(name) == 0 && ftruncate(file, 4096) == 0);
    bytes = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
    CHECK(bytes != MAP_FAILED);
    memset(k.rules.stages, 0, 8);
    k.rules.stages[0] = PKSM_STAGE_UNSTABLE;
    k.limits.smart_scan = 0;
    k.w.sections[0] = (uintptr_t)bytes; /* all pages are zero */
    for (uint32_t id = 1; id <= 4; id++)
        k.w.table.nodes[id].page = id;
#define VISIT(n)                                                                                                       \
    pksm_ksm_visit(&k.w.store, &k.w.table, &k.w.trees, &k.ksm, &k.rules, &k.limits, NULL, ids, mapped, n, n, verdicts, \
                   others, &done, &k.w.cost)
    CHECK(VISIT(2) == PKSM_OK && verdicts[1] == PKSM_PAIRED && k.counts.shared == 1);
    for (uint32_t page = 0; page < PAGES; page++)
        memset(page_at(&k.w, page), 9, k.w.size);
    /* pages 3 and 4 alone are there: the others begin behind the end of the file */
    k.w.sections[0] = (uintptr_t)k.w.bytes;
    CHECK(ftruncate(file, 0) == 0);
    k.w.table.nodes[k.ksm.node_of_page[2]].page = 64;
    k.w.sections[1] = (uintptr_t)bytes;
    k.w.store.n_pages = 128;
    spare = k.counts.n_spare;
    ids[0] = 3;
    ids[1] = 4;
    CHECK(pksm_catch_bus_errors() == PKSM_OK);
    CHECK(VISIT(2) == PKSM_EBUS && done == 1 && verdicts[0] == PKSM_WAITING);
    CHECK(k.counts.n_spare == spare && !k.ksm.node_of_page[4] && k.w.trees.n_unstable == 1);
    CHECK(k.w.table.nodes[3].flags & PKSM_UNSTABLE && !(k.w.table.nodes[4].flags & PKSM_UNSTABLE));
    CHECK(pksm_trees_check(NULL, &k.w.table, &k.w.trees, PKSM_CONTENT) == PKSM_OK);
#undef VISIT
    munmap(bytes, 4096);
    close(file);
    free_ksm(&k);
}

int main(int argc, char **argv)
{
    seed_from(argc, argv);
    for (int round = 0; round < 400; round++) {
        ksm_world k;

        make(&k);
        for (int step = 0; step < 60; step++) {
            switch (below(8)) {
            case 0:
                CHECK(pksm_ksm_pass(&k.w.table, &k.w.trees, &k.ksm) == PKSM_OK && !k.w.trees.n_unstable);
                k.limits.in_order = 1;
                check_counts(&k);
                break;
            case 1:
                change_some(&k);
                break;
            case 2:
                drop_some(&k);
                break;
            case 3:
                let_some_die(&k);
                break;
            default:
                visit_some(&k);
            }
        }
        free_ksm(&k);
    }
    test_refused_arguments();
    test_bytes_that_are_gone();
    printf("ok\n");
    return 0;
}
