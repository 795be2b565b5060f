/* Integers: grouping, rings, chains, frames; each against arrays done the long way, and what none of them accepts. */
#include "check.h"

/* Verdicts are sorted, stable, with what belongs to them; flags are looked at and set; counts are added to. */
static void test_verdicts_and_flags(uint32_t n, uint32_t n_items)
{
    pksm_table table = {.nodes = block((n_items + 1) * sizeof *table.nodes), .n_nodes = n_items + 1};
    uint32_t *ids = block(n * sizeof *ids), *others = block(n * sizeof *others), *rows = block(5 * n * sizeof *rows);
    uint32_t *out = block(n * sizeof *out), starts[PKSM_N_VERDICTS + 1];
    uint32_t mask = 1u << below(8), flags = one_in(2) ? mask : 0, at = 0, kept = 0;
    int64_t *counts = block((n_items + 1) * sizeof *counts), total = 0;
    uint8_t *verdicts = block(n);
    size_t count = 12345;

    for (uint32_t id = 1; id <= n_items; id++) {
        table.nodes[id].page = below(1000);
        table.nodes[id].flags = (uint16_t)below(256);
    }
    for (uint32_t i = 0; i < n; i++) {
        ids[i] = 1 + below(n_items);
        others[i] = below(n_items + 1);
        verdicts[i] = (uint8_t)below(PKSM_N_VERDICTS);
    }
    CHECK(pksm_sort_verdicts(&table, ids, verdicts, others, n, rows, starts) == PKSM_OK);
    for (uint32_t verdict = 0; verdict < PKSM_N_VERDICTS; verdict++) {
        CHECK(starts[verdict] == at);
        for (uint32_t i = 0; i < n; i++) {
            if (verdicts[i] != verdict)
                continue;
            CHECK(rows[at] == i && rows[n + at] == ids[i] && rows[2 * n + at] == others[i]);
            CHECK(rows[3 * n + at] == table.nodes[ids[i]].page && rows[4 * n + at] == table.nodes[others[i]].page);
            at++;
        }
    }
    CHECK(starts[PKSM_N_VERDICTS] == n && at == n);

    CHECK(pksm_select(&table, ids, n, mask, flags, out, &count) == PKSM_OK);
    for (uint32_t i = 0; i < n; i++)
        if ((table.nodes[ids[i]].flags & mask) == flags)
            CHECK(kept < count && out[kept++] == ids[i]);
    CHECK(kept == count);
    CHECK(pksm_mark(&table, ids, n, mask | 4, 4) == PKSM_OK);
    for (uint32_t i = 0; i < n; i++)
        CHECK((table.nodes[ids[i]].flags & (mask | 4)) == (mask & ~4u));

    CHECK(pksm_tally(counts, n_items + 1, ids, n, -3) == PKSM_OK);
    for (uint32_t id = 0; id <= n_items; id++)
        total += counts[id];
    CHECK(total == -3 * (int64_t)n && (!n || counts[ids[0]] <= -3));

    if (n) {
        uint32_t last = n - 1, good = ids[last];
        verdicts[last] = PKSM_N_VERDICTS;
        CHECK(pksm_sort_verdicts(&table, ids, verdicts, others, n, rows, starts) == PKSM_EINVAL);
        verdicts[last] = 0;
        others[last] = n_items + 1;
        CHECK(pksm_sort_verdicts(&table, ids, verdicts, others, n, rows, starts) == PKSM_EINVAL);
        ids[last] = n_items + 1;
        CHECK(pksm_sort_verdicts(&table, ids, verdicts, others, n, rows, starts) == PKSM_EITEM);
        CHECK(pksm_select(&table, ids, n, mask, flags, out, &count) == PKSM_EITEM && count == kept);
        CHECK(pksm_mark(&table, ids, n, 0, 0xff) == PKSM_EITEM);
        CHECK(pksm_tally(counts, n_items + 1, ids, n, 1) == PKSM_EINVAL && counts[good] <= -3);
        CHECK(starts[PKSM_N_VERDICTS] == n);
    }
    free(table.nodes);
    free(ids);
    free(others);
    free(rows);
    free(out);
    free(counts);
    free(verdicts);
}

