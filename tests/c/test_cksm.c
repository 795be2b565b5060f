/* cksm: births, deaths, writes and wake-ups at random; after each call tables, list and flags are those of a plain look
 * at the links. Then all of it is spoilt at random: calls return an error or go on, and read nothing that is not there.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "world.h"

enum { PAGES = 40, HEADS = 4, ROOM = 16, LIST = 400 };

typedef struct {
    world w;
    pksm_cksm cksm;
    pksm_cksm_cursor cursor;
    pksm_cksm_rules rules;
    uint32_t *next, *before, *births, *order;
    uint8_t alive[PAGES + 1];
} cksm_world;

static void make(cksm_world *k)
{
    uint32_t n_nodes = PAGES + 1;
    uint8_t *zero;

    memset(k, 0, sizeof *k);
    make_world(&k->w, PAGES, PAGES, 8u << below(4), 2 + below(6));
    zero = block(k->w.size);
    k->next = block(n_nodes * 4);
    k->before = block(n_nodes * 4);
    k->births = block(n_nodes * 4);
    k->order = block(LIST * 4);
    k->cksm.unstable = (pksm_buckets){block(HEADS * 4), HEADS, k->next, k->before, n_nodes, 0};
    k->cksm.stable = (pksm_buckets){block(HEADS * 4), HEADS, k->next, k->before, n_nodes, 0};
    k->cksm.order = k->order;
    k->cksm.births = k->births;
    k->cksm.n_births = n_nodes;
    k->cursor.step = 17;
    k->rules = (pksm_cksm_rules){.pages_to_scan = 1 + below(60),
                                 .unmerged_to_end = 1 + below(20),
                                 .zero_checksum = weak_sum(zero, k->w.size, &k->w.modulus),
                                 .checksum = {weak_sum, &k->w.modulus, one_in(2) ? weak_sums : NULL},
                                 .kept_leave = (uint8_t)below(2),
                                 .kept_uncounted = (uint8_t)below(2),
                                 .waits_for_rest = (uint8_t)below(2),
                                 .bytes_stay = (uint8_t)below(2)};
    free(zero);
}

static void free_cksm(cksm_world *k)
{
    free(k->next);
    free(k->before);
    free(k->births);
    free(k->order);
    free(k->cksm.unstable.heads);
    free(k->cksm.stable.heads);
    free_world(&k->w);
}

/* Counts a table's items by its links, which agree both ways. */
static uint64_t count(const cksm_world *k, const pksm_buckets *buckets, uint16_t flag)
{
    uint64_t n = 0;

    for (uint32_t head = 0; head < HEADS; head++)
        for (uint32_t id = buckets->heads[head], before = 0; id; before = id, id = k->next[id]) {
            CHECK(k->w.table.nodes[id].flags & flag && k->before[id] == before);
            CHECK((k->w.table.nodes[id].checksum & (HEADS - 1)) == head && ++n <= PAGES);
        }
    CHECK(n == buckets->n_items);
    return n;
}

static void check_tables(const cksm_world *k)
{
    uint64_t unstable = 0, stable = 0;

    for (uint32_t id = 1; id <= PAGES; id++) {
        unstable += !!(k->w.table.nodes[id].flags & PKSM_UNSTABLE);
        stable += !!(k->w.table.nodes[id].flags & PKSM_STABLE);
    }
    CHECK(count(k, &k->cksm.unstable, PKSM_UNSTABLE) == unstable && count(k, &k->cksm.stable, PKSM_STABLE) == stable);
}

static void be_born(cksm_world *k)
{
    for (uint32_t id = 1; id <= PAGES && k->cksm.n_order < LIST; id++) {
        if (k->alive[id] || one_in(3))
            continue;
        k->alive[id] = 1;
        write_page(&k->w, id - 1);
        k->w.table.nodes[id] = (pksm_node){.page = id - 1, .flags = PKSM_INITCHECKSUM};
        k->births[id] = k->cursor.pass;
        k->cursor.at += k->cursor.at == k->cksm.n_order;
        k->order[k->cksm.n_order++] = id;
    }
}

