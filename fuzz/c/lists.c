/* Integers: rings, records, chains, frames, counts with any ids and links. Refused calls leave everything as it was. */
#include "input.h"

enum { ITEMS = 40, RECORDS = 30, PAGES = 30, RINGS = 2, MOST = 24 };

typedef struct {
    pksm_table table;
    pksm_trees trees;
    uint32_t *stamps;
    pksm_ring rings[RINGS];
    pksm_records records;
    uint32_t *item_of_page, *frame_of, *mapcount;
} world;

static const uint32_t ring_flags[RINGS] = {PKSM_NEWLIST, PKSM_RESCAN};

static int is_listed(const world *w, uint32_t id)
{
    return w->table.nodes[id].flags & (PKSM_NEWLIST | PKSM_RESCAN);
}

/* The ids given back are on no ring, and none comes twice; what is outside the table stays. */
static size_t unlisted(const world *w, uint32_t *ids, size_t n)
{
    size_t kept = 0;

    n = each_once(ids, n);
    for (size_t i = 0; i < n; i++)
        if (ids[i] >= w->table.n_nodes || !is_listed(w, ids[i]))
            ids[kept++] = ids[i];
    return kept;
}

static void push(world *w, input *in)
{
    pksm_ring *ring = &w->rings[next_below(in, RINGS)], before = *ring;
    size_t n = next_below(in, MOST);
    uint32_t *ids = next_indexes(in, n, ITEMS + 1);
    int status;

    n = unlisted(w, ids, n);
    status = next_bit(in)
                 ? pksm_ring_push(&w->table, ring, ids, n)
                 : pksm_ring_push_where(&w->table, ring, ids, n, PKSM_INITCHECKSUM, next_bit(in) * PKSM_INITCHECKSUM);
    if (status != PKSM_OK)
        CHECK(!memcmp(ring, &before, sizeof before));
    free(ids);
}

static void take(world *w, input *in)
{
    pksm_ring *ring = &w->rings[next_below(in, RINGS)];
    uint32_t length = ring->length;
    size_t n = next_bit(in) ? next_byte(in) : (size_t)next_number(in) << 32, count = 99;
    uint32_t *out = block((n < length ? n : length) * sizeof *out);
    int peek = next_bit(in);

    CHECK(pksm_ring_take(&w->table, ring, n, peek, out, &count) == PKSM_OK);
    CHECK(count == (n < length ? n : length) && ring->length == (peek ? length : length - count));
    free(out);
}

static void drop(world *w, input *in)
{
    size_t n = next_below(in, MOST);
    uint32_t *ids = next_indexes(in, n, ITEMS + 1);

    (void)pksm_ring_drop(&w->table, &w->rings[next_below(in, RINGS)], ids, n);
    free(ids);
}

/* Adds records; or gives them back, alone or together with their items, sometimes with broken links. */
static void keep_records(world *w, input *in)
{
    size_t n = next_below(in, MOST), room = next_below(in, RECORDS + 2), count = 99;
    uint32_t *ids = next_indexes(in, n, ITEMS + 1), *values = block((n > room ? n : room) * sizeof *values);
    uint32_t length = w->records.length;
    pksm_ring *rings[RINGS] = {&w->rings[0], &w->rings[1]};
    int status;

    switch (next_below(in, 3)) {
    case 0:
        status = pksm_records_append(&w->table, &w->records, ids, values, n);
        CHECK(w->records.length == length + (status == PKSM_OK ? n : 0));
        break;
    case 1:
        n = each_once(ids, n);
        status = pksm_records_release(&w->table, &w->records, ids, n, values, room, &count);
        CHECK(w->records.length == length - (status == PKSM_OK && count <= room ? count : 0));
        break;
    default:
        n = each_once(ids, n);
        status = pksm_release_items(&w->table, &w->trees, rings, RINGS, &w->records, ids, n, values, room, &count);
        for (size_t i = 0; status == PKSM_OK && count <= room && i < n; i++)
            CHECK(!w->table.nodes[ids[i]].link && !is_listed(w, ids[i]));
    }
    free(ids);
    free(values);
}

