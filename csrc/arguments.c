/* arguments.c: page numbers, item ids and stages that callers pass are what they must be. */
#include "core.h"

int pksm_check_pages(const pksm_store *store, const uint32_t *pages, size_t n)
{
    uint32_t highest = 0;

    if (!store || !store->page_size || (store->page_size & (store->page_size - 1)) || store->page_size < 8)
        return PKSM_EINVAL;
    for (size_t i = 0; i < n; i++)
        highest = pages[i] > highest ? pages[i] : highest;
    return n && highest >= store->n_pages ? PKSM_EPAGE : PKSM_OK;
}

int pksm_check_items(const pksm_store *store, const pksm_table *table, const uint32_t *ids, size_t n)
{
    if (!table || !table->nodes || !table->n_nodes)
        return PKSM_EINVAL;
    if (pksm_check_forest(table, PKSM_CHECKSUM) != PKSM_OK)
        return PKSM_EINVAL;
    for (size_t i = 0; i < n; i++) {
        if (!ids[i] || ids[i] >= table->n_nodes)
            return PKSM_EITEM;
        if (store && table->nodes[ids[i]].page >= store->n_pages)
            return PKSM_EPAGE;
    }
    return PKSM_OK;
}

int pksm_check_forest(const pksm_table *table, int order)
{
    if (!table->forest)
        return PKSM_OK;
    return table->forest_bits < 1 || table->forest_bits > PKSM_MAX_FOREST_BITS || order == PKSM_CONTENT ? PKSM_EINVAL
                                                                                                        : PKSM_OK;
}

int pksm_check_stages(const pksm_rules *rules, int to_unstable)
{
    size_t n = strnlen((const char *)rules->stages, sizeof rules->stages);

    for (size_t i = 0; i < n; i++)
        if (rules->stages[i] > PKSM_STAGE_UNSTABLE)
            return PKSM_EINVAL;
    if (!n || n == sizeof rules->stages || (to_unstable && rules->stages[n - 1] != PKSM_STAGE_UNSTABLE))
        return PKSM_EINVAL;
    return PKSM_OK;
}
