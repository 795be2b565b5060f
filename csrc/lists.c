/* lists.c: work on integers that Python would have to do one by one. */
#include "core.h"

EXPORT int pksm_group(const uint8_t *keys, size_t n, size_t n_keys, uint32_t *order, uint32_t *starts)
{
    uint32_t next[256];

    if (n_keys > 256 || n > UINT32_MAX)
        return PKSM_EINVAL;
    for (size_t i = 0; i < n; i++)
        if (keys[i] >= n_keys)
            return PKSM_EINVAL;
    memset(starts, 0, (n_keys + 1) * sizeof *starts);
    for (size_t i = 0; i < n; i++)
        starts[keys[i] + 1]++;
    for (size_t k = 0; k < n_keys; k++) {
        next[k] = starts[k];
        starts[k + 1] += starts[k];
    }
    for (size_t i = 0; i < n; i++)
        order[next[keys[i]]++] = (uint32_t)i;
    return PKSM_OK;
}

static int is_valid(const pksm_table *table, const pksm_ring *ring, uint32_t position)
{
    uint32_t id = ring->ids[position % ring->size];

    return id < table->n_nodes && ring->stamps[id] == position && (table->nodes[id].flags & ring->flag);
}

static void take_off(const pksm_table *table, pksm_ring *ring, uint32_t id)
{
    ring->stamps[id] = 0;
    table->nodes[id].flags &= (uint16_t)~ring->flag;
    ring->length--;
}

EXPORT int pksm_ring_push(const pksm_table *table, pksm_ring *ring, const uint32_t *ids, size_t n)
{
    int status = check_items(NULL, table, ids, n);

    if (status == PKSM_OK && (n > ring->size || ring->tail - ring->head > ring->size - n || n > UINT32_MAX - ring->tail))
        status = PKSM_EINVAL;
    for (size_t i = 0; status == PKSM_OK && i < n; i++) {
        ring->ids[ring->tail % ring->size] = ids[i];
        ring->stamps[ids[i]] = ring->tail++;
        table->nodes[ids[i]].flags |= (uint16_t)ring->flag;
        ring->length++;
    }
    return status;
}

EXPORT int pksm_ring_take(const pksm_table *table, pksm_ring *ring, size_t n, int peek, uint32_t *out, size_t *count)
{
    uint32_t position = ring->head;
    size_t taken = 0;

    for (; position != ring->tail && taken < n; position++) {
        if (!is_valid(table, ring, position)) {
            ring->head += position == ring->head; /* void ones at the head go */
            continue;
        }
        out[taken++] = ring->ids[position % ring->size];
    }
    for (size_t i = 0; !peek && i < taken; i++)
        take_off(table, ring, out[i]);
    if (!peek)
        ring->head = position;
    *count = taken;
    return PKSM_OK;
}

EXPORT int pksm_ring_drop(const pksm_table *table, pksm_ring *ring, const uint32_t *ids, size_t n)
{
    int status = check_items(NULL, table, ids, n);

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
    for (size_t i = 0; fits && i < n; i++)
        fits = frames[i] < n_pages && mapcount[frames[i]];
    for (size_t i = 0; fits && i < n; i++) {
        frame_of[pages[i]] = frames[i];
        mapcount[frames[i]]++;
    }
    while (!fits && taken--)
        mapcount[pages[taken]] = 1;
    return fits ? PKSM_OK : PKSM_EINVAL;
}

EXPORT int pksm_part(uint32_t *item_of_page, size_t n_pages, const uint32_t *pages, size_t n, uint32_t *ids,
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

EXPORT int pksm_clear(const pksm_table *table, const uint32_t *ids, size_t n)
{
    const int busy = PKSM_STABLE | PKSM_UNSTABLE | PKSM_NEWLIST | PKSM_RESCAN | PKSM_CHECKSUM_LIST | PKSM_DELLIST;
    int status = check_items(NULL, table, ids, n);

    for (size_t i = 0; status == PKSM_OK && i < n; i++)
        if (table->nodes[ids[i]].flags & busy)
            status = PKSM_EITEM;
    for (size_t i = 0; status == PKSM_OK && i < n; i++)
        memset(&table->nodes[ids[i]], 0, sizeof table->nodes[0]);
    return status;
}

EXPORT int pksm_prepend(const pksm_table *table, uint32_t *next, size_t n_next, const uint32_t *ids,
                        const uint32_t *records, size_t n)
{
    int status = check_items(NULL, table, ids, n);

    for (size_t i = 0; status == PKSM_OK && i < n; i++)
        if (!records[i] || records[i] >= n_next)
            status = PKSM_EINVAL;
    for (size_t i = 0; status == PKSM_OK && i < n; i++) {
        next[records[i]] = table->nodes[ids[i]].link;
        table->nodes[ids[i]].link = records[i];
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
