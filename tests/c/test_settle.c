/* settle: small sets at random, with weak checksums, pages that change, items that die, pages that can't be merged.
 *
 * Every verdict is held against the state it is about; a second world that gets the same items in batches cut
 * elsewhere, with many searches in flight, must come out the same; and on memory that holds still everything equal
 * must end up shared. */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

#include "world.h"

enum { PAGES = 24, ITEMS = 30 };

typedef struct {
    uint8_t verdicts[ITEMS];
    uint32_t others[ITEMS];
    uint32_t revisit[ITEMS + ITEMS];
    size_t n_revisit;
} answer;

static const uint8_t stage_choices[][8] = {
    {PKSM_STAGE_ZERO, PKSM_STAGE_STABLE, PKSM_STAGE_UNSTABLE},
    {PKSM_STAGE_UNCHANGED, PKSM_STAGE_ZERO, PKSM_STAGE_STABLE, PKSM_STAGE_UNSTABLE},
    {PKSM_STAGE_STABLE, PKSM_STAGE_UNCHANGED, PKSM_STAGE_UNSTABLE},
    {PKSM_STAGE_STABLE, PKSM_STAGE_UNSTABLE},
    {PKSM_STAGE_UNSTABLE},
};

static pksm_rules random_rules(const world *w)
{
    uint8_t *zero = block(w->size);
    pksm_rules rules = {
        .order = (uint8_t)below(3),
        .zero_on_differ = one_in(2) ? PKSM_RETRY : PKSM_SUCCESS,
        .on_differ = one_in(2) ? PKSM_RETRY : PKSM_SUCCESS,
        .on_stale = one_in(2) ? PKSM_SKIP : PKSM_STOP,
        .on_unusable = one_in(2) ? PKSM_SKIP : PKSM_STOP,
        .busy_waits = one_in(2),
        .unfit_aside = one_in(2),
        .distrust = one_in(2),
        .zero_checksum = weak_sum(zero, w->size, &w->modulus),
        .checksum = {weak_sum, &w->modulus, one_in(2) ? weak_sums : NULL},
    };

    memcpy(rules.stages, stage_choices[below(sizeof stage_choices / sizeof stage_choices[0])], 8);
    free(zero);
    return rules;
}

static void copy_world(world *to, const world *from)
{
    size_t bytes = from->table.n_nodes * sizeof *from->table.nodes;

    *to = *from; /* pages and store are shared */
    to->table.nodes = block(bytes);
    memcpy(to->table.nodes, from->table.nodes, bytes);
    plant_forest(to, from->table.forest_bits);
    if (to->table.forest)
        memcpy(to->table.forest, from->table.forest, roots(from) * sizeof *to->table.forest);
}

static size_t settle(world *w, const pksm_rules *rules, const uint8_t *classes, const uint32_t *ids, size_t n,
                     size_t at_most, answer *got)
{
    size_t done = 0, calls = 0;

    got->n_revisit = 0;
    while (done < n) {
        size_t left = n - done, cut = at_most && left > at_most ? 1 + below((uint32_t)at_most) : left;
        size_t n_revisit = 99, now = 99;
        uint32_t *revisit = block(cut * sizeof *revisit);
        CHECK(pksm_settle(&w->store, &w->table, &w->trees, rules, classes, ids + done, cut, got->verdicts + done,
                          got->others + done, revisit, &n_revisit, &now, &w->cost) == PKSM_OK);
        CHECK(now == cut || n_revisit == cut);
        CHECK(n_revisit <= cut && got->n_revisit + n_revisit <= ITEMS + ITEMS);
        memcpy(got->revisit + got->n_revisit, revisit, n_revisit * sizeof *revisit);
        got->n_revisit += n_revisit;
        done += now;
        CHECK(++calls < 1000);
        free(revisit);
    }
    return calls;
}

/* One search at a time, or many: then the result is the same only as far as pksm.h says. */
static uint8_t random_window(void)
{
    static const uint8_t windows[] = {0, 1, 2, 5, PKSM_MAX_WINDOW};

    return windows[below(sizeof windows)];
}

static int has_stage(const pksm_rules *rules, int stage)
{
    return memchr(rules->stages, stage, sizeof rules->stages) != NULL;
}

static int class_of(const world *w, const uint8_t *classes, uint32_t id)
{
    return classes[w->table.nodes[id].page];
}

static int walk_fails(int class)
{
    return class == PKSM_WALK_FAILS || class == PKSM_WALK_BREAKS || class == PKSM_WALK_LOSES;
}

