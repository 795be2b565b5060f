/* ksm_meet: mappings of an mm that come and go at random, met range by range, beside a plain array of what is where. */
#include "check.h"
#include "pksm.h"

enum { LEAVES = 5, SPAN = LEAVES * PKSM_LEAF, ITEMS = SPAN, MM = 7 };

typedef struct {
    uint32_t leaves[LEAVES * PKSM_LEAF], mm[ITEMS + 1], item_at[SPAN], frame_at[SPAN], next_id;
    int64_t virtual_page[ITEMS + 1], numbers[LEAVES], rows[LEAVES];
    size_t n_leaves;
    pksm_node nodes[ITEMS + 1];
} memory;

static memory m;

static pksm_ksm_places places_of(void)
{
    return (pksm_ksm_places){m.leaves, LEAVES, m.mm, m.virtual_page};
}

/* The leaves of the first numbers, some of which are left out, in rows upside down. */
static void begin(void)
{
    memset(&m, 0, sizeof m);
    m.next_id = 1;
    for (int64_t number = 0; number < LEAVES; number++) {
        if (!below(5))
            continue;
        m.numbers[m.n_leaves] = number;
        m.rows[m.n_leaves++] = LEAVES - 1 - number;
    }
}

static int has_leaf(int64_t page)
{
    for (size_t i = 0; i < m.n_leaves; i++)
        if (m.numbers[i] == page / PKSM_LEAF)
            return 1;
    return 0;
}

static void meet_some(void)
{
    static int64_t pages[SPAN];
    static uint32_t frames[SPAN], fresh[SPAN], ids[SPAN];
    static uint8_t mapped[SPAN], is_fresh[SPAN];
    int64_t first = below(SPAN), end = first + below((uint32_t)(SPAN - first) + 1);
    pksm_table table = {.nodes = m.nodes, .n_nodes = ITEMS + 1};
    pksm_ksm_places places = places_of();
    size_t n = 0, expected = 0, needed = 0, room, at = 0;
    pksm_ksm_met met = {.ids = ids, .mapped = mapped, .fresh = is_fresh};
    pksm_ksm_range range = {.mm = MM,
                            .first = first,
                            .end = end,
                            .numbers = m.numbers,
                            .rows = m.rows,
                            .n_leaves = m.n_leaves,
                            .pages = pages,
                            .frames = frames,
                            .n_frames = 1000};
    int lost = 0;

    for (int64_t page = first; page < end; page++) {
        m.frame_at[page] = below(3) ? UINT32_MAX : below(1000);
        if (m.frame_at[page] != UINT32_MAX) {
            if (!has_leaf(page) && below(50)) {
                m.frame_at[page] = UINT32_MAX;
                continue;
            }
            lost |= !has_leaf(page);
            pages[n] = page;
            frames[n++] = m.frame_at[page];
            needed += !m.item_at[page];
        }
        expected += m.item_at[page] || m.frame_at[page] != UINT32_MAX;
    }
    range.n = n;
    CHECK(pksm_ksm_meet(&table, &places, &range, NULL, 0, 0, &met) == PKSM_OK);
    if (lost) {
        CHECK(!met.done && met.without_leaf && met.without_leaf <= n && !has_leaf(pages[n - met.without_leaf]));
        return;
    }
    CHECK(!met.without_leaf && met.n == expected && met.n_fresh == needed && met.done == !expected);
    for (size_t i = 0; i < needed; i++)
        fresh[i] = m.next_id + (uint32_t)i;
    if (m.next_id + needed > ITEMS)
        return;
    room = expected + below(3);
    if (expected) {
        CHECK(pksm_ksm_meet(&table, &places, &range, fresh, needed, expected - 1, &met) == PKSM_OK && !met.done);
        CHECK(pksm_ksm_meet(&table, &places, &range, fresh, needed, room, &met) == PKSM_OK && met.done);
    }
    m.next_id += (uint32_t)needed;
    CHECK(met.n == expected && met.n_fresh == needed);
    for (int64_t page = first; page < end; page++) {
        int there = m.frame_at[page] != UINT32_MAX;

        if (!there && !m.item_at[page])
            continue;
        CHECK(mapped[at] == there && is_fresh[at] == !m.item_at[page]);
        CHECK(!m.item_at[page] || m.item_at[page] == ids[at]);
        m.item_at[page] = ids[at];
        CHECK(m.mm[ids[at]] == MM && m.virtual_page[ids[at]] == page);
        CHECK(!there || m.nodes[ids[at]].page == m.frame_at[page]);
        at++;
    }
}

/* Some items go from their places. */
static void forget_some(void)
{
    for (int64_t page = 0; page < SPAN; page++) {
        if (!m.item_at[page] || below(4))
            continue;
        m.leaves[(LEAVES - 1 - page / PKSM_LEAF) * PKSM_LEAF + page % PKSM_LEAF] = 0;
        m.item_at[page] = 0;
    }
}

static void test_refused_arguments(void)
{
    uint32_t frames[2] = {1, 2}, fresh = 1;
    int64_t pages[2] = {3, 4}, numbers[2] = {0, 1}, rows[2] = {0, 1};
    pksm_table table = {.nodes = m.nodes, .n_nodes = ITEMS + 1};
    pksm_ksm_places places = places_of();
    pksm_ksm_met met = {0};
    pksm_ksm_range range = {.end = 9,
                            .numbers = numbers,
                            .rows = rows,
                            .n_leaves = 2,
                            .pages = pages,
                            .frames = frames,
                            .n = 2,
                            .n_frames = 3};

#define MEET(n_fresh) pksm_ksm_meet(&table, &places, &range, &fresh, n_fresh, 0, &met)
    begin();
    CHECK(MEET(0) == PKSM_OK && !met.done && met.n_fresh == 2);
    fresh = 0;
    CHECK(MEET(1) == PKSM_EITEM);
    frames[1] = 3;
    CHECK(MEET(0) == PKSM_EPAGE);
    frames[1] = 2;
    pages[1] = 3;
    CHECK(MEET(0) == PKSM_EINVAL);
    pages[1] = 9;
    CHECK(MEET(0) == PKSM_EINVAL);
    pages[1] = 4;
    range.first = 4;
    CHECK(MEET(0) == PKSM_EINVAL);
    range.first = -1;
    CHECK(MEET(0) == PKSM_EINVAL);
    range.first = 0;
    rows[0] = LEAVES;
    CHECK(MEET(0) == PKSM_EINVAL);
    rows[0] = 0;
    range.end = SPAN;
    numbers[1] = 0;
    CHECK(MEET(0) == PKSM_EINVAL);
    numbers[1] = INT64_MAX / PKSM_LEAF;
    CHECK(MEET(0) == PKSM_EINVAL);
    numbers[1] = 1;
    m.leaves[5] = ITEMS + 1;
    CHECK(MEET(0) == PKSM_EITEM);
#undef MEET
}

int main(int argc, char **argv)
{
    seed_from(argc, argv);
    for (int round = 0; round < 30; round++) {
        begin();
        for (int step = 0; step < 40; step++) {
            if (below(4))
                meet_some();
            else
                forget_some();
        }
    }
    test_refused_arguments();
    printf("ok\n");
    return 0;
}
