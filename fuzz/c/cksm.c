/* CKSM's visits: any cursor and rules; pages that are born, die and are written. Tables are whole after each call,
 * until links, flags and counts are spoilt: from then on calls come back, and read nothing that is not there. */
#include "input.h"

enum { PAGES = 40, HEADS = 4, LIST = 120, ROOM = 40 };

typedef struct {
    pages p;
    pksm_table table;
    pksm_cksm cksm;
    pksm_cksm_cursor cursor;
    pksm_cost cost;
    uint32_t *next, *before, *births, *order;
    int spoilt;
} world;

static void check_table(const world *w, const pksm_buckets *buckets, uint16_t flag)
{
    uint64_t n = 0, flagged = 0;

    for (uint32_t head = 0; head < HEADS; head++)
        for (uint32_t id = buckets->heads[head], before = 0; id; before = id, id = w->next[id]) {
            CHECK(w->table.nodes[id].flags & flag && w->before[id] == before && ++n < w->table.n_nodes);
            CHECK((w->table.nodes[id].checksum & (HEADS - 1)) == head);
        }
    for (uint32_t id = 1; id < w->table.n_nodes; id++)
        flagged += !!(w->table.nodes[id].flags & flag);
    CHECK(n == buckets->n_items && n == flagged);
}

static int let_go(world *w, const uint32_t *ids, size_t n)
{
    int status = pksm_buckets_remove(&w->table, &w->cksm.unstable, &w->cksm.stable, ids, n);

    for (size_t i = 0; i < n; i++)
        for (uint64_t at = 0; at < LIST; at++)
            w->order[at] = w->order[at] == ids[i] ? 0 : w->order[at];
    return status;
}

static void visit(world *w, input *in)
{
    size_t room = 1 + next_below(in, ROOM), done = 77;
    uint32_t *ids = block(room * 4), *others = block(room * 4);
    uint8_t *verdicts = block(room), *classes = next_bit(in) ? block(w->p.n) : NULL;
    pksm_cksm_rules rules = {.pages_to_scan = next_byte(in),
                             .unmerged_to_end = next_byte(in),
                             .zero_checksum = next_below(in, 3),
                             .checksum = {next_below(in, 16) ? weak_sum : NULL, &w->p.modulus,
                                          next_bit(in) ? weak_sums : NULL},
                             .kept_leave = (uint8_t)next_bit(in),
                             .kept_uncounted = (uint8_t)next_bit(in),
                             .waits_for_rest = (uint8_t)next_bit(in),
                             .bytes_stay = (uint8_t)next_bit(in)};
    int status;

    w->cursor.visited = w->cursor.unmerged = w->cursor.ended = 0;
    if (next_below(in, 8) == 7)
        w->cursor.step = next_below(in, 42);
    for (uint32_t page = 0; classes && page < w->p.n; page++)
        classes[page] = next_byte(in);
    status = pksm_cksm_visit(&w->p.store, &w->table, &w->cksm, &w->cursor, &rules, classes, room, ids, verdicts, others,
                             &done, &w->cost);
    CHECK(done <= room && (status == PKSM_OK || status == PKSM_EINVAL || (w->spoilt && status == PKSM_ETREE)));
    CHECK(status != PKSM_EINVAL || !done);
    for (size_t i = 0; i < done && !w->spoilt; i++) {
        uint32_t *away = verdicts[i] == PKSM_PAIRED ? &others[i] : &ids[i];

        if (verdicts[i] != PKSM_ZERO && verdicts[i] != PKSM_JOINED && verdicts[i] != PKSM_PAIRED)
            continue;
        CHECK(w->table.nodes[*away].flags & PKSM_DELLIST);
        if (verdicts[i] != PKSM_ZERO)
            CHECK(!memcmp(page_at(&w->p, w->table.nodes[ids[i]].page), page_at(&w->p, w->table.nodes[others[i]].page),
                          w->p.size));
        CHECK(let_go(w, away, 1) == PKSM_OK);
    }
    free(ids);
    free(others);
    free(verdicts);
    free(classes);
}

static void be_born(world *w, input *in)
{
    uint32_t id = 1 + next_below(in, w->p.n);

    for (uint64_t at = 0; at < w->cksm.n_order; at++)
        if (w->order[at] == id)
            return;
    if (w->cksm.n_order == LIST || w->table.nodes[id].flags & (PKSM_UNSTABLE | PKSM_STABLE))
        return;
    w->table.nodes[id] = (pksm_node){.page = id - 1, .flags = PKSM_INITCHECKSUM};
    w->births[id] = w->cursor.pass;
    w->cursor.at += w->cursor.at == w->cksm.n_order;
    w->order[w->cksm.n_order++] = id;
}

static void spoil(world *w, input *in)
{
    uint32_t *arrays[] = {w->next, w->before, w->births};
    uint32_t n = (uint32_t)w->table.n_nodes;
    pksm_node *node = &w->table.nodes[next_below(in, n)];

    w->spoilt = 1;
    arrays[next_below(in, 3)][next_below(in, n)] = next_index(in, n);
    w->order[next_below(in, LIST)] = next_index(in, n);
    (next_bit(in) ? w->cksm.unstable.heads : w->cksm.stable.heads)[next_below(in, HEADS)] = next_index(in, n);
    node->flags ^= (uint16_t)(next_byte(in) << next_below(in, 3));
    node->page = next_index(in, w->p.n);
    if (next_below(in, 4) == 3)
        w->cksm.unstable.n_items = next_index(in, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    world w = {.p = next_pages(&in, PAGES), .cursor = {.step = 17}};
    uint32_t n = w.p.n + 1;

    w.table = (pksm_table){.nodes = block(n * sizeof *w.table.nodes), .n_nodes = n};
    w.next = block(n * 4);
    w.before = block(n * 4);
    w.births = block(n * 4);
    w.order = block(LIST * 4);
    w.cksm = (pksm_cksm){.unstable = {block(HEADS * 4), HEADS, w.next, w.before, n, 0},
                         .stable = {block(HEADS * 4), HEADS, w.next, w.before, n, 0},
                         .order = w.order,
                         .births = w.births,
                         .n_births = n};
    while (in.left) {
        uint32_t id = next_index(&in, n);

        switch (next_below(&in, 16)) {
        case 0:
            let_go(&w, &id, 1);
            break;
        case 1:
            if (id && id < n && !(w.table.nodes[id].flags & PKSM_STABLE))
                write_page(&w.p, id - 1, next_byte(&in));
            break;
        case 2:
            if (next_below(&in, 8) == 7)
                spoil(&w, &in);
            break;
        case 3:
        case 4:
        case 5:
        case 6:
        case 7:
            be_born(&w, &in);
            break;
        default:
            visit(&w, &in);
        }
        if (w.spoilt)
            continue;
        check_table(&w, &w.cksm.unstable, PKSM_UNSTABLE);
        check_table(&w, &w.cksm.stable, PKSM_STABLE);
    }
    free(w.next);
    free(w.before);
    free(w.births);
    free(w.order);
    free(w.cksm.unstable.heads);
    free(w.cksm.stable.heads);
    free(w.table.nodes);
    free_pages(&w.p);
    return 0;
}
