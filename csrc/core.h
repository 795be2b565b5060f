/* core.h: what the C files share among themselves. Everything that callers see is in pksm.h. */
#ifndef PKSM_CORE_H
#define PKSM_CORE_H

#define _GNU_SOURCE /* sigjmp_buf under -std=c11; so this header comes first */
#include <setjmp.h>
#include <string.h>

#include "pksm.h"

#define EXPORT __attribute__((visibility("default")))
#define NOINLINE __attribute__((noinline)) /* what READING calls: keeps its variables out of the frame jumped to */
#define INLINE inline __attribute__((always_inline)) /* also keeps GCC from dropping calls of what only prefetches */

/* ---- bytes: loads through memcpy, so that pages need no alignment ---- */
static inline uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint32_t load32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline const uint8_t *page_bytes(const pksm_store *store, uint32_t page)
{
    return (const uint8_t *)(uintptr_t)store->sections[page >> 6] + (page & 63) * store->page_size;
}

/* How two pages stand to each other whatever their bytes: -1, 1, or 0 if these decide. */
static inline int salt_order(const pksm_store *store, uint32_t page, uint32_t other)
{
    if (!store->salts)
        return 0;
    return (store->salts[page] > store->salts[other]) - (store->salts[page] < store->salts[other]);
}

/* A hash of a page as one who sorts by hashes alone takes it: pages of different salts differ. Zero pages have none. */
static inline uint64_t salted(const pksm_store *store, uint32_t page, uint64_t sum, uint64_t zero_sum)
{
    if (!store->salts || sum == zero_sum)
        return sum;
    return sum ^ store->salts[page] * UINT64_C(0x9e3779b97f4a7c15);
}

enum { FETCHED = 4096 }; /* bytes of a page that are fetched ahead: of a longer one, the processor sees a stream */

/* Fetches a page into the second cache level: the first can wait for too few lines at a time. */
static INLINE void fetch_bytes(const uint8_t *bytes, size_t page_size)
{
    size_t size = page_size < FETCHED ? page_size : FETCHED;

    for (size_t at = 0; at < size; at += 64)
        __builtin_prefetch(bytes + at, 0, 2);
}

/* ---- page.c, page_simd.c: the kernels of each width; from: bytes already known to be equal ---- */
typedef struct {
    int (*compare)(const uint8_t *a, const uint8_t *b, size_t size_bytes, size_t from, size_t *common);
    int (*is_zero)(const uint8_t *page, size_t size_bytes);
} page_kernels;

extern page_kernels pksm_kernels; /* page.c; of the level that dispatch.c has selected */

int pksm_page_compare_scalar(const uint8_t *a, const uint8_t *b, size_t size_bytes, size_t from, size_t *common);
int pksm_page_compare_avx2(const uint8_t *a, const uint8_t *b, size_t size_bytes, size_t from, size_t *common);
int pksm_page_compare_avx512(const uint8_t *a, const uint8_t *b, size_t size_bytes, size_t from, size_t *common);
int pksm_page_is_zero_scalar(const uint8_t *page, size_t size_bytes);
int pksm_page_is_zero_avx2(const uint8_t *page, size_t size_bytes);
int pksm_page_is_zero_avx512(const uint8_t *page, size_t size_bytes);

/* ---- checksum/table.c; checksum/checksum.h has what its files share ---- */
/* Fills the table of strategies for this level. */
void pksm_checksum_select(int level);
/* The checksums of pages of the store, many at a time where the strategy can; zero as in pksm_checksum_many_fn. */
int pksm_sum_pages(const pksm_store *store, const pksm_checksum *checksum, const uint32_t *pages, size_t n,
                   uint64_t *sums, uint8_t *zero);

/* ---- ahead.c ---- */
/* 1 if the sum of this page, at this position of the batch, has been made; *zero as in lane. */
int pksm_ahead_take(const pksm_ahead *ahead, size_t position, uint32_t page, uint64_t *sum, int *zero);
/* What lies before this position needs no sums any more. */
void pksm_ahead_reach(pksm_ahead *ahead, uint64_t position);

/* ---- arguments.c ---- */
/* PKSM_OK if all of pages[0 .. n-1] are in the store. */
int pksm_check_pages(const pksm_store *store, const uint32_t *pages, size_t n);
/* PKSM_OK if all ids are items of the table (and, when store is given, their pages are in it). */
int pksm_check_items(const pksm_store *store, const pksm_table *table, const uint32_t *ids, size_t n);
/* PKSM_OK if searches by this order can go through the table's trees. */
int pksm_check_forest(const pksm_table *table, int order);
/* PKSM_OK if they are stages, and end; to_unstable: with UNSTABLE, where every item gets a verdict. */
int pksm_check_stages(const pksm_rules *rules, int to_unstable);

/* ---- rbtree.c: links and colours, no keys ---- */
static inline uint32_t rb_parent(const pksm_node *nodes, uint32_t id)
{
    return nodes[id].parent_colour >> 1;
}

static inline int rb_is_red(const pksm_node *nodes, uint32_t id)
{
    return nodes[id].parent_colour & 1;
}

/* Hangs id below parent (0: as the root) on side 0 or 1, where there must be room, and rebalances. */
void pksm_rb_insert(pksm_node *nodes, uint32_t *root, uint32_t id, uint32_t parent, int side);
/* Takes id out and rebalances; its links are zero afterwards. */
void pksm_rb_erase(pksm_node *nodes, uint32_t *root, uint32_t id);
/* Lets `in` hang where `out` hangs, with its colour and children; out has no links afterwards. */
void pksm_rb_replace(pksm_node *nodes, uint32_t *root, uint32_t out, uint32_t in);
/* The first item in order; and the next one behind id (side 1) or before it (side 0). 0 if there is none. */
uint32_t pksm_rb_first(const pksm_node *nodes, uint32_t root);
uint32_t pksm_rb_beside(const pksm_node *nodes, uint32_t id, int side);