/* Is this verdict on id true? `was` is the table before, w the world after. */
static void check_verdict(const world *w, const pksm_node *was, const pksm_rules *rules, const uint8_t *classes,
                          uint32_t id, int verdict, uint32_t other)
{
    const pksm_node *item = &w->table.nodes[id], *found = &w->table.nodes[other];
    int class = class_of(w, classes, id), others = other ? class_of(w, classes, other) : PKSM_FREE;
    int dead = was[id].flags & PKSM_DELLIST;
    int equal_sums = other && item->checksum == found->checksum;

    CHECK(!in_tree(w, id) || was[id].flags & PKSM_STABLE || verdict == PKSM_WAITING || verdict == PKSM_PAIRED ||
          verdict == PKSM_LIMBO);
    CHECK(other < w->table.n_nodes && other != id);
    CHECK(!dead || verdict == PKSM_DROP || (verdict == PKSM_SAME && was[id].flags & PKSM_STABLE));
    switch (verdict) {
    case PKSM_WAITING:
        CHECK(item->flags & PKSM_UNSTABLE && !other);
        break;
    case PKSM_ZERO:
        CHECK(pksm_page_is_zero(page_of(w, id), w->size) && !other);
        CHECK(item->checksum == rules->zero_checksum && (class == PKSM_FREE || class == PKSM_NOT_KPAGE));
        CHECK(!(item->flags & PKSM_ZERO_REFUSED));
        break;
    case PKSM_JOINED:
        CHECK(found->flags & PKSM_STABLE && same_bytes(w, id, other));
        CHECK((class == PKSM_FREE || class == PKSM_NOT_KPAGE) && others != PKSM_BUSY_PAGE);
        break;
    case PKSM_PAIRED:
        CHECK(was[other].flags & PKSM_UNSTABLE && !in_tree(w, other) && item->flags & PKSM_STABLE);
        CHECK(same_bytes(w, id, other));
        CHECK(class == PKSM_FREE && others != PKSM_BUSY_PAGE && !walk_fails(others) && others != PKSM_NOT_ANON);
        break;
    case PKSM_SAME:
        CHECK(was[id].flags & PKSM_STABLE ? !other : item->page == found->page && in_tree(w, other));
        break;
    case PKSM_BUSY:
        CHECK(class == PKSM_BUSY_PAGE || others == PKSM_BUSY_PAGE || found->flags & PKSM_STABLE);
        break;
    case PKSM_DIFFERENT:
        CHECK(rules->order == PKSM_CHECKSUM && rules->on_differ == PKSM_RETRY);
        CHECK(equal_sums && !same_bytes(w, id, other) && in_tree(w, other));
        break;
    case PKSM_LIMBO:
        if (!other) {
            CHECK(rules->zero_on_differ == PKSM_SUCCESS && item->checksum == rules->zero_checksum);
            CHECK(!pksm_page_is_zero(page_of(w, id), w->size));
            break;
        }
        CHECK(rules->order == PKSM_CHECKSUM && rules->on_differ == PKSM_SUCCESS);
        CHECK(equal_sums && !same_bytes(w, id, other));
        CHECK(was[other].flags & PKSM_STABLE ? !in_tree(w, id) : item->flags & PKSM_STABLE && !in_tree(w, other));
        break;
    case PKSM_DROP:
        CHECK(dead || class == PKSM_NOT_ANON || walk_fails(class) ||
              (other && (class == PKSM_NOT_KPAGE || walk_fails(others))));
        CHECK(dead || other || class == PKSM_NOT_ANON || class == PKSM_WALK_LOSES);
        break;
    case PKSM_STALE:
        CHECK(has_stage(rules, PKSM_STAGE_UNCHANGED) && !other);
        CHECK(was[id].flags & PKSM_INITCHECKSUM || was[id].checksum != item->checksum);
        CHECK(item->checksum == weak_sum(page_of(w, id), w->size, &w->modulus));
        break;
    case PKSM_ABORTED:
        CHECK(found->flags & PKSM_UNSTABLE);
        CHECK((rules->on_stale == PKSM_STOP && found->flags & PKSM_DELLIST) ||
              (rules->on_unusable == PKSM_STOP && others == PKSM_NOT_ANON));
        break;
    default:
        CHECK(!"a verdict");
    }
}

/* Items die; nobody may read the page of a dead one unless a living one has it too. */
static void kill_some(world *w, int in_their_trees)
{
    for (uint32_t id = 1; id <= ITEMS; id++)
        if (one_in(12) && (in_their_trees || !in_tree(w, id)))
            w->table.nodes[id].flags |= PKSM_DELLIST;
    for (uint32_t page = 0; page < PAGES; page++) {
        int alive = 0;
        for (uint32_t id = 1; id <= ITEMS; id++)
            alive |= w->table.nodes[id].page == page && !(w->table.nodes[id].flags & PKSM_DELLIST);
        if (!alive)
            ASAN_POISON_MEMORY_REGION(page_at(w, page), w->size);
    }
}