/* Records 1 .. n-1 dealt to chains at random; the last record of each chain links to 0. */
static void test_collect(uint32_t n, uint32_t n_chains)
{
    uint32_t *next = block(n * sizeof *next), *out = block(n * sizeof *out);
    uint32_t *heads = block(n_chains * sizeof *heads), *tails = block(n_chains * sizeof *tails);
    uint32_t *expected = block(n * sizeof *expected);
    size_t count = 12345, met = 0;

    for (uint32_t record = n - 1; record; record--) {
        uint32_t chain = below(n_chains);
        next[record] = heads[chain];
        heads[chain] = record;
        tails[chain] = tails[chain] ? tails[chain] : record;
    }
    for (uint32_t chain = 0; chain < n_chains; chain++)
        for (uint32_t record = heads[chain]; record; record = next[record])
            expected[met++] = record;
    CHECK(met == n - 1);
    CHECK(pksm_collect(next, n, heads, n_chains, out, &count) == PKSM_OK);
    CHECK(count == met && memcmp(out, expected, met * sizeof *out) == 0);

    for (uint32_t chain = 0; chain < n_chains; chain++) {
        if (!heads[chain])
            continue;
        count = 12345;
        next[tails[chain]] = heads[chain]; /* a loop */
        CHECK(pksm_collect(next, n, heads, n_chains, out, &count) == PKSM_EINVAL);
        next[tails[chain]] = n + below(1000); /* out of range */
        CHECK(pksm_collect(next, n, heads, n_chains, out, &count) == PKSM_EINVAL);
        CHECK(count == 12345);
        next[tails[chain]] = 0;
    }
    heads[below(n_chains)] = n;
    CHECK(pksm_collect(next, n, heads, n_chains, out, &count) == PKSM_EINVAL);
    free(next);
    free(out);
    free(heads);
    free(tails);
    free(expected);
}

/* Two rings that share stamps, as an item is on one of them at most; beside each a plain array of what it holds. */
static void test_rings(uint32_t n_items, uint32_t size)
{
    enum { RINGS = 2 };
    static const uint32_t flags[RINGS] = {PKSM_NEWLIST, PKSM_RESCAN};
    pksm_table table = {.nodes = block((n_items + 1) * sizeof *table.nodes), .n_nodes = n_items + 1};
    uint32_t *stamps = block((n_items + 1) * sizeof *stamps), *ids = block(n_items * sizeof *ids), *held[RINGS];
    pksm_ring rings[RINGS];

    for (int r = 0; r < RINGS; r++) {
        rings[r] = (pksm_ring){block(size * sizeof *ids), stamps, size, 1, 1, 0, flags[r]};
        held[r] = block(n_items * sizeof *ids);
    }
    for (int step = 0; step < 300; step++) {
        int r = (int)below(RINGS);
        pksm_ring *ring = &rings[r], before = *ring;
        uint32_t n = 0, kept = 0;
        size_t count = 999;

        if (one_in(2)) {
            for (uint32_t id = 1; id <= n_items; id++)
                if (!(table.nodes[id].flags & (PKSM_NEWLIST | PKSM_RESCAN)) && one_in(3))
                    ids[n++] = id;
            int status = pksm_ring_push(&table, ring, ids, n);
            CHECK(status == (n <= size - (before.tail - before.head) ? PKSM_OK : PKSM_EINVAL));
            if (status != PKSM_OK)
                CHECK(ring->head == before.head && ring->tail == before.tail && ring->length == before.length);
            else
                for (uint32_t i = 0; i < n; i++)
                    held[r][before.length + i] = ids[i];
        } else if (one_in(2)) {
            uint32_t wanted = below(n_items + 2), there = wanted < before.length ? wanted : before.length;
            uint32_t *out = block(there * sizeof *out);
            int peek = one_in(2);
            CHECK(pksm_ring_take(&table, ring, wanted, peek, out, &count) == PKSM_OK);
            CHECK(count == there && memcmp(out, held[r], there * sizeof *out) == 0);
            if (!peek)
                memmove(held[r], held[r] + there, (before.length - there) * sizeof *out);
            CHECK(ring->length == before.length - (peek ? 0 : there));
            free(out);
        } else {
            /* some are not on this ring: those are left alone */
            for (uint32_t id = 1; id <= n_items; id++)
                if (one_in(4))
                    ids[n++] = id;
            CHECK(pksm_ring_drop(&table, ring, ids, n) == PKSM_OK);
            for (uint32_t i = 0; i < before.length; i++)
                if (table.nodes[held[r][i]].flags & flags[r])
                    held[r][kept++] = held[r][i];
            CHECK(ring->length == kept);
            for (uint32_t i = 0; i < n; i++)
                CHECK(!(table.nodes[ids[i]].flags & flags[r]));
        }
        for (uint32_t i = 0; i < ring->length; i++)
            CHECK(table.nodes[held[r][i]].flags & flags[r]);
    }
    ids[0] = n_items + 1;
    CHECK(pksm_ring_push(&table, rings, ids, 1) == PKSM_EITEM);
    CHECK(pksm_ring_drop(&table, rings, ids, 1) == PKSM_EITEM);
    for (int r = 0; r < RINGS; r++) {
        free(rings[r].ids);
        free(held[r]);
    }
    free(stamps);
    free(ids);
    free(table.nodes);
}