static int let_go(cksm_world *k, uint32_t id)
{
    int status = pksm_buckets_remove(&k->w.table, &k->cksm.unstable, &k->cksm.stable, &id, 1);

    k->alive[id] = 0;
    for (uint64_t at = 0; at < k->cksm.n_order; at++)
        if (k->order[at] == id)
            k->order[at] = 0;
    return status;
}

static int visit(cksm_world *k, int sound)
{
    uint32_t ids[ROOM], others[ROOM];
    uint8_t verdicts[ROOM];
    size_t done, room = 1 + below(ROOM);
    int status;

    if (sound || one_in(4))
        k->cursor.visited = k->cursor.unmerged = k->cursor.ended = 0;
    status = pksm_cksm_visit(&k->w.store, &k->w.table, &k->cksm, &k->cursor, &k->rules, NULL, room, ids, verdicts,
                             others, &done, &k->w.cost);
    CHECK(done <= room);
    for (size_t i = 0; i < done; i++) {
        pksm_node *nodes = k->w.table.nodes;
        uint32_t away = verdicts[i] == PKSM_PAIRED ? others[i] : ids[i];

        CHECK(ids[i] && ids[i] <= PAGES && others[i] <= PAGES && verdicts[i] < PKSM_N_VERDICTS);
        if (!sound)
            continue;
        if (verdicts[i] == PKSM_ZERO)
            CHECK(pksm_page_is_zero(page_of(&k->w, ids[i]), k->w.size));
        else if (verdicts[i] == PKSM_JOINED || verdicts[i] == PKSM_PAIRED)
            CHECK(same_bytes(&k->w, ids[i], others[i]));
        else
            continue;
        CHECK(nodes[away].flags & PKSM_DELLIST);
        CHECK(let_go(k, away) == PKSM_OK);
    }
    return status;
}

static void live(cksm_world *k)
{
    for (int step = 0; step < 60; step++) {
        uint32_t id = 1 + below(PAGES);

        switch (below(6)) {
        case 0:
            be_born(k);
            break;
        case 1:
            CHECK(let_go(k, id) == PKSM_OK);
            break;
        case 2:
            if (!k->rules.bytes_stay && !(k->w.table.nodes[id].flags & PKSM_STABLE))
                write_page(&k->w, id - 1);
            break;
        default:
            CHECK(visit(k, 1) == PKSM_OK);
        }
        check_tables(k);
    }
}

static void spoil_word(uint32_t *words, uint32_t n)
{
    words[below(n)] = one_in(4) ? (uint32_t)random64() : below(PAGES + 3);
}

/* Whatever links, flags and pages say, calls come back, with a status that is one. */
static void spoil(cksm_world *k)
{
    for (int step = 0; step < 40; step++) {
        uint32_t id = below(PAGES + 1);
        int status;

        switch (below(8)) {
        case 0:
            spoil_word(k->next, PAGES + 1);
            break;
        case 1:
            spoil_word(k->before, PAGES + 1);
            break;
        case 2:
            spoil_word(one_in(2) ? k->cksm.unstable.heads : k->cksm.stable.heads, HEADS);
            break;
        case 3:
            spoil_word(one_in(2) ? k->births : &k->w.table.nodes[id].page, 1);
            break;
        case 4:
            spoil_word(k->order, LIST);
            break;
        case 5:
            k->w.table.nodes[id].flags ^= (uint16_t)(1 << below(8));
            break;
        case 6:
            k->cksm.unstable.n_items = one_in(2) ? random64() : below(PAGES + 1);
            break;
        default:
            be_born(k);
        }
        status = one_in(3) ? pksm_buckets_remove(&k->w.table, &k->cksm.unstable, &k->cksm.stable, &id, 1) : visit(k, 0);
        CHECK(status >= PKSM_OK && status <= PKSM_ETREE && status != PKSM_EBUS);
    }
}