static void bury_some(world *w)
{
    for (uint32_t id = 1; id <= ITEMS; id++) {
        pksm_node *node = &w->table.nodes[id];
        if (!(node->flags & PKSM_DELLIST) || one_in(2))
            continue;
        CHECK(pksm_unlink(&w->table, &w->trees, &id, 1) == PKSM_OK);
        node->flags = PKSM_INITCHECKSUM;
        ASAN_UNPOISON_MEMORY_REGION(page_at(w, node->page), w->size);
    }
}

/* Writes to pages that no stable item has: those are write-protected. Contents may change, keys in a tree not. */
static void change_some(world *w)
{
    for (uint32_t page = 0; page < PAGES; page++) {
        int writable = one_in(6);
        for (uint32_t id = 1; id <= ITEMS; id++)
            if (w->table.nodes[id].page == page && w->table.nodes[id].flags & (PKSM_STABLE | PKSM_DELLIST))
                writable = 0;
        if (writable)
            write_page(w, page);
    }
}

/* The same living items in the same order in both trees. */
static void check_same_living(const world *a, const world *b)
{
    static const int trees[] = {PKSM_UNSTABLE, PKSM_STABLE};

    for (int t = 0; t < 2; t++) {
        uint32_t items[2][ITEMS], n[2] = {0, 0};
        for (int side = 0; side < 2; side++) {
            const world *w = side ? b : a;
            uint32_t all = trees[t] == PKSM_STABLE ? w->trees.n_stable : w->trees.n_unstable;
            CHECK(pksm_tree_items(&w->table, &w->trees, trees[t], items[side]) == PKSM_OK);
            for (uint32_t i = 0; i < all; i++)
                if (!(w->table.nodes[items[side][i]].flags & PKSM_DELLIST))
                    items[side][n[side]++] = items[side][i];
        }
        CHECK(n[0] == n[1] && memcmp(items[0], items[1], n[0] * sizeof items[0][0]) == 0);
    }
}