/* Records whose links lead anywhere, in a table of their own: refused, or released within the room there is. */
static void keep_broken_records(input *in)
{
    uint32_t next[RECORDS] = {0}, values[RECORDS] = {0};
    pksm_node nodes[8] = {0};
    pksm_table table = {.nodes = nodes, .n_nodes = 8};
    pksm_records records = {values, next, RECORDS, 1 + next_below(in, RECORDS), 0, 0};
    size_t n = next_below(in, 7), room = next_below(in, RECORDS), count;
    uint32_t *ids = next_indexes(in, n, 8), *out = block(room * sizeof *out);

    records.length = next_below(in, RECORDS);
    records.free = next_below(in, records.top);
    for (uint32_t i = 1; i < records.top; i++)
        next[i] = next_index(in, records.top);
    for (uint32_t id = 1; id < 8; id++)
        nodes[id].link = next_index(in, records.top);
    n = each_once(ids, n);
    (void)pksm_records_release(&table, &records, ids, n, out, room, &count);
    free(ids);
    free(out);
}

static void collect(input *in)
{
    size_t n_next = 1 + next_below(in, MOST), n = next_below(in, MOST), count = 99;
    uint32_t *next = next_indexes(in, n_next, (uint32_t)n_next), *heads = next_indexes(in, n, (uint32_t)n_next);
    uint32_t *out = next_bit(in) ? block(n_next * sizeof *out) : NULL;
    int status = pksm_collect(next, n_next, heads, n, out, &count);

    CHECK(status == PKSM_OK ? count <= n_next : status == PKSM_EINVAL && count == 99);
    free(next);
    free(heads);
    free(out);
}

static void remap(world *w, input *in)
{
    size_t n = next_below(in, 6), bytes = PAGES * sizeof(uint32_t);
    uint32_t *pages = next_indexes(in, n, PAGES), *frames = next_bit(in) ? next_indexes(in, n, PAGES) : NULL;
    uint32_t *frame_of = copy_of(w->frame_of, bytes), *mapcount = copy_of(w->mapcount, bytes);

    if (pksm_remap(w->frame_of, w->mapcount, PAGES, pages, frames, n) != PKSM_OK)
        CHECK(!memcmp(frame_of, w->frame_of, bytes) && !memcmp(mapcount, w->mapcount, bytes));
    if (next_below(in, 4) == 3)
        for (uint32_t page = 0; page < PAGES; page++) {
            w->frame_of[page] = page;
            w->mapcount[page] = 1;
        }
    free(pages);
    free(frames);
    free(frame_of);
    free(mapcount);
}

/* Pages without an item get one each, all or none; ids that are on a ring stay out of it. */
static void bear(world *w, input *in)
{
    size_t n = next_below(in, MOST), bytes = PAGES * sizeof(uint32_t);
    uint32_t *ids = next_indexes(in, n, ITEMS + 1), *pages = next_indexes(in, n, PAGES), *before;
    pksm_ring *ring = &w->rings[next_below(in, RINGS)], was = *ring;

    n = unlisted(w, ids, n);
    before = copy_of(w->item_of_page, bytes);
    if (pksm_bear(&w->table, next_bit(in) ? ring : NULL, w->item_of_page, PAGES, pages, ids, n, PKSM_INITCHECKSUM) !=
        PKSM_OK)
        CHECK(!memcmp(ring, &was, sizeof was) && !memcmp(before, w->item_of_page, bytes));
    free(ids);
    free(pages);
    free(before);
}

/* Pages get items again, some of them none that there is; then pages are parted from them. */
static void detach(world *w, input *in)
{
    size_t n = next_below(in, MOST), count = 99, bytes = PAGES * sizeof(uint32_t);
    uint32_t *pages = next_indexes(in, n, PAGES), *ids = block(n * sizeof *ids), *before;
    pksm_ring *ring = &w->rings[next_below(in, RINGS)], was = *ring;
    uint32_t first = 1 + next_below(in, ITEMS);

    for (uint32_t page = 0; page < PAGES; page++) {
        uint32_t id = 1 + (first + page) % ITEMS;
        w->item_of_page[page] = is_listed(w, id) || next_bit(in) ? 0 : id;
    }
    if (next_below(in, 8) == 7)
        w->item_of_page[next_below(in, PAGES)] = next_bit(in) ? ITEMS + 1 : UINT32_MAX;
    before = copy_of(w->item_of_page, bytes);
    if (next_bit(in)) {
        CHECK(pksm_detach(w->item_of_page, PAGES, pages, n, ids, &count) == PKSM_OK && count <= n);
    } else if (pksm_detach_onto(&w->table, ring, w->item_of_page, PAGES, pages, n) == PKSM_EINVAL) {
        CHECK(!memcmp(ring, &was, sizeof was) && !memcmp(before, w->item_of_page, bytes));
    }
    free(pages);
    free(ids);
    free(before);
}

