/* buckets.h: hash tables of items, chained, the newest first. An item stands in one table at most. */
#ifndef PKSM_BUCKETS_H
#define PKSM_BUCKETS_H

#include "core.h"

static inline uint32_t *pksm_bucket_of(const pksm_buckets *buckets, uint64_t key)
{
    return &buckets->heads[key & (buckets->n_heads - 1)];
}

/* PKSM_OK if there is a bucket, and their number is a power of two. */
int pksm_buckets_check_size(const pksm_buckets *buckets);
/* Puts an item, which is in no table, in by its checksum, first of its bucket. */
void pksm_buckets_insert(pksm_buckets *buckets, const pksm_node *nodes, uint32_t id);
/* Takes an item out of the table that it is in. */
void pksm_buckets_erase(pksm_buckets *buckets, const pksm_node *nodes, uint32_t id);

#endif