/* Positions never start over: a ring that has counted to the end takes no more. */
static void test_ring_at_the_end(void)
{
    pksm_node nodes[3] = {0};
    pksm_table table = {.nodes = nodes, .n_nodes = 3};
    uint32_t entries[2] = {0}, stamps[3] = {0}, ids[2] = {1, 2}, out[2];
    pksm_ring ring = {entries, stamps, 2, UINT32_MAX - 1, UINT32_MAX - 1, 0, PKSM_NEWLIST};
    size_t count;

    CHECK(pksm_ring_push(&table, &ring, ids, 2) == PKSM_EINVAL && ring.length == 0);
    CHECK(pksm_ring_push(&table, &ring, ids, 1) == PKSM_OK);
    CHECK(pksm_ring_take(&table, &ring, 2, 0, out, &count) == PKSM_OK && count == 1 && out[0] == 1);
}

/* Records against a plain list of (item, value); items that are let go leave ring and tree too. */
static void test_records(uint32_t n_items, uint32_t room)
{
    pksm_table table = {.nodes = block((n_items + 1) * sizeof *table.nodes), .n_nodes = n_items + 1};
    pksm_records records = {block((room + 1) * 4), block((room + 1) * 4), room + 1, 1, 0, 0};
    uint32_t *ids = block((room + n_items + 1) * 4), *values = block((room + 1) * 4),
             *stamps = block((n_items + 1) * 4);
    uint32_t *whose = block((room + 1) * 4), *what = block((room + 1) * 4), held = 0;
    pksm_ring ring = {block(n_items * 4), stamps, n_items, 1, 1, 0, PKSM_CHECKSUM_LIST}, *rings[] = {&ring};
    pksm_trees trees = {0};
    size_t count = 0;

    for (int step = 0; step < 60; step++) {
        uint32_t n = below(room + 2), expected = 0;

        if (one_in(2)) {
            for (uint32_t i = 0; i < n; i++) {
                ids[i] = 1 + below(n_items);
                values[i] = below(1000);
            }
            int fits = n <= room - held;
            CHECK(pksm_records_append(&table, &records, ids, values, n) == (fits ? PKSM_OK : PKSM_EINVAL));
            for (uint32_t i = 0; fits && i < n; i++) {
                whose[held] = ids[i];
                what[held++] = values[i];
            }
        } else {
            int all = one_in(2);
            n = 0;
            for (uint32_t id = 1; id <= n_items; id++)
                if (one_in(2))
                    ids[n++] = id;
            for (uint32_t i = 0; i < held; i++)
                for (uint32_t k = 0; k < n; k++)
                    expected += whose[i] == ids[k];
            if (expected) {
                CHECK(pksm_records_release(&table, &records, ids, n, values, expected - 1, &count) == PKSM_OK);
                CHECK(count == expected && records.length == held);
            }
            for (uint32_t k = 0; all && k < n; k++) {
                table.nodes[ids[k]].page = 7;
                if (!(table.nodes[ids[k]].flags & PKSM_CHECKSUM_LIST) && ring.tail - ring.head < ring.size)
                    CHECK(pksm_ring_push(&table, &ring, &ids[k], 1) == PKSM_OK);
            }
            if (all && n) { /* one is on a ring that is not named: nothing is done */
                table.nodes[ids[n - 1]].flags |= PKSM_RESCAN;
                CHECK(pksm_release_items(&table, &trees, rings, 1, &records, ids, n, values, expected, &count) ==
                      PKSM_EITEM);
                CHECK(records.length == held && table.nodes[ids[0]].page == 7);
                table.nodes[ids[n - 1]].flags &= (uint16_t)~PKSM_RESCAN;
            }
            if (all)
                CHECK(pksm_release_items(&table, &trees, rings, 1, &records, ids, n, values, expected, &count) ==
                      PKSM_OK);
            else
                CHECK(pksm_records_release(&table, &records, ids, n, values, expected, &count) == PKSM_OK);
            CHECK(count == expected);
            for (uint32_t k = 0, at = 0; k < n; k++) {
                CHECK(!table.nodes[ids[k]].link && !(all && (table.nodes[ids[k]].flags || table.nodes[ids[k]].page)));
                for (uint32_t i = held; i--;) /* newest first */
                    if (whose[i] == ids[k])
                        CHECK(values[at++] == what[i]);
            }
            expected = held;
            held = 0;
            for (uint32_t i = 0; i < expected; i++) {
                uint32_t gone = 0;
                for (uint32_t k = 0; k < n; k++)
                    gone |= whose[i] == ids[k];
                whose[held] = whose[i];
                what[held] = what[i];
                held += !gone;
            }
        }
        CHECK(records.length == held && records.top <= room + 1);
        uint32_t dropped = 0;
        CHECK(pksm_ring_take(&table, &ring, 0, 0, &dropped, &count) == PKSM_OK); /* void entries at the head go */
    }
    ids[0] = 1;
    table.nodes[1].link = room + 1;
    CHECK(pksm_records_release(&table, &records, ids, 1, values, room, &count) == PKSM_EINVAL);
    ids[0] = n_items + 1;
    CHECK(pksm_records_append(&table, &records, ids, values, held < room) == (held < room ? PKSM_EITEM : PKSM_OK));
    CHECK(pksm_release_items(&table, &trees, rings, 1, &records, ids, 1, values, room, &count) == PKSM_EITEM);
    free(table.nodes);
    free(records.values);
    free(records.next);
    free(ids);
    free(values);
    free(stamps);
    free(whose);
    free(what);
    free(ring.ids);
}