static void test_random(void)
{
    world w, twin;
    uint8_t classes[PAGES];
    uint32_t ids[ITEMS];
    pksm_rules rules, in_flight;
    int one_by_one, deaths;

    make_world(&w, PAGES, ITEMS, (size_t)8 << below(7), 2 + below(12));
    rules = random_rules(&w);
    in_flight = rules;
    in_flight.window = random_window();
    if (one_in(3)) {
        /* the hardest case for searches in flight: collisions, and neighbours that are unlinked because of them */
        memcpy(rules.stages, stage_choices[one_in(2) ? 0 : 3], 8);
        rules.order = PKSM_CHECKSUM_CONTENT;
        rules.distrust = 1;
        rules.on_stale = PKSM_SKIP;
        w.modulus = 1 + below(2);
        in_flight = rules;
        in_flight.window = PKSM_MAX_WINDOW;
    }
    plant_forest(&w, rules.order == PKSM_CONTENT ? 0 : below(4));
    one_by_one = in_flight.window < 2 || rules.on_stale == PKSM_STOP || has_stage(&rules, PKSM_STAGE_UNCHANGED);
    /* With many in flight: in order of content the tree's order is trusted, and there is no telling when a search
     * meets a dead item. So either nothing changes, or nothing dies in a tree. */
    deaths = one_by_one || one_in(2);
    CHECK(pksm_cpu_select((int)below((uint32_t)pksm_cpu_best() + 1)) == PKSM_OK);
    for (int round = 0; round < 12; round++) {
        answer alone, batch;
        size_t n = 1 + below(ITEMS), calls;

        for (uint32_t page = 0; page < PAGES; page++)
            classes[page] = one_in(3) ? (uint8_t)below(7) : PKSM_FREE;
        for (size_t i = 0; i < n; i++) /* an item may come twice */
            ids[i] = 1 + below(ITEMS);
        for (uint32_t id = 1; id <= ITEMS; id++)
            w.table.nodes[id].flags ^= one_in(20) ? PKSM_ZERO_REFUSED : 0;
        kill_some(&w, deaths);
        if (one_by_one || (!deaths && rules.order != PKSM_CONTENT))
            change_some(&w);
        for (uint32_t id = 1; id <= ITEMS; id++) /* also where they stand in a tree */
            w.table.nodes[id].flags |= one_in(20) ? PKSM_INITCHECKSUM : 0;
        if (one_in(2)) /* a window works together on items that are in no tree */
            for (uint32_t id = 1; id <= ITEMS; id++)
                if (w.table.nodes[id].flags & PKSM_UNSTABLE && one_in(2))
                    CHECK(pksm_unlink(&w.table, &w.trees, &id, 1) == PKSM_OK);
        if (one_in(3)) /* and these are they */
            for (uint32_t id = n = 1; id <= ITEMS; id++)
                if (!in_tree(&w, id) && n < ITEMS)
                    ids[n++] = id;
        copy_world(&twin, &w);
        for (size_t i = 0; i < n; i++) {
            pksm_node was[ITEMS + 1];
            answer one;

            memcpy(was, w.table.nodes, sizeof was);
            settle(&w, &rules, classes, &ids[i], 1, 0, &one);
            check_verdict(&w, was, &rules, classes, ids[i], one.verdicts[0], one.others[0]);
            CHECK(pksm_trees_check(NULL, &w.table, &w.trees, rules.order) == PKSM_OK);
            alone.verdicts[i] = one.verdicts[0];
            alone.others[i] = one.others[0];
        }
        calls = settle(&twin, &in_flight, classes, ids, n, below(2) * below(16), &batch);
        CHECK(calls >= 1);
        CHECK(memcmp(alone.verdicts, batch.verdicts, n) == 0);
        CHECK(memcmp(alone.others, batch.others, n * sizeof *ids) == 0);
        CHECK(w.cost.pages_visited == twin.cost.pages_visited);
        CHECK(pksm_trees_check(NULL, &twin.table, &twin.trees, rules.order) == PKSM_OK);
        if (one_by_one || !deaths) {
            CHECK(memcmp(w.table.nodes, twin.table.nodes, (ITEMS + 1) * sizeof *w.table.nodes) == 0);
            CHECK(memcmp(&w.trees, &twin.trees, sizeof w.trees) == 0);
            if (w.table.forest)
                CHECK(memcmp(w.table.forest, twin.table.forest, roots(&w) * sizeof *w.table.forest) == 0);
            CHECK(w.cost.unlinked == twin.cost.unlinked);
        } else {
            check_same_living(&w, &twin);
        }
        for (size_t i = 0; i < batch.n_revisit; i++)
            CHECK((rules.distrust && rules.order != PKSM_CONTENT) ||
                  class_of(&w, classes, batch.revisit[i]) == PKSM_NOT_ANON ||
                  (rules.unfit_aside && walk_fails(class_of(&w, classes, batch.revisit[i]))));
        free(twin.table.nodes);
        free(twin.table.forest);
        bury_some(&w);
    }
    ASAN_UNPOISON_MEMORY_REGION(w.bytes, PAGES * w.size);
    free_world(&w);
}

/* Nothing changes, everything may be merged: one stable item for every content that occurs twice, none for others. */
static void test_everything_shared(int order)
{
    world w;
    pksm_rules rules;
    answer got;
    uint32_t ids[PAGES], zero = 0, once = 0, often = 0;

    make_world(&w, PAGES, PAGES, (size_t)8 << below(7), 2 + below(20));
    rules = random_rules(&w);
    rules.order = (uint8_t)order;
    rules.zero_on_differ = PKSM_RETRY;
    rules.window = random_window();
    plant_forest(&w, order == PKSM_CONTENT ? 0 : below(4));
    memcpy(rules.stages, stage_choices[0], 8);
    for (uint32_t i = 0; i < PAGES; i++)
        ids[i] = i + 1;
    for (uint32_t i = PAGES - 1; i; i--) {
        uint32_t other = below(i + 1), id = ids[i];
        ids[i] = ids[other];
        ids[other] = id;
    }
    settle(&w, &rules, NULL, ids, PAGES, one_in(2) ? 5 : 0, &got);
    CHECK(pksm_trees_check(&w.store, &w.table, &w.trees, order) == PKSM_OK);
    for (uint32_t id = 1; id <= PAGES; id++) {
        uint32_t equal = 0, first = 1;
        for (uint32_t other = 1; other <= PAGES; other++) {
            equal += (uint32_t)same_bytes(&w, id, other);
            first &= other >= id || !same_bytes(&w, id, other);
        }
        if (pksm_page_is_zero(page_of(&w, id), w.size))
            zero++;
        else if (equal == 1)
            once++;
        else
            often += first;
    }
    for (uint32_t i = 0; i < PAGES; i++)
        if (got.verdicts[i] == PKSM_ZERO)
            zero--;
    CHECK(zero == 0 && w.trees.n_unstable == once && w.trees.n_stable == often);
    CHECK(w.cost.pages_visited == PAGES && w.cost.unlinked == 0);
    CHECK(w.cost.bytes_hashed >= PAGES * w.size);
    free_world(&w);
}

