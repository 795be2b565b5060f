/* lists.c: work on integers that Python would have to do one by one. */
#include "core.h"

EXPORT int pksm_sort_verdicts(const pksm_table *table, const uint32_t *ids, const uint8_t *verdicts,
                              const uint32_t *others, size_t n, uint32_t *rows, uint32_t *starts)
{
    uint32_t next[PKSM_N_VERDICTS];
    int status = n > UINT32_MAX ? PKSM_EINVAL : pksm_check_items(NULL, table, ids, n);

    for (size_t i = 0; status == PKSM_OK && i < n; i++)
        if (verdicts[i] >= PKSM_N_VERDICTS || others[i] >= table->n_nodes)
            status = PKSM_EINVAL;
    if (status != PKSM_OK)
        return status;
    memset(starts, 0, (PKSM_N_VERDICTS + 1) * sizeof *starts);
    for (size_t i = 0; i < n; i++)
        starts[verdicts[i] + 1]++;
    for (size_t v = 0; v < PKSM_N_VERDICTS; v++) {
        next[v] = starts[v];
        starts[v + 1] += starts[v];
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t *column = rows + next[verdicts[i]]++;

        column[0] = (uint32_t)i;
        column[n] = ids[i];
        column[2 * n] = others[i];
        column[3 * n] = table->nodes[ids[i]].page;
        column[4 * n] = table->nodes[others[i]].page;
    }
    return PKSM_OK;
}

EXPORT int pksm_select(const pksm_table *table, const uint32_t *ids, size_t n, uint32_t mask, uint32_t flags,
                       uint32_t *out, size_t *count)
{
    int status = pksm_check_items(NULL, table, ids, n);
    size_t selected = 0;

    if (status != PKSM_OK)
        return status;
    for (size_t i = 0; i < n; i++) {
        uint32_t id = ids[i];

        out[selected] = id;
        selected += (table->nodes[id].flags & mask) == flags;
    }
    *count = selected;
    return PKSM_OK;
}

EXPORT int pksm_mark(pksm_table *table, const uint32_t *ids, size_t n, uint32_t set, uint32_t clear)
{
    int status = pksm_check_items(NULL, table, ids, n);

    for (size_t i = 0; status == PKSM_OK && i < n; i++) {
        uint16_t *flags = &table->nodes[ids[i]].flags;
        *flags = (uint16_t)((*flags | set) & ~clear);
    }
    return status;
}

EXPORT int pksm_tally(int64_t *counts, size_t n_counts, const uint32_t *at, size_t n, int64_t by)
{
    for (size_t i = 0; i < n; i++)
        if (at[i] >= n_counts)
            return PKSM_EINVAL;
    for (size_t i = 0; i < n; i++)
        counts[at[i]] += by;
    return PKSM_OK;
}

static int is_valid(const pksm_table *table, const pksm_ring *ring, uint32_t id, uint32_t position)
{
    return id < table->n_nodes && ring->stamps[id] == position && (table->nodes[id].flags & ring->flag);
}

static void take_off(pksm_table *table, pksm_ring *ring, uint32_t id)
{
    ring->stamps[id] = 0;
    table->nodes[id].flags &= (uint16_t)~ring->flag;
    ring->length--;
}

static int has_room(const pksm_ring *ring, size_t n)
{
    return n <= ring->size && ring->tail - ring->head <= ring->size - n && n <= UINT32_MAX - ring->tail;
}

static void put_on(pksm_table *table, pksm_ring *ring, uint32_t id)
{
    ring->ids[ring->tail % ring->size] = id;
    ring->stamps[id] = ring->tail++;
    table->nodes[id].flags |= (uint16_t)ring->flag;
    ring->length++;
}

EXPORT int pksm_ring_push_where(pksm_table *table, pksm_ring *ring, const uint32_t *ids, size_t n, uint32_t mask,
                                uint32_t flags)
{
    int status = pksm_check_items(NULL, table, ids, n);
    uint32_t tail = ring->tail, at = tail % (ring->size ? ring->size : 1);

    if (status == PKSM_OK && !has_room(ring, n))
        status = PKSM_EINVAL;
    if (status != PKSM_OK)
        return status;
    for (size_t i = 0; i < n; i++) {
        uint16_t *on = &table->nodes[ids[i]].flags;

        if ((*on & mask) != flags)
            continue;
        *on |= (uint16_t)ring->flag;
        ring->stamps[ids[i]] = tail++;
        ring->ids[at++] = ids[i];
        at = at == ring->size ? 0 : at;
    }
    ring->length += tail - ring->tail;
    ring->tail = tail;
    return PKSM_OK;
}