/* Pages are parted from their items, and these put on a ring, in one. */
static void test_part_onto(uint32_t n_pages)
{
    pksm_table table = {.nodes = block((n_pages + 1) * sizeof *table.nodes), .n_nodes = n_pages + 1};
    uint32_t *stamps = block((n_pages + 1) * 4), *item_of_page = block(n_pages * 4), *pages = block((n_pages + 1) * 4);
    uint32_t size = 1 + below(n_pages), *out = block(n_pages * 4), n = 0, at = 0;
    pksm_ring ring = {block(size * 4), stamps, size, 1, 1, 0, PKSM_DELLIST};
    size_t count;

    for (uint32_t page = 0; page < n_pages; page++) {
        item_of_page[page] = one_in(3) ? 0 : page + 1;
        if (one_in(2))
            pages[n++] = page;
    }
    if (n > size) {
        CHECK(pksm_detach_onto(&table, &ring, item_of_page, n_pages, pages, n) == PKSM_EINVAL && !ring.length);
        n = size;
    }
    if (n && n < size)
        pages[n++] = n_pages + below(3); /* has none */
    uint32_t *before = block(n_pages * 4);
    memcpy(before, item_of_page, n_pages * 4);
    CHECK(pksm_detach_onto(&table, &ring, item_of_page, n_pages, pages, n) == PKSM_OK);
    CHECK(pksm_ring_take(&table, &ring, size, 1, out, &count) == PKSM_OK);
    for (uint32_t i = 0; i < n; i++)
        if (pages[i] < n_pages && before[pages[i]])
            CHECK(at < count && out[at++] == before[pages[i]] && !item_of_page[pages[i]]);
    CHECK(at == count);
    free(table.nodes);
    free(stamps);
    free(item_of_page);
    free(pages);
    free(out);
    free(before);
    free(ring.ids);
}