static void test_refused_arguments(void)
{
    uint32_t id = 1, other;
    uint8_t verdict;
    size_t done;
    cksm_world k, sound;

    make(&k);
    be_born(&k);
    sound = k;
#define REFUSED(change, error)                                                                                        \
    do {                                                                                                              \
        pksm_table *table = &k.w.table;                                                                               \
        change;                                                                                                       \
        CHECK(pksm_cksm_visit(&k.w.store, table, &k.cksm, &k.cursor, &k.rules, NULL, 1, &id, &verdict, &other, &done, \
                              &k.w.cost) == (error));                                                                 \
        CHECK(done == 0 && !k.w.cost.pages_visited);                                                                  \
        k = sound;                                                                                                    \
    } while (0)
    REFUSED(table = NULL, PKSM_EINVAL);
    REFUSED(k.w.table.nodes = NULL, PKSM_EINVAL);
    REFUSED(k.w.store.page_size = 24, PKSM_EINVAL);
    REFUSED(k.cksm.births = NULL, PKSM_EINVAL);
    REFUSED(k.cksm.n_births = PAGES, PKSM_EINVAL);
    REFUSED(k.cksm.order = NULL, PKSM_EINVAL);
    REFUSED(k.cksm.stable.heads = NULL, PKSM_EINVAL);
    REFUSED(k.cksm.stable.n_heads = 3, PKSM_EINVAL);
    REFUSED(k.cksm.unstable.n_ids = PAGES, PKSM_EINVAL);
    REFUSED(k.cksm.unstable.n_items = UINT64_MAX, PKSM_EINVAL);
    REFUSED(k.cursor.at = k.cksm.n_order + 1, PKSM_EINVAL);
    REFUSED(k.cursor.step = 0, PKSM_EINVAL);
    REFUSED(k.rules.checksum.sum = NULL, PKSM_EINVAL);
#undef REFUSED
    id = PAGES + 1;
    CHECK(pksm_buckets_remove(&k.w.table, &k.cksm.unstable, &k.cksm.stable, &id, 1) == PKSM_EITEM);
    id = 1;
    CHECK(pksm_buckets_remove(NULL, &k.cksm.unstable, &k.cksm.stable, &id, 1) == PKSM_EINVAL);
    k.w.table.nodes[1].flags |= PKSM_UNSTABLE; /* it is in no table */
    CHECK(pksm_buckets_remove(&k.w.table, &k.cksm.unstable, &k.cksm.stable, &id, 1) == PKSM_ETREE);
    CHECK(k.w.table.nodes[1].flags & PKSM_UNSTABLE);
    free_cksm(&k);
}

/* A chain that leads back into itself ends a search, and its visit. */
static void test_a_circle(void)
{
    cksm_world k;

    make(&k);
    k.rules.waits_for_rest = 0;
    k.rules.unmerged_to_end = k.rules.pages_to_scan = 4 * PAGES;
    k.w.modulus = 1;
    for (uint32_t page = 0; page < PAGES; page++)
        memset(page_at(&k.w, page), (int)page + 1, k.w.size);
    for (uint32_t id = 1; id <= 3; id++) {
        k.w.table.nodes[id] = (pksm_node){.page = id - 1};
        k.order[k.cksm.n_order++] = id;
    }
    k.cursor.at = 3;
    k.cursor.status = 7; /* each entry */
    k.w.table.nodes[2].flags = k.w.table.nodes[1].flags = PKSM_UNSTABLE;
    k.cksm.unstable.heads[0] = 1;
    k.next[1] = 2;
    k.before[2] = 1;
    k.next[2] = 1;
    k.cksm.unstable.n_items = 2;
    CHECK(visit(&k, 0) == PKSM_ETREE && !k.w.cost.pages_visited);
    free_cksm(&k);
}

int main(int argc, char **argv)
{
    seed_from(argc, argv);
    for (int round = 0; round < 300; round++) {
        cksm_world k;

        make(&k);
        live(&k);
        spoil(&k);
        free_cksm(&k);
    }
    test_refused_arguments();
    test_a_circle();
    printf("ok\n");
    return 0;
}
