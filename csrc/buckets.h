/* buckets.h: hash tables of items, chained, the newest first. An item stands in one table at most.
 *
 * Links are followed only as far as they lead to items, and a chain only for as many items as there are. */
#ifndef PKSM_BUCKETS_H
#define PKSM_BUCKETS_H

#include "core.h"

static inline uint32_t *pksm_bucket_of(const pksm_buckets *buckets, uint64_t key)
{
    return &buckets->heads[key & (buckets->n_heads - 1)];
}

/* PKSM_OK if its number of heads is a power of two, all is there, and there are links for all items of the table. */
int pksm_buckets_check(const pksm_buckets *buckets, const pksm_table *table);
/* Puts an item, which is in no table, in by its checksum, first of its bucket. PKSM_ETREE, and nothing done, when what
 * is first there is no item. */
int pksm_buckets_insert(pksm_buckets *buckets, const pksm_table *table, uint32_t id);
/* Takes an item out of the table that it is in. PKSM_ETREE, and nothing done, when it is not there. */
int pksm_buckets_erase(pksm_buckets *buckets, const pksm_table *table, uint32_t id);

#endif
