/* Integers: grouping, rings, chains, frames; each against arrays done the long way, and what none of them accepts. */
#include "check.h"

static void test_group(size_t n, uint32_t n_keys)
{
    uint8_t *keys = block(n);
    uint32_t *order = block(n * sizeof *order), *starts = block((n_keys + 1) * sizeof *starts);
    size_t at = 0;

    for (size_t i = 0; i < n; i++)
        keys[i] = (uint8_t)below(n_keys);
    CHECK(pksm_group(keys, n, n_keys, order, starts) == PKSM_OK);
    CHECK(starts[0] == 0 && starts[n_keys] == n);
    for (uint32_t key = 0; key < n_keys; key++) {
        CHECK(starts[key] == at);
        for (size_t i = 0; i < n; i++)
            if (keys[i] == key)
                CHECK(order[at++] == i);
    }
    CHECK(at == n);
    if (n && n_keys < 256) {
        uint32_t before = order[0];
        keys[below((uint32_t)n)] = (uint8_t)n_keys;
        CHECK(pksm_group(keys, n, n_keys, order, starts) == PKSM_EINVAL);
        CHECK(order[0] == before && starts[n_keys] == n);
    }
    CHECK(pksm_group(keys, n, 257, order, starts) == PKSM_EINVAL);
    free(keys);
    free(order);
    free(starts);
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
    pksm_table table = {block((n_items + 1) * sizeof *table.nodes), n_items + 1};
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
                CHECK(memcmp(ring, &before, sizeof before) == 0);
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
    pksm_table table = {nodes, 3};
    uint32_t entries[2] = {0}, stamps[3] = {0}, ids[2] = {1, 2}, out[2];
    pksm_ring ring = {entries, stamps, 2, UINT32_MAX - 1, UINT32_MAX - 1, 0, PKSM_NEWLIST};
    size_t count;

    CHECK(pksm_ring_push(&table, &ring, ids, 2) == PKSM_EINVAL && ring.length == 0);
    CHECK(pksm_ring_push(&table, &ring, ids, 1) == PKSM_OK);
    CHECK(pksm_ring_take(&table, &ring, 2, 0, out, &count) == PKSM_OK && count == 1 && out[0] == 1);
}

/* Records are put at the heads of lists and collected again. */
static void test_prepend(uint32_t n_items, uint32_t n_records)
{
    pksm_table table = {block((n_items + 1) * sizeof *table.nodes), n_items + 1};
    uint32_t *next = block(n_records * sizeof *next), *out = block(n_records * sizeof *out);
    uint32_t *ids = block(n_records * sizeof *ids), *records = block(n_records * sizeof *records), n = n_records - 1;
    size_t count = 0, counted = 0;

    for (uint32_t i = 0; i < n; i++) {
        ids[i] = 1 + below(n_items);
        records[i] = n - i;
    }
    CHECK(pksm_prepend(&table, next, n_records, ids, records, n) == PKSM_OK);
    for (uint32_t id = 1; id <= n_items; id++) {
        CHECK(pksm_collect(next, n_records, &table.nodes[id].link, 1, out, &count) == PKSM_OK);
        CHECK(pksm_collect(next, n_records, &table.nodes[id].link, 1, NULL, &counted) == PKSM_OK && counted == count);
        size_t at = 0;
        for (uint32_t i = n; i--;) /* what came last stands first */
            if (ids[i] == id)
                CHECK(at < count && out[at++] == records[i]);
        CHECK(at == count);
    }
    next[0] = 7;
    records[n ? n - 1 : 0] = one_in(2) ? 0 : n_records;
    CHECK(n == 0 || pksm_prepend(&table, next, n_records, ids, records, n) == PKSM_EINVAL);
    ids[0] = n_items + 1;
    CHECK(pksm_prepend(&table, next, n_records, ids, records, 1) == PKSM_EITEM);
    CHECK(next[0] == 7);
    free(table.nodes);
    free(next);
    free(out);
    free(ids);
    free(records);
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
        int fits = 1;

        for (uint32_t i = 0; i < n; i++) {
            pages[i] = below(n_pages + one_in(20));
            frames[i] = below(n_pages + one_in(20));
        }
        for (uint32_t i = 0; i < n; i++) {
            fits &= pages[i] < n_pages && frame_of[pages[i] % n_pages] == pages[i] && mapcount[pages[i] % n_pages] == 1;
            fits &= frames[i] < n_pages && mapcount[frames[i] % n_pages];
            for (uint32_t k = 0; k < n; k++)
                fits &= pages[i] != frames[k] && (i == k || pages[i] != pages[k]);
        }
        uint32_t before = pages[0] < n_pages ? frame_of[pages[0]] : 0;
        CHECK(pksm_remap(frame_of, mapcount, n_pages, pages, frames, n) == (fits ? PKSM_OK : PKSM_EINVAL));
        if (pages[0] < n_pages)
            CHECK(frame_of[pages[0]] == (fits ? frames[0] : before));
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
    pksm_table table = {nodes, 4};
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
        test_group(below(100), 1 + below(256));
        test_collect(2 + below(60), 1 + below(8));
        test_rings(1 + below(30), 1 + below(40));
        test_prepend(1 + below(6), 1 + below(30));
        test_remap(2 + below(30));
    }
    test_group(0, 11);
    test_group(50, 256);
    test_ring_at_the_end();
    test_clear();
    printf("ok\n");
    return 0;
}