static inline uint32_t pksm_rb_next(const pksm_node *nodes, uint32_t id)
{
    return pksm_rb_beside(nodes, id, 1);
}
/* 1 if every child is an item whose parent is the one it hangs below, on one side: then walks from a root end. */
int pksm_rb_links_agree(const pksm_table *table);
/* PKSM_OK if below root is a red-black tree, whose links agree; its items are added to *count. */
int pksm_rb_check(const pksm_table *table, uint32_t root, uint32_t *count);

/* ---- page_tree.c: trees whose keys are pages ---- */
typedef struct {
    const pksm_store *store;
    pksm_table *table;
    pksm_trees *trees;
    pksm_cost *cost;
    int order;
    int distrust;           /* sum unstable nodes that collide anew */
    pksm_checksum checksum; /* for distrust */
} page_tree;

enum find {
    FIND_NOTHING, /* place holds where it would go */
    FIND_MATCH,   /* place.node is the match */
    FIND_DELETED, /* place.node is a deleted item in the way */
    FIND_OUTDATED /* place.node is an unstable item whose page has changed since it was summed */
};

typedef struct {
    uint32_t node;
    uint32_t parent;
    int side;
    uint32_t gap; /* the gap that a flight saw, as filled names it; 0: found by a search alone */
} place;

/* Where the root of the tree of `which` stands that a checksum belongs to. */
static INLINE uint32_t *pksm_root(const pksm_table *table, pksm_trees *trees, int which, uint64_t checksum)
{
    if (table->forest)
        return &table->forest[(checksum >> (64 - table->forest_bits)) * 2 + (which == PKSM_STABLE)];
    return which == PKSM_STABLE ? &trees->stable_root : &trees->unstable_root;
}

/* Both roots of a forest that a checksum chooses stand in one line. */
static INLINE void fetch_roots(const pksm_table *table, uint64_t checksum)
{
    if (table->forest)
        __builtin_prefetch(&table->forest[(checksum >> (64 - table->forest_bits)) * 2], 1, 2);
}

/* Looks for a page with this checksum (and these bytes, as order says) in the tree of `which`. */
enum find pksm_tree_find(const page_tree *tree, int which, uint64_t checksum, uint32_t page, place *at);
/* Puts id where pksm_tree_find found nothing; flags and counts too. */
void pksm_tree_insert(const page_tree *tree, int which, uint32_t id, const place *at);
/* Takes id out of the tree that its flags name, if any. */
void pksm_tree_erase(pksm_table *table, pksm_trees *trees, uint32_t id);
/* Compares the pages of two equal checksums, counting; 0 if they are equal. */
int pksm_tree_compare(const page_tree *tree, uint32_t page, uint32_t other);
/* 1 if the page of id no longer has the checksum in its column. */
int pksm_tree_is_outdated(const page_tree *tree, uint32_t id);

/* ---- flight.c: many searches at a time ---- */
enum { SIGHT_NONE, SIGHT_MATCH, SIGHT_GAP };

/* What a descent saw: nothing to go by, a match, or the node (0: none, the tree is empty) without a child on a side. */
typedef struct {
    int what;
    uint32_t node;
    int side;
} sight;

/* The gaps of one tree that have been filled since the window flew: a set of node << 1 | side, open addressing. An item
 * marks two gaps at most. */
enum { FILLED_SLOTS = 4 * PKSM_MAX_WINDOW };

typedef struct {
    uint32_t n;
    uint32_t slots[FILLED_SLOTS];
} filled;

/* An item of a window, and what it saw in the trees. */
typedef struct {
    uint64_t checksum;
    uint32_t page;
    int flies;     /* 0: left to search alone */
    int zero;      /* 1, 0; -1: not known */
    sight seen[2]; /* in the unstable tree, in the stable tree */
} lane;

/* Descends both trees with all lanes that fly. */
void pksm_fly(const page_tree *tree, lane *lanes, size_t n);
/* Fetches the page that a lane will be compared with; 1 if there is one. */
int pksm_fetch_match(const page_tree *tree, const lane *l);
/* 1 if what a lane saw is true of the tree as it is now, whose gaps `gone` have been filled since; then *found and *at
 * are as from pksm_tree_find. */
int pksm_sight_holds(const page_tree *tree, int which, const filled *gone, const lane *l, place *at, enum find *found);
/* Marks the gap that id, at this place of a tree, has just filled; and empties the set. */
void pksm_fill_gap(const pksm_node *nodes, filled *gone, uint32_t id, const place *at);
void pksm_forget_gaps(filled *gone);

/* ---- bus.c: a jump back to where the core was entered, when mapped bytes are gone ---- */
extern _Thread_local sigjmp_buf *pksm_bus_jump;

/* status = call, or PKSM_EBUS when a byte could not be read. The mask is not saved: the handler is SA_NODEFER. */
#define READING(status, call)                      \
    do {                                           \
        sigjmp_buf here_, *outer_ = pksm_bus_jump; \
        if (sigsetjmp(here_, 0) == 0) {            \
            pksm_bus_jump = &here_;                \
            status = (call);                       \
        } else {                                   \
            status = PKSM_EBUS;                    \
        }                                          \
        pksm_bus_jump = outer_;                    \
    } while (0)

#endif