EXPORT int pksm_ring_push(pksm_table *table, pksm_ring *ring, const uint32_t *ids, size_t n)
{
    return pksm_ring_push_where(table, ring, ids, n, 0, 0);
}

EXPORT int pksm_ring_take(pksm_table *table, pksm_ring *ring, size_t n, int peek, uint32_t *out, size_t *count)
{
    uint32_t position = ring->head, at = position % (ring->size ? ring->size : 1);
    size_t taken = 0;

    for (; position != ring->tail && taken < n; position++) {
        uint32_t id = ring->ids[at];

        at = at + 1 == ring->size ? 0 : at + 1;
        if (!is_valid(table, ring, id, position)) {
            ring->head += position == ring->head; /* void ones at the head go */
            continue;
        }
        out[taken++] = id;
        if (!peek)
            take_off(table, ring, id);
    }
    if (!peek)
        ring->head = position;
    *count = taken;
    return PKSM_OK;
}

EXPORT int pksm_ring_drop(pksm_table *table, pksm_ring *ring, const uint32_t *ids, size_t n)
{
    int status = pksm_check_items(NULL, table, ids, n);

    for (size_t i = 0; status == PKSM_OK && i < n; i++)
        if (table->nodes[ids[i]].flags & ring->flag)
            take_off(table, ring, ids[i]);
    return status;
}

EXPORT int pksm_remap(uint32_t *frame_of, uint32_t *mapcount, size_t n_pages, const uint32_t *pages,
                      const uint32_t *frames, size_t n)
{
    size_t taken = 0;
    int fits = 1;

    for (; fits && taken < n; taken += fits) {
        uint32_t page = pages[taken];
        fits = page < n_pages && frame_of[page] == page && mapcount[page] == 1;
        if (fits)
            mapcount[page] = 0;
    }
    for (size_t i = 0; fits && frames && i < n; i++)
        fits = frames[i] < n_pages && mapcount[frames[i]];
    for (size_t i = 0; fits && i < n; i++) {
        frame_of[pages[i]] = frames ? frames[i] : (uint32_t)PKSM_ZERO_FRAME;
        if (frames)
            mapcount[frames[i]]++;
    }
    while (!fits && taken--)
        mapcount[pages[taken]] = 1;
    return fits ? PKSM_OK : PKSM_EINVAL;
}

enum { PART = 512 }; /* items whose nodes are still in a cache when they are put on a list */

EXPORT int pksm_bear(pksm_table *table, pksm_ring *ring, uint32_t *item_of_page, size_t n_pages, const uint32_t *pages,
                     const uint32_t *ids, size_t n, uint32_t flags)
{
    int status = pksm_check_items(NULL, table, ids, n);
    size_t born = 0;

    if (status == PKSM_OK && ring && !has_room(ring, n))
        status = PKSM_EINVAL;
    while (status == PKSM_OK && born < n) {
        if (pages[born] >= n_pages || item_of_page[pages[born]])
            status = PKSM_EPAGE;
        else
            item_of_page[pages[born]] = ids[born], born++;
    }
    if (status != PKSM_OK) {
        while (born)
            item_of_page[pages[--born]] = 0;
        return status;
    }
    for (size_t start = 0, part; status == PKSM_OK && start < n; start += part) {
        part = n - start < PART ? n - start : PART;
        for (size_t i = start; i < start + part; i++) {
            table->nodes[ids[i]].page = pages[i];
            table->nodes[ids[i]].flags |= (uint16_t)flags;
        }
        if (ring)
            status = pksm_ring_push(table, ring, ids + start, part);
    }
    return status;
}

EXPORT int pksm_detach(uint32_t *item_of_page, size_t n_pages, const uint32_t *pages, size_t n, uint32_t *ids,
                       size_t *count)
{
    size_t met = 0;

    for (size_t i = 0; i < n; i++) {
        if (pages[i] >= n_pages || !item_of_page[pages[i]])
            continue;
        ids[met++] = item_of_page[pages[i]];
        item_of_page[pages[i]] = 0;
    }
    *count = met;
    return PKSM_OK;
}

EXPORT int pksm_detach_onto(pksm_table *table, pksm_ring *ring, uint32_t *item_of_page, size_t n_pages,
                            const uint32_t *pages, size_t n)
{
    if (!has_room(ring, n))
        return PKSM_EINVAL;
    for (size_t i = 0; i < n; i++) {
        uint32_t id = pages[i] < n_pages ? item_of_page[pages[i]] : 0;

        if (!id)
            continue;
        if (id >= table->n_nodes)
            return PKSM_EITEM;
        item_of_page[pages[i]] = 0;
        put_on(table, ring, id);
    }
    return PKSM_OK;
}