static void test_refused_arguments(void)
{
    world w;
    pksm_rules good, bad;
    uint32_t id = 1, other, revisit;
    uint8_t verdict;
    size_t n_revisit, done;

#define SETTLE(rules)                                                                                             \
    pksm_settle(&w.store, &w.table, &w.trees, rules, NULL, &id, 1, &verdict, &other, &revisit, &n_revisit, &done, \
                &w.cost)
    make_world(&w, 2, 3, 8, 2);
    good = random_rules(&w);
    id = 0;
    CHECK(SETTLE(&good) == PKSM_EITEM);
    id = 4;
    CHECK(SETTLE(&good) == PKSM_EITEM);
    id = 3;
    w.table.nodes[3].page = 2;
    CHECK(SETTLE(&good) == PKSM_EPAGE);
    id = 1;
    bad = good;
    bad.order = 3;
    CHECK(SETTLE(&bad) == PKSM_EINVAL);
    bad = good;
    bad.checksum.sum = NULL;
    CHECK(SETTLE(&bad) == PKSM_EINVAL);
    bad = good;
    memset(bad.stages, PKSM_STAGE_ZERO, 7); /* does not end with UNSTABLE */
    CHECK(SETTLE(&bad) == PKSM_EINVAL);
    memset(bad.stages, PKSM_STAGE_UNSTABLE, 8); /* does not end */
    CHECK(SETTLE(&bad) == PKSM_EINVAL);
    memset(bad.stages, 0, 8);
    CHECK(SETTLE(&bad) == PKSM_EINVAL);
    CHECK(w.trees.n_unstable == 0 && w.cost.pages_visited == 0 && w.table.nodes[1].flags == PKSM_INITCHECKSUM);
    bad = good;
    bad.window = PKSM_MAX_WINDOW + 1;
    CHECK(SETTLE(&bad) == PKSM_EINVAL);
    CHECK(w.trees.n_unstable == 0);
    memcpy(good.stages, stage_choices[4], 8);
    CHECK(SETTLE(&good) == PKSM_OK && verdict == PKSM_WAITING && done == 1);
    free_world(&w);
#undef SETTLE
}

/* Without a checksum function: an item makes room for another of the batch, and its own turn comes later. */
static void test_made_room_unsummed(uint8_t window)
{
    world w;
    pksm_rules rules = {.stages = {PKSM_STAGE_STABLE, PKSM_STAGE_UNSTABLE},
                        .order = PKSM_CHECKSUM_CONTENT,
                        .window = window,
                        .unfit_aside = 1};
    uint8_t verdicts[2], classes[64] = {PKSM_WALK_FAILS};
    uint32_t ids[2] = {1, 0}, others[2], revisit[2];
    size_t n_revisit, done;

    make_world(&w, 2, 2, 8, 2);
    memset(page_at(&w, 0), 7, 16);
    w.table.nodes[1].flags = w.table.nodes[2].flags = 0;
    w.table.nodes[1].checksum = w.table.nodes[2].checksum = 5;
#define SETTLE(n)                                                                                                    \
    pksm_settle(&w.store, &w.table, &w.trees, &rules, classes, ids, n, verdicts, others, revisit, &n_revisit, &done, \
                &w.cost)
    CHECK(SETTLE(1) == PKSM_OK && verdicts[0] == PKSM_WAITING);
    ids[0] = 2;
    ids[1] = 1;
    CHECK(SETTLE(2) == PKSM_OK && done == 2 && n_revisit == 1 && revisit[0] == 1);
    CHECK(verdicts[0] == PKSM_WAITING && verdicts[1] == PKSM_DROP && others[1] == 2);
    CHECK(w.table.nodes[1].checksum == 5 && !w.table.nodes[1].flags && !w.cost.bytes_hashed);
    free_world(&w);
#undef SETTLE
}

int main(int argc, char **argv)
{
    seed_from(argc, argv);
    test_refused_arguments();
    test_made_room_unsummed(1);
    test_made_room_unsummed(PKSM_MAX_WINDOW);
    for (int i = 0; i < 3000; i++)
        test_random();
    for (int i = 0; i < 300; i++) {
        test_everything_shared(PKSM_CONTENT);
        test_everything_shared(PKSM_CHECKSUM_CONTENT);
    }
    printf("ok\n");
    return 0;
}
