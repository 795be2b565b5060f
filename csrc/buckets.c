/* buckets.c: hash tables of items, for policies that keep them so; which table an item is in, its flags say. */
#include "buckets.h"

int pksm_buckets_check_size(const pksm_buckets *buckets)
{
    return buckets->n_heads && !(buckets->n_heads & (buckets->n_heads - 1)) ? PKSM_OK : PKSM_EINVAL;
}

void pksm_buckets_insert(pksm_buckets *buckets, const pksm_node *nodes, uint32_t id)
{
    uint32_t *head = pksm_bucket_of(buckets, nodes[id].checksum);

    buckets->next[id] = *head;
    buckets->before[id] = 0;
    if (*head)
        buckets->before[*head] = id;
    *head = id;
    buckets->n_items++;
}

void pksm_buckets_erase(pksm_buckets *buckets, const pksm_node *nodes, uint32_t id)
{
    uint32_t next = buckets->next[id], before = buckets->before[id];

    if (before)
        buckets->next[before] = next;
    else
        *pksm_bucket_of(buckets, nodes[id].checksum) = next;
    if (next)
        buckets->before[next] = before;
    buckets->next[id] = buckets->before[id] = 0;
    buckets->n_items--;
}

EXPORT int pksm_buckets_remove(pksm_table *table, pksm_buckets *unstable, pksm_buckets *stable, const uint32_t *ids,
                               size_t n)
{
    int status = pksm_check_items(NULL, table, ids, n);

    if (status == PKSM_OK && (pksm_buckets_check_size(unstable) || pksm_buckets_check_size(stable)))
        status = PKSM_EINVAL;
    for (size_t i = 0; status == PKSM_OK && i < n; i++) {
        pksm_node *node = &table->nodes[ids[i]];

        if (node->flags & (PKSM_UNSTABLE | PKSM_STABLE))
            pksm_buckets_erase(node->flags & PKSM_STABLE ? stable : unstable, table->nodes, ids[i]);
        node->flags &= (uint16_t)~(PKSM_UNSTABLE | PKSM_STABLE);
    }
    return status;
}
