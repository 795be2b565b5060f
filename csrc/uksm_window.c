/* uksm_window.c: what some visits of UKSM's will look at, fetched for all of them before the first is made.
 *
 * Each step fetches what the next one reads. What a visit changes for a later one is read again then. */
#include "uksm.h"

enum { LINKS_AHEAD = 2 }; /* of a chain */

uint32_t pksm_uksm_kept_by(const uksm_scan *s, uint32_t id, uint32_t page)
{
    uint32_t kept = id && s->table->nodes[id].page == page ? pksm_uksm_item(s, s->table->nodes[id].link) : 0;

    return (s->table->nodes[kept].flags & (PKSM_STABLE | PKSM_DELLIST)) == PKSM_STABLE ? kept : 0;
}

/* Fetches the items of the visits, and the page that each is known by. */
static INLINE void fetch_items(const uksm_scan *s, const uksm_window *w)
{
    const pksm_uksm *u = s->uksm;

    for (size_t i = 0; i < w->n; i++) {
        uint32_t id = pksm_uksm_item(s, u->item_at[w->first + i]);

        if (w->pages[i] < s->store->n_pages)
            __builtin_prefetch(&u->kept_of_page[w->pages[i]], 1, 2);
        if (!id)
            continue;
        __builtin_prefetch(&s->table->nodes[id], 1, 2);
        __builtin_prefetch(&u->node[id], 1, 2);
        __builtin_prefetch(&u->slot[id], 1, 2);
        __builtin_prefetch(&u->index[id], 1, 2);
        __builtin_prefetch(&u->full[id], 1, 2);
    }
}

/* Fetches the nodes that the items are in. */
static INLINE void fetch_places(const uksm_scan *s, const uksm_window *w)
{
    for (size_t i = 0; i < w->n; i++) {
        uint32_t id = pksm_uksm_item(s, s->uksm->item_at[w->first + i]);
        uint32_t node = id ? pksm_uksm_item(s, s->uksm->node[id]) : 0;

        if (!node)
            continue;
        __builtin_prefetch(&s->table->nodes[node], 0, 2);
        __builtin_prefetch(&s->uksm->count[node], 1, 2);
        __builtin_prefetch(&s->uksm->first[node], 1, 2);
    }
}

/* Sums the pages of the visits, but for those that are merged. */
static void sum_visits(const uksm_scan *s, uksm_window *w)
{
    uint32_t pages[UKSM_WINDOW];
    uint8_t zero[UKSM_WINDOW];

    w->n_sums = 0;
    for (size_t i = 0; i < w->n; i++) {
        uint32_t id = pksm_uksm_item(s, s->uksm->item_at[w->first + i]);

        if (w->pages[i] >= s->store->n_pages || pksm_uksm_kept_by(s, id, w->pages[i]))
            continue;
        w->of_sum[w->n_sums] = (uint32_t)i;
        pages[w->n_sums++] = w->pages[i];
    }
    pksm_sum_pages(s->store, &s->rules->checksum, pages, w->n_sums, w->sums, zero);
    for (size_t i = 0; s->store->salts && i < w->n_sums; i++)
        w->sums[i] = salted(s->store, pages[i], w->sums[i], s->rules->zero_checksum);
}

/* Fetches a node that a search comes by. Returns it, or 0 if it is none. */
static INLINE uint32_t fetch_item(const uksm_scan *s, const pksm_buckets *tree, uint32_t id)
{
    if (!id || id >= s->table->n_nodes)
        return 0;
    __builtin_prefetch(&s->table->nodes[id], 1, 2);
    __builtin_prefetch(&s->uksm->first[id], 1, 2);
    __builtin_prefetch(&s->uksm->count[id], 1, 2);
    __builtin_prefetch(&tree->next[id], 1, 2);
    return id;
}

/* Fetches what searches for the hashes look at: buckets, the first nodes there, and the page of one that may match. */
static INLINE void fetch_nodes(const uksm_scan *s, const uksm_window *w)
{
    const pksm_buckets *trees[2] = {&s->uksm->stable.nodes, &s->uksm->unstable.nodes};
    uint32_t ids[2 * UKSM_WINDOW], found[2 * UKSM_WINDOW] = {0};
    uint64_t keys[UKSM_WINDOW];

    for (size_t i = 0; i < w->n_sums; i++) {
        keys[i] = pksm_uksm_key((uint32_t)w->sums[i], 0);
        __builtin_prefetch(pksm_bucket_of(trees[0], keys[i]), 0, 2);
        __builtin_prefetch(pksm_bucket_of(trees[1], keys[i]), 1, 2);
    }
    for (size_t i = 0; i < 2 * w->n_sums; i++) {
        ids[i] = fetch_item(s, trees[i & 1], *pksm_bucket_of(trees[i & 1], keys[i / 2]));
        if (ids[i] && i & 1) /* before which a new node will stand */
            __builtin_prefetch(&trees[1]->before[ids[i]], 1, 2);
    }
    for (int links = 0; links < LINKS_AHEAD; links++)
        for (size_t i = 0; i < 2 * w->n_sums; i++) {
            if (ids[i] && s->table->nodes[ids[i]].checksum == keys[i / 2]) {
                found[i] = ids[i];
                ids[i] = 0;
            } else if (ids[i]) {
                ids[i] = fetch_item(s, trees[i & 1], trees[i & 1]->next[ids[i]]);
            }
        }
    for (size_t i = 0; i < 2 * w->n_sums; i++) {
        uint32_t id = found[i] && (!(i & 1) || s->rules->counts_first) ? s->uksm->first[found[i]] : 0;

        found[i] = id < s->table->n_nodes ? id : 0;
        __builtin_prefetch(&s->table->nodes[found[i]], 0, 2);
    }
    for (size_t i = 0; i < 2 * w->n_sums; i++) {
        uint32_t page = s->table->nodes[found[i]].page;

        if (found[i] && page < s->store->n_pages && page != w->pages[w->of_sum[i / 2]])
            fetch_bytes(page_bytes(s->store, page), s->store->page_size);
    }
}

void pksm_uksm_look_ahead(const uksm_scan *s, uksm_window *w)
{
    fetch_items(s, w);
    fetch_places(s, w);
    sum_visits(s, w);
    fetch_nodes(s, w);
}
