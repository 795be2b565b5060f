/* buckets.c: hash tables of items, for policies that keep them so; which table an item is in, its flags say. */
#include "buckets.h"

int pksm_buckets_check(const pksm_buckets *buckets, const pksm_table *table)
{
    if (!buckets->heads || !buckets->next || !buckets->before || buckets->n_ids < table->n_nodes ||
        buckets->n_items > buckets->n_ids)
        return PKSM_EINVAL;
    return buckets->n_heads && !(buckets->n_heads & (buckets->n_heads - 1)) ? PKSM_OK : PKSM_EINVAL;
}

int pksm_buckets_insert(pksm_buckets *buckets, const pksm_table *table, uint32_t id)
{
    uint32_t *head = pksm_bucket_of(buckets, table->nodes[id].checksum);

    if (*head >= table->n_nodes || *head == id)
        return PKSM_ETREE;
    buckets->next[id] = *head;
    buckets->before[id] = 0;
    if (*head)
        buckets->before[*head] = id;
    *head = id;
    buckets->n_items++;
    return PKSM_OK;
}

int pksm_buckets_erase(pksm_buckets *buckets, const pksm_table *table, uint32_t id)
{
    uint32_t next = buckets->next[id], before = buckets->before[id], *to;

    if (next >= table->n_nodes || before >= table->n_nodes || !buckets->n_items)
        return PKSM_ETREE;
    to = before ? &buckets->next[before] : pksm_bucket_of(buckets, table->nodes[id].checksum);
    if (*to != id || (next && buckets->before[next] != id))
        return PKSM_ETREE;
    *to = next;
    if (next)
        buckets->before[next] = before;
    buckets->next[id] = buckets->before[id] = 0;
    buckets->n_items--;
    return PKSM_OK;
}

EXPORT int pksm_buckets_remove(pksm_table *table, pksm_buckets *unstable, pksm_buckets *stable, const uint32_t *ids,
                               size_t n)
{
    int status = pksm_check_items(NULL, table, ids, n);

    if (status == PKSM_OK && (pksm_buckets_check(unstable, table) || pksm_buckets_check(stable, table)))
        status = PKSM_EINVAL;
    for (size_t i = 0; status == PKSM_OK && i < n; i++) {
        pksm_node *node = &table->nodes[ids[i]];

        if (node->flags & (PKSM_UNSTABLE | PKSM_STABLE))
            status = pksm_buckets_erase(node->flags & PKSM_STABLE ? stable : unstable, table, ids[i]);
        if (status == PKSM_OK)
            node->flags &= (uint16_t)~(PKSM_UNSTABLE | PKSM_STABLE);
    }
    return status;
}
