/* uksm.h: what a visit of UKSM's works on, and its trees (uksm_trees.c). */
#ifndef PKSM_UKSM_H
#define PKSM_UKSM_H

#include "buckets.h"

typedef struct {
    const pksm_store *store;
    pksm_table *table;
    pksm_uksm *uksm;
    const pksm_uksm_rules *rules;
    const uint8_t *classes;
    pksm_uksm_work *work;
    int *status; /* PKSM_ETREE once something has led nowhere: what is done from then on counts for nothing */
} uksm_scan;

/* By which an item stands in a tree: its hash, and its full hash (0: not known). */
static inline uint64_t pksm_uksm_key(uint32_t sum, uint32_t full)
{
    uint64_t x = (uint64_t)sum << 32 | full;

    x = (x ^ x >> 31) * 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9u;
    return x ^ x >> 32;
}

static inline int pksm_uksm_is_buried(const uksm_scan *s, uint32_t kept)
{
    return (s->table->nodes[kept].flags & (PKSM_STABLE | PKSM_DELLIST)) == (PKSM_STABLE | PKSM_DELLIST);
}

/* The id if it is an item's; otherwise 0, and the scan is over. Nothing is kept of item 0. */
uint32_t pksm_uksm_item(const uksm_scan *s, uint32_t id);
/* As pksm_uksm_item, if the item has a page. */
uint32_t pksm_uksm_paged(const uksm_scan *s, uint32_t id);
/* A blank id; 0, and the scan is over, when there is none. */
uint32_t pksm_uksm_spare(const uksm_scan *s);
/* The item with this key, 0: none. */
uint32_t pksm_uksm_find(const uksm_scan *s, const pksm_buckets *buckets, uint64_t key);
/* Puts id into the tree: in the node of its hash, as its first (full 0), or by its full hash. */
void pksm_uksm_enter(const uksm_scan *s, pksm_uksm_tree *tree, uint32_t id, uint32_t sum, uint32_t full);
/* Lets an item that is alone in its node be the first of it: what it would be had it left and entered again. */
void pksm_uksm_stay(const uksm_scan *s, pksm_uksm_tree *tree, uint32_t id, uint32_t sum);
/* The first of a node stands among the others, by its full hash. */
void pksm_uksm_first_by_full(const uksm_scan *s, pksm_uksm_tree *tree, uint32_t node, uint32_t sum);
/* Lets an item hang on a stable node. */
void pksm_uksm_hang(const uksm_scan *s, uint32_t id, uint32_t kept);
/* The stable tree's node of a hash, 0: none. A first that is buried is let go of. */
uint32_t pksm_uksm_living_node(const uksm_scan *s, uint32_t sum);
/* The stable node with a full hash, 0: none. One that is buried is let go of. */
uint32_t pksm_uksm_living_item(const uksm_scan *s, uint32_t sum, uint32_t full);
/* Takes an item out of the tree or off its stable node, which stays until its page is free: others may map that. */
void pksm_uksm_leave(const uksm_scan *s, uint32_t id);
/* The same, and makes it blank. */
void pksm_uksm_free(const uksm_scan *s, uint32_t id);
/* The page of a stable node is free. Until anything comes upon it, it stays where it is, as if nobody knew. */
void pksm_uksm_bury_kept(const uksm_scan *s, uint32_t kept);
/* Takes a stable node that is buried out of the tree; what hangs on it hangs on nothing from now on. */
void pksm_uksm_let_go(const uksm_scan *s, uint32_t kept);
/* Lets everything out of a tree; what waited is PKSM_PASSED. */
void pksm_uksm_clear(const uksm_scan *s, pksm_uksm_tree *tree);

/* PKSM_OK if so many entries from first on can be visited. */
int pksm_uksm_may_visit(const pksm_store *store, const pksm_table *table, const pksm_uksm *uksm,
                        const pksm_uksm_rules *rules, uint64_t first, size_t n, const pksm_uksm_work *work);
/* Visits n entries, as pksm_uksm_visit; inside READING. */
int pksm_uksm_visit_all(const uksm_scan *s, uint64_t first, const uint32_t *pages, const uint8_t *own, size_t n,
                        uint8_t *outs, uint32_t *others);

/* ---- uksm_window.c ---- */
enum { UKSM_WINDOW = 64 }; /* visits that are made together */

/* The visits of a call that are made together: what they look at is fetched for all before the first is made. */
typedef struct {
    uint64_t first; /* entry */
    const uint32_t *pages;
    size_t n;
    size_t n_sums;
    uint32_t of_sum[UKSM_WINDOW]; /* visit, in order */
    uint64_t sums[UKSM_WINDOW];
} uksm_window;

/* The page that an item hangs with on a stable node; 0: it doesn't, or maps another page now. Merged in this call, it
 * has the page of before still. */
uint32_t pksm_uksm_kept_by(const uksm_scan *s, uint32_t id, uint32_t page);
/* Sums the pages of the visits, but for those that are merged, and fetches what the visits look at. */
void pksm_uksm_look_ahead(const uksm_scan *s, uksm_window *w);

#endif