static void sort_and_count(world *w, input *in)
{
    size_t n = next_below(in, MOST), count = 99;
    uint32_t *ids = next_indexes(in, n, ITEMS + 1), *others = next_indexes(in, n, ITEMS + 1);
    uint32_t *rows = block(5 * n * sizeof *rows), *out = block(n * sizeof *out), starts[PKSM_N_VERDICTS + 1] = {7};
    uint8_t *verdicts = block(n);
    int64_t counts[ITEMS + 1] = {0};

    for (size_t i = 0; i < n; i++)
        verdicts[i] = (uint8_t)next_below(in, PKSM_N_VERDICTS + 1);
    if (pksm_sort_verdicts(&w->table, ids, verdicts, others, n, rows, starts) == PKSM_OK)
        CHECK(starts[PKSM_N_VERDICTS] == n);
    else
        CHECK(starts[0] == 7);
    CHECK(pksm_select(&w->table, ids, n, next_byte(in), next_byte(in), out, &count) == PKSM_OK ? count <= n
                                                                                               : count == 99);
    (void)pksm_mark(&w->table, ids, n, next_bit(in) ? PKSM_INITCHECKSUM : 0, next_bit(in) ? PKSM_INITCHECKSUM : 0);
    if (pksm_tally(counts, ITEMS + 1, ids, n, next_byte(in)) != PKSM_OK)
        CHECK(!all_below(ids, n, ITEMS + 1) && !counts[ids[0] <= ITEMS ? ids[0] : 0]);
    free(ids);
    free(others);
    free(rows);
    free(out);
    free(verdicts);
}

static void clear(world *w, input *in)
{
    size_t n = next_below(in, 4);
    uint32_t *ids = next_indexes(in, n, ITEMS + 1), kept = 0;

    for (size_t i = 0; i < n; i++) /* records of cleared items would be lost */
        if (ids[i] >= w->table.n_nodes || !w->table.nodes[ids[i]].link)
            ids[kept++] = ids[i];
    (void)pksm_clear(&w->table, ids, kept);
    free(ids);
}

static void check(const world *w)
{
    for (int r = 0; r < RINGS; r++) {
        uint32_t listed = 0;

        for (uint32_t id = 1; id <= ITEMS; id++)
            listed += !!(w->table.nodes[id].flags & ring_flags[r]);
        CHECK(listed == w->rings[r].length && w->rings[r].tail - w->rings[r].head <= w->rings[r].size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    world w = {.table = {.nodes = block((ITEMS + 1) * sizeof *w.table.nodes), .n_nodes = ITEMS + 1},
               .stamps = block((ITEMS + 1) * 4),
               .records = {block(RECORDS * 4), block(RECORDS * 4), RECORDS, 1, 0, 0},
               .item_of_page = block(PAGES * 4),
               .frame_of = block(PAGES * 4),
               .mapcount = block(PAGES * 4)};

    for (int r = 0; r < RINGS; r++) {
        uint32_t entries = 1 + next_below(&in, 50), start = next_below(&in, 8) ? 1 : UINT32_MAX - next_byte(&in);
        w.rings[r] = (pksm_ring){block(entries * 4), w.stamps, entries, start, start, 0, ring_flags[r]};
    }
    for (uint32_t page = 0; page < PAGES; page++) {
        w.frame_of[page] = page;
        w.mapcount[page] = 1;
    }
    while (in.left) {
        switch (next_below(&in, 11)) {
        case 0:
        case 1:
            push(&w, &in);
            break;
        case 2:
            take(&w, &in);
            break;
        case 3:
            drop(&w, &in);
            break;
        case 4:
            keep_records(&w, &in);
            break;
        case 5:
            keep_broken_records(&in);
            break;
        case 6:
            collect(&in);
            break;
        case 7:
            remap(&w, &in);
            break;
        case 8:
            detach(&w, &in);
            break;
        case 9:
            bear(&w, &in);
            break;
        default:
            sort_and_count(&w, &in);
            clear(&w, &in);
        }
        check(&w);
    }
    for (int r = 0; r < RINGS; r++)
        free(w.rings[r].ids);
    free(w.records.values);
    free(w.records.next);
    free(w.item_of_page);
    free(w.frame_of);
    free(w.mapcount);
    free(w.stamps);
    free(w.table.nodes);
    return 0;
}