EXPORT int pksm_clear(pksm_table *table, const uint32_t *ids, size_t n)
{
    const int busy = PKSM_STABLE | PKSM_UNSTABLE | PKSM_NEWLIST | PKSM_RESCAN | PKSM_CHECKSUM_LIST | PKSM_DELLIST;
    int status = pksm_check_items(NULL, table, ids, n);

    for (size_t i = 0; status == PKSM_OK && i < n; i++)
        if (table->nodes[ids[i]].flags & busy)
            status = PKSM_EITEM;
    for (size_t i = 0; status == PKSM_OK && i < n; i++)
        memset(&table->nodes[ids[i]], 0, sizeof table->nodes[0]);
    return status;
}

EXPORT int pksm_records_append(pksm_table *table, pksm_records *records, const uint32_t *ids, const uint32_t *values,
                               size_t n)
{
    int status = pksm_check_items(NULL, table, ids, n);

    if (status == PKSM_OK && n > records->size - 1 - records->length)
        status = PKSM_EINVAL;
    for (size_t i = 0; status == PKSM_OK && i < n; i++) {
        uint32_t *link = &table->nodes[ids[i]].link, record = records->free;

        if (record)
            records->free = records->next[record];
        else
            record = records->top++;
        records->values[record] = values[i];
        records->next[record] = *link;
        *link = record;
        records->length++;
    }
    return status;
}

/* How many records the items have; PKSM_EITEM if one has a flag of those that none may have. */
static int count_records(const pksm_table *table, const pksm_records *records, const uint32_t *ids, size_t n,
                         uint32_t forbidden, size_t *count)
{
    size_t met = 0;

    for (size_t i = 0; i < n; i++) {
        if (table->nodes[ids[i]].flags & forbidden)
            return PKSM_EITEM;
        for (uint32_t record = table->nodes[ids[i]].link; record; record = records->next[record])
            if (record >= records->top || ++met > records->length)
                return PKSM_EINVAL;
    }
    *count = met;
    return PKSM_OK;
}

/* Gives an item's records back, `room` of them at most. Returns how many. Lists that meet go on in what was released,
 * and from there along free records, which nobody has checked. */
static size_t release_records(pksm_records *records, uint32_t *link, uint32_t *values, size_t room)
{
    size_t released = 0;

    while (*link && *link < records->top && released < room) {
        uint32_t record = *link;

        values[released++] = records->values[record];
        *link = records->next[record];
        records->next[record] = records->free;
        records->free = record;
    }
    records->length -= (uint32_t)released;
    return released;
}

EXPORT int pksm_records_release(pksm_table *table, pksm_records *records, const uint32_t *ids, size_t n,
                                uint32_t *values, size_t room, size_t *count)
{
    int status = pksm_check_items(NULL, table, ids, n);
    size_t released = 0;

    if (status == PKSM_OK)
        status = count_records(table, records, ids, n, 0, count);
    for (size_t i = 0; status == PKSM_OK && *count <= room && i < n; i++)
        released += release_records(records, &table->nodes[ids[i]].link, values + released, *count - released);
    return status;
}

EXPORT int pksm_release_items(pksm_table *table, pksm_trees *trees, pksm_ring *const *rings, size_t n_rings,
                              pksm_records *records, const uint32_t *ids, size_t n, uint32_t *values, size_t room,
                              size_t *count)
{
    int status = pksm_check_items(NULL, table, ids, n);
    uint32_t listed = PKSM_NEWLIST | PKSM_RESCAN | PKSM_CHECKSUM_LIST | PKSM_DELLIST;
    size_t released = 0;

    for (size_t r = 0; r < n_rings; r++)
        listed &= ~rings[r]->flag;
    if (status == PKSM_OK)
        status = count_records(table, records, ids, n, listed, count);
    for (size_t i = 0; status == PKSM_OK && *count <= room && i < n; i++) {
        pksm_node *node = &table->nodes[ids[i]];

        released += release_records(records, &node->link, values + released, *count - released);
        for (size_t r = 0; r < n_rings; r++)
            if (node->flags & rings[r]->flag)
                take_off(table, rings[r], ids[i]);
        pksm_tree_erase(table, trees, ids[i]);
        memset(node, 0, sizeof *node);
    }
    return status;
}

EXPORT int pksm_collect(const uint32_t *next, size_t n_next, const uint32_t *heads, size_t n, uint32_t *out,
                        size_t *count)
{
    size_t met = 0;

    for (size_t i = 0; i < n; i++) {
        for (uint32_t record = heads[i]; record; record = next[record]) {
            if (record >= n_next || met >= n_next)
                return PKSM_EINVAL;
            if (out)
                out[met] = record;
            met++;
        }
    }
    *count = met;
    return PKSM_OK;
}