/* Pages get items, all of them or none. */
static void test_bear(uint32_t n_pages)
{
    pksm_table table = {.nodes = block((n_pages + 1) * sizeof *table.nodes), .n_nodes = n_pages + 1};
    uint32_t *stamps = block((n_pages + 1) * 4), *item_of_page = block(n_pages * 4);
    uint32_t *pages = block(2 * n_pages * 4), *ids = block(2 * n_pages * 4), *out = block(n_pages * 4);
    uint32_t n = 0, id = 1, size = 1 + below(n_pages);
    pksm_ring ring = {block(size * 4), stamps, size, 1, 1, 0, PKSM_NEWLIST}, *on = one_in(3) ? NULL : &ring;
    int expected = PKSM_OK, status;
    size_t count;

    for (uint32_t page = 0; page < n_pages; page++)
        if (one_in(2)) {
            pages[n] = page;
            ids[n++] = id++;
        }
    if (n && one_in(3)) {
        item_of_page[pages[below(n)]] = n_pages;
        expected = PKSM_EPAGE;
    }
    if (n > 1 && one_in(3)) {
        pages[n - 1] = one_in(2) ? pages[0] : n_pages + below(3);
        expected = PKSM_EPAGE;
    }
    if (on && n > size)
        expected = PKSM_EINVAL;
    if (n && one_in(5)) {
        ids[below(n)] = n_pages + 1;
        expected = PKSM_EITEM;
    }
    uint32_t *before = block(n_pages * 4);
    memcpy(before, item_of_page, n_pages * 4);
    status = pksm_bear(&table, on, item_of_page, n_pages, pages, ids, n, PKSM_INITCHECKSUM);
    CHECK(status == expected);
    if (status != PKSM_OK) {
        CHECK(!memcmp(before, item_of_page, n_pages * 4) && ring.tail == 1);
        for (uint32_t k = 1; k <= n_pages; k++)
            CHECK(!table.nodes[k].flags && !table.nodes[k].page);
    }
    for (uint32_t i = 0; status == PKSM_OK && i < n; i++) {
        const pksm_node *item = &table.nodes[ids[i]];
        CHECK(item_of_page[pages[i]] == ids[i] && item->page == pages[i]);
        CHECK(item->flags == (PKSM_INITCHECKSUM | (on ? PKSM_NEWLIST : 0)));
    }
    CHECK(pksm_ring_take(&table, &ring, n_pages, 1, out, &count) == PKSM_OK);
    CHECK(count == (status == PKSM_OK && on ? n : 0) && !memcmp(out, ids, count * 4));
    free(table.nodes);
    free(stamps);
    free(item_of_page);
    free(pages);
    free(ids);
    free(out);
    free(before);
    free(ring.ids);
}

/* Frames take over pages; whatever is asked for, a frame's count is the number of pages that point to it. */
static void test_remap(uint32_t n_pages)
{
    uint32_t *frame_of = block(n_pages * sizeof *frame_of), *mapcount = block(n_pages * sizeof *mapcount);
    uint32_t pages[4], frames[4], counted;

    for (uint32_t page = 0; page < n_pages; page++) {
        frame_of[page] = page;
        mapcount[page] = 1;
    }
    for (int step = 0; step < 40; step++) {
        uint32_t n = 1 + below(4);
        int fits = 1, zero = one_in(4);

        for (uint32_t i = 0; i < n; i++) {
            pages[i] = below(n_pages + one_in(20));
            frames[i] = below(n_pages + one_in(20));
        }
        for (uint32_t i = 0; i < n; i++) {
            fits &= pages[i] < n_pages && frame_of[pages[i] % n_pages] == pages[i] && mapcount[pages[i] % n_pages] == 1;
            fits &= zero || (frames[i] < n_pages && mapcount[frames[i] % n_pages]);
            for (uint32_t k = 0; k < n; k++)
                fits &= (zero || pages[i] != frames[k]) && (i == k || pages[i] != pages[k]);
        }
        uint32_t before = pages[0] < n_pages ? frame_of[pages[0]] : 0;
        CHECK(pksm_remap(frame_of, mapcount, n_pages, pages, zero ? NULL : frames, n) ==
              (fits ? PKSM_OK : PKSM_EINVAL));
        if (pages[0] < n_pages)
            CHECK(frame_of[pages[0]] == (!fits ? before : zero ? (uint32_t)PKSM_ZERO_FRAME : frames[0]));
        for (uint32_t frame = 0; frame < n_pages; frame++) {
            counted = 0;
            for (uint32_t page = 0; page < n_pages; page++)
                counted += frame_of[page] == frame;
            CHECK(mapcount[frame] == counted);
        }
    }
    free(frame_of);
    free(mapcount);
}

/* Items are made blank, unless one of them is still wanted somewhere. */
static void test_clear(void)
{
    static const uint16_t busy[] = {PKSM_UNSTABLE, PKSM_STABLE,        PKSM_NEWLIST,
                                    PKSM_RESCAN,   PKSM_CHECKSUM_LIST, PKSM_DELLIST};
    static const pksm_node blank;
    pksm_node nodes[4];
    pksm_table table = {.nodes = nodes, .n_nodes = 4};
    uint32_t ids[2] = {2, 3};

    for (size_t i = 0; i < sizeof busy / sizeof busy[0]; i++) {
        memset(nodes, 0x55, sizeof nodes);
        nodes[2].flags = PKSM_INITCHECKSUM | PKSM_ZERO_REFUSED;
        nodes[3].flags = busy[i];
        CHECK(pksm_clear(&table, ids, 2) == PKSM_EITEM && nodes[2].page == 0x55555555);
        CHECK(pksm_clear(&table, ids, 1) == PKSM_OK && memcmp(&nodes[2], &blank, sizeof blank) == 0);
        CHECK(nodes[1].page == 0x55555555 && nodes[3].page == 0x55555555);
    }
    ids[0] = 4;
    CHECK(pksm_clear(&table, ids, 1) == PKSM_EITEM);
}

int main(int argc, char **argv)
{
    seed_from(argc, argv);
    for (int i = 0; i < 200; i++) {
        test_verdicts_and_flags(below(100), 1 + below(60));
        test_collect(2 + below(60), 1 + below(8));
        test_rings(1 + below(30), 1 + below(40));
        test_records(1 + below(6), 1 + below(30));
        test_part_onto(1 + below(40));
        test_bear(1 + below(40));
        test_remap(2 + below(30));
    }
    test_ring_at_the_end();
    test_clear();
    printf("ok\n");
    return 0;
}
