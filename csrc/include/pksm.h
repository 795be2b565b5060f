/* pksm.h: everything the C core offers, declared once.
 *
 * The core allocates nothing and never calls Python: every array belongs to the caller, stays the caller's and must
 * outlive the call. Item ids start at 1 (0 is nil), page numbers at 0. Functions return an enum pksm_status; when it is
 * not PKSM_OK their outputs are as they were, unless said otherwise.
 *
 * Threads: two functions change state of the whole process, pksm_cpu_select and pksm_catch_bus_errors, marked
 * "process-wide": call them before other threads call anything here. All other functions keep no state: any of them may
 * run at the same time in several threads, as long as what one of them writes (what it gets a pointer to non-const of,
 * and what such a struct points to) is used by no other. What they only read may be shared. The bytes of pages may
 * change while they are read; the answer is then that of bytes old or new.
 *
 * The part between the two cffi markers is read by csrc/build_ffi.py as it is; it holds only types that cffi
 * parses.
 */
#ifndef PKSM_H
#define PKSM_H

#include <stddef.h>
#include <stdint.h>

#define PKSM_VERSION "0.1.0"
#define PKSM_VERSION_NUMBER 100 /* major * 10000 + minor * 100 + patch */

#ifdef __cplusplus
extern "C" {
#endif

/* cffi: begin */
enum pksm_status {
    PKSM_OK = 0,
    PKSM_EINVAL = 1, /* an argument that can't be right */
    PKSM_EPAGE = 2,  /* page number outside the store */
    PKSM_EITEM = 3,  /* item id outside the table */
    PKSM_EBUS = 4,   /* bytes could not be read: a mapped file shrank */
    PKSM_ETREE = 5   /* a tree breaks its invariants */
};

/* ---- the library: library.c ---------------------------------------------------------------------------- */

/* The version of the library: that of the header, unless the program was compiled with another one. */
const char *pksm_version(void);
/* A status in words, in lower case and without a full stop. Any number is good; the text lives for ever. */
const char *pksm_status_text(int status);

/* ---- the processor: cpu.c, dispatch.c ------------------------------------------------------------------ */

/* How wide the kernels work. Every level gives the same bits; scalar is the specification. */
enum pksm_cpu {
    PKSM_CPU_SCALAR = 0,
    PKSM_CPU_SSE42 = 1,
    PKSM_CPU_AVX2 = 2,
    PKSM_CPU_AVX512 = 3 /* F, BW, VL and DQ */
};

/* The widest level that this processor and its operating system can do. */
int pksm_cpu_best(void);
/* Process-wide. Uses this level from now on, in all threads; PKSM_EINVAL if it is none or too wide for this machine.
 * Before the first call: scalar. Not to be called while other calls run. */
int pksm_cpu_select(int level);

/* ---- pages: page.c ------------------------------------------------------------------------------------- */

/* Pages in sections of 64: the bytes of page p start at sections[p >> 6] + (p & 63) * page_size. */
typedef struct {
    const uint64_t *sections; /* address of each section's first byte; no alignment needed */
    uint64_t n_pages;         /* pages; C refuses page numbers from here on */
    uint64_t page_size;       /* bytes, a power of two from 8 */
    const uint32_t *salts;    /* by page number: pages of different salts are never equal; null: all are of one */
} pksm_store;

/* Order of two pages as memcmp gives it: -1, 0 or 1. *common (bytes) gets the length of their common prefix. */
int pksm_page_compare(const uint8_t *a, const uint8_t *b, size_t size_bytes, size_t *common);
/* 1 if all bytes are zero, else 0. */
int pksm_page_is_zero(const uint8_t *page, size_t size_bytes);

/* zero[i] = 1 if pages[i] is all zeros, else 0. */
int pksm_pages_are_zero(const pksm_store *store, const uint32_t *pages, size_t n, uint8_t *zero);
/* order[i] = order of a[i] and b[i] as in pksm_page_compare. */
int pksm_pages_compare(const pksm_store *store, const uint32_t *a, const uint32_t *b, size_t n, int8_t *order);
/* Copies the bytes of n pages one behind the other to out (n * page_size bytes). */
int pksm_pages_copy(const pksm_store *store, const uint32_t *pages, size_t n, uint8_t *out);

/* ---- checksums: checksum/ ------------------------------------------------------------------------------ */

/* The checksum of one page; state is whatever the strategy was made with. Plug-ins have this type too. */
typedef uint64_t (*pksm_checksum_fn)(const uint8_t *page, size_t size_bytes, const void *state);

/* The checksums of n pages at once. zero (may be null) gets 1 for a page of zeros, else 0; returns 1 if it has filled
 * it, 0 if it does not know on the way. */
typedef int (*pksm_checksum_many_fn)(const uint8_t *const *pages, size_t n, size_t size_bytes, const void *state,
                                     uint64_t *sums, uint8_t *zero);

typedef struct {
    pksm_checksum_fn sum;
    const void *state;
    pksm_checksum_many_fn many; /* null: sum is called page by page */
} pksm_checksum;

/* State of the strategies that look at some words only: `run` words from each of the positions on. */
typedef struct {
    uint64_t n_words;      /* positions */
    const uint32_t *words; /* in 32-bit words from the start of the page, in order of use */
    uint64_t run;          /* words */
} pksm_sample;

typedef struct {
    const char *name;
    uint32_t width;        /* bits of the result that can be set */
    uint32_t takes_sample; /* 1: state is a pksm_sample; 0: state is ignored */
    pksm_checksum_fn sum;
    pksm_checksum_many_fn many;
} pksm_strategy;

/* Checksums that somebody computed beforehand, by the address of the page. */
typedef struct {
    uint64_t n;
    const uint64_t *addresses; /* ascending */
    const uint64_t *sums;
} pksm_known;

/* A checksum function (pksm_checksum_fn) whose state is a pksm_known; 0 for a page that is not known. */
uint64_t pksm_known_sum(const uint8_t *page, size_t size_bytes, const void *state);

/* The table of strategies at the level selected, *n entries; lives for ever, changes with pksm_cpu_select. */
const pksm_strategy *pksm_strategies(size_t *n);

/* The strategy of this name at the level selected, such as "xxh3-64"; null if there is none. */
const pksm_strategy *pksm_strategy_by_name(const char *name);

/* sums[i] = checksum of pages[i]. */
int pksm_checksum_pages(const pksm_store *store, const pksm_checksum *checksum, const uint32_t *pages, size_t n,
                        uint64_t *sums);

/* Replaces n checksums of 128 bits, two words each, by SipHash-2-4-128 of them (words little-endian, as is the key of
 * 16 bytes): equal ones stay equal, and who has not got the key cannot compute them. Both words 0, which is a page of
 * zeros, stay so; nothing else becomes that. */
void pksm_keyed_sums(const uint64_t key[2], uint64_t *sums, size_t n);

/* ---- items and trees: rbtree.c, page_tree.c ------------------------------------------------------------ */

/* One rmap_item as C sees it: 32 bytes, two to a cache line. */
typedef struct {
    uint64_t checksum;
    uint32_t child[2];      /* item ids: smaller, larger */
    uint32_t parent_colour; /* parent's id << 1 | 1 if red */
    uint32_t page;
    uint16_t flags; /* enum pksm_flag */
    uint8_t visits;
    uint8_t skips;
    uint32_t link; /* head of the item's stable_node_anon list, 0: none; C never follows it in a tree */
} pksm_node;

enum pksm_flag {
    PKSM_UNSTABLE = 1,       /* in the unstable tree */
    PKSM_STABLE = 2,         /* in the stable tree */
    PKSM_INITCHECKSUM = 4,   /* the checksum column is not valid: compute it at the next visit */
    PKSM_NEWLIST = 8,        /* on the new list */
    PKSM_RESCAN = 16,        /* on the rescan list */
    PKSM_CHECKSUM_LIST = 32, /* on the update list */
    PKSM_DELLIST = 64,       /* its page was freed: C never reads bytes through it */
    PKSM_ZERO_REFUSED = 128, /* the host would not merge it with the zero page: leave the stage ZERO out */
    /* KSM's, ksm.c */
    PKSM_CHAIN = 256,   /* stands in the stable tree for several stable nodes of one content */
    PKSM_DUP = 512,     /* a stable node in a chain */
    PKSM_PASSED = 1024, /* was in the unstable tree of an earlier full scan, and not visited since */
    PKSM_RETIRED = 2048 /* was a stable node; its page is gone, items still hang on it */
};

/* An item table: nodes[1 .. n_nodes-1]. nodes[0] is nil and stays zero.
 * With a forest, each of the two trees is 1 << forest_bits trees, of which the top bits of a checksum choose one: lower
 * ones, with the same items in the same order. The order has to begin with the checksum then. */
typedef struct {
    pksm_node *nodes;
    uint64_t n_nodes;
    uint32_t *forest; /* 2 << forest_bits roots: of each choice the unstable tree's and the stable one's; null: none */
    uint32_t forest_bits; /* 1 .. PKSM_MAX_FOREST_BITS */
} pksm_table;

/* The two trees of one table. */
typedef struct {
    uint32_t unstable_root; /* 0 with a forest */
    uint32_t stable_root;   /* 0 with a forest */
    uint32_t n_unstable;    /* items */
    uint32_t n_stable;      /* items */
    uint32_t collided;      /* 1 once two items of one checksum stood in a tree: descents in flight look twice */
} pksm_trees;

enum pksm_order {
    PKSM_CONTENT = 0,         /* by the bytes, as memcmp */
    PKSM_CHECKSUM = 1,        /* by checksum alone: one content a checksum */
    PKSM_CHECKSUM_CONTENT = 2 /* by checksum, equal checksums by the bytes */
};

/* Work done; added to, never cleared. */
typedef struct {
    uint64_t pages_visited;
    uint64_t bytes_hashed;
    uint64_t bytes_compared;  /* bytes read of one of the two pages */
    uint64_t futile_compares; /* compares of whole pages that found a difference */
    uint64_t tree_steps;      /* nodes looked at */
    uint64_t collisions;      /* equal checksums, other bytes, as found by a search or a merge */
    uint64_t unlinked;        /* deleted or outdated items that a search took out of a tree */
} pksm_cost;

/* Takes items out of the tree they are in (by their flags; items in neither are left alone). */
int pksm_unlink(pksm_table *table, pksm_trees *trees, const uint32_t *ids, size_t n);
/* Puts items, each once, back into the tree of which (PKSM_UNSTABLE or PKSM_STABLE) by their checksum column (and
 * bytes, as order says), one by one. Deleted items met on the way are unlinked; an item whose equal is in the tree
 * already is left out. PKSM_EINVAL, and nothing done, when one is in a tree or deleted. */
int pksm_relink(const pksm_store *store, pksm_table *table, pksm_trees *trees, int order, int which,
                const uint32_t *ids, size_t n, pksm_cost *cost);
/* The items of one tree (PKSM_STABLE or PKSM_UNSTABLE), or forest, in order; out has room for all of it. */
int pksm_tree_items(const pksm_table *table, const pksm_trees *trees, int which, uint32_t *out);
/* PKSM_ETREE unless both trees are red-black trees in order with right flags, parents and counts: in a forest, each of
 * them, with items of its own top bits alone, and the counts are those of all together.
 * Order is checked by the checksum column only, and by bytes too when store is not null. */
int pksm_trees_check(const pksm_store *store, const pksm_table *table, const pksm_trees *trees, int order);

/* ---- settle: settle.c, stages.c ------------------------------------------------------------------------ */

/* What the host says of a page; settle asks only when it has found a match. */
enum pksm_class {
    PKSM_FREE = 0,        /* free to merge */
    PKSM_BUSY_PAGE = 1,   /* locked or pinned: try later */
    PKSM_WALK_FAILS = 2,  /* the reverse walk can't reach every pte */
    PKSM_NOT_KPAGE = 3,   /* may be merged into a page, may not be the one kept */
    PKSM_NOT_ANON = 4,    /* no anonymous page at all */
    PKSM_WALK_BREAKS = 5, /* the reverse walk fails after some of its ptes have moved */
    PKSM_WALK_LOSES = 6,  /* it fails after all of them have: the page is lost to the merge all the same */
    PKSM_MLOCKED = 16     /* a bit besides: a pte of the page lies in an mlocked vma */
};

enum pksm_stage {
    PKSM_STAGE_END = 0,
    PKSM_STAGE_UNCHANGED = 1, /* checksum as at the last visit? else remember it and stop: STALE */
    PKSM_STAGE_ZERO = 2,      /* merge with the zero page */
    PKSM_STAGE_STABLE = 3,    /* look in the stable tree */
    PKSM_STAGE_UNSTABLE = 4   /* look in the unstable tree; insert */
};

enum pksm_choice {
    PKSM_RETRY = 0,   /* on_differ: DIFFERENT, both stay candidates */
    PKSM_SUCCESS = 1, /* on_differ: booked as merged though nothing is: LIMBO */
    PKSM_SKIP = 2,    /* on_stale: unlink the node and search again */
    PKSM_STOP = 3     /* on_stale: end the search there */
};

enum { PKSM_MAX_WINDOW = 64, PKSM_MAX_FOREST_BITS = 24 };

typedef struct {
    uint8_t stages[8];      /* enum pksm_stage in order of work, ended by PKSM_STAGE_END */
    uint8_t order;          /* enum pksm_order of both trees */
    uint8_t zero_on_differ; /* a page with the zero page's checksum that is not zero: RETRY (goes on) or SUCCESS */
    uint8_t on_differ;      /* order PKSM_CHECKSUM: equal checksum, other bytes: RETRY or SUCCESS */
    uint8_t on_stale;       /* a search meets a deleted item: SKIP or STOP */
    uint8_t window;         /* descents in flight, up to PKSM_MAX_WINDOW; 0 and 1: one by one */
    uint8_t on_unusable; /* a search finds an item whose page is not anonymous: SKIP (unlink, search again) or STOP */
    uint8_t busy_waits;  /* 1: a busy page is not looked at; 0: it is BUSY when it matches */
    uint8_t unfit_aside; /* 1: an unstable node that can't be merged makes room for a page that can */
    uint8_t mlock_hangs; /* 1: an mlocked page to be merged into one that is not: HANGS */
    uint8_t distrust;    /* 1: an unstable node that collides is summed anew and unlinked if its page has changed */
    uint64_t zero_checksum; /* the strategy's checksum of a page of zeros */
    pksm_checksum checksum; /* for items with PKSM_INITCHECKSUM, UNCHANGED and distrust; without a function, none of
                               these may be there: the checksum column is filled already */
} pksm_rules;

/* Fills the rules with what suits most: zero pages, then the stable tree, then the unstable one, by checksum and then
 * by bytes, so that equal pages alone are merged, whatever the checksum; pages may change while they wait. zeros:
 * page_size zero bytes, read once for zero_checksum. PKSM_EINVAL if they are not all zero, if no page has this size, or
 * without a checksum function. */
int pksm_rules_default(pksm_rules *rules, const pksm_checksum *checksum, const uint8_t *zeros, size_t page_size);

enum pksm_verdict {
    PKSM_WAITING = 0,   /* in the unstable tree now */
    PKSM_ZERO = 1,      /* to be merged with the zero page */
    PKSM_JOINED = 2,    /* to be merged into the page of stable item `other` */
    PKSM_PAIRED = 3,    /* the page of item `other` is to be merged into this one; this item is in the stable tree,
                           the other in no tree */
    PKSM_SAME = 4,      /* found its own page in a tree: nothing to do */
    PKSM_BUSY = 5,      /* matches `other`, but one of the two is busy */
    PKSM_DIFFERENT = 6, /* equal checksum, other bytes than `other` (0: the zero page); in no tree */
    PKSM_LIMBO = 7,     /* as DIFFERENT, but booked as merged with `other`: zero page (0), stable item, or former
                           unstable item (then this item is in the stable tree) */
    PKSM_DROP = 8,      /* can't be merged: forget it; `other` is the match, if there was one */
    PKSM_STALE = 9,     /* changed since its last visit; its new checksum is stored; in no tree */
    PKSM_ABORTED = 10,  /* a search ended at the deleted item `other` (on_stale STOP); in no tree */
    PKSM_HANGS = 11,    /* matches `other` (unstable: that one is in no tree now), and merging would never end:
                           settling stops behind this item; those behind it may have been summed */
    PKSM_SKIPPED = 12,  /* KSM: left out by smart_scan */
    PKSM_APPENDED = 13, /* KSM: its page is that of stable node `other`: hangs on it now, no pte moves */
    PKSM_LEFT = 14,     /* KSM: the stages have ended, and none of them decided; in no tree */
    PKSM_N_VERDICTS = 15
};

/* Takes items through the stages of the rules, one after the other, and says of each what is to be done.
 *
 * With a window above 1, that many items are searched at a time and then committed in order of arrival. The result is
 * that of window 1 (cost counters, and when deleted items are unlinked, excepted) in keyed orders, and in order CONTENT
 * as long as no page in a tree has changed since it was put there. Stages UNCHANGED and on_stale STOP work one by one.
 *
 * Items may be in the unstable tree already (they are taken out first); stable items get SAME, deleted ones DROP.
 * classes (one enum pksm_class a page, indexed by page number) may be null: all free. verdicts[i] and others[i] belong
 * to ids[i]. revisit (room for n ids) gets the items that a search unlinked because their page had changed (they
 * carry PKSM_INITCHECKSUM until their next turn), *n_revisit their number. *done is the number of items settled: less
 * than n when revisit is full (call again with the rest) or after PKSM_EBUS; then the trees are whole, the item after
 * the last one done is not in the unstable tree, and those behind it are where they were (but may have been summed). */
int pksm_settle(const pksm_store *store, pksm_table *table, pksm_trees *trees, const pksm_rules *rules,
                const uint8_t *classes, const uint32_t *ids, size_t n, uint8_t *verdicts, uint32_t *others,
                uint32_t *revisit, size_t *n_revisit, size_t *done, pksm_cost *cost);

enum { PKSM_AHEAD_BLOCK = 64 }; /* pages that a thread sums at a time */
enum { PKSM_AHEAD_NOT = 0, PKSM_AHEAD_SUMS = 1, PKSM_AHEAD_ZEROS = 2 };

/* Sums that other threads make while one settles a batch. ready, at and next are 0 at first. */
typedef struct {
    const uint32_t *pages; /* by position in the batch; one outside the store: not to be summed */
    uint64_t n;
    uint64_t lead; /* pages that the others may be ahead */
    uint64_t *sums;
    uint8_t *zero;
    uint8_t *ready; /* a block of positions each: NOT, SUMS, or ZEROS too */
    uint64_t at;    /* atomic; settling has come to here: UINT64_MAX lets the others return */
    uint64_t next;  /* atomic; the block that nobody has begun */
} pksm_ahead;

/* Sums pages for the pksm_settle_batch that runs with the same `ahead` in another thread, until it has ended or there
 * are no more; for any number of threads. No answer depends on it. */
int pksm_sum_ahead(const pksm_store *store, const pksm_checksum *checksum, pksm_ahead *ahead);

/* pksm_settle with all answers in one block of 8 n entries: the rows of pksm_sort_verdicts (of *done entries each),
 * others from 5 n on, revisit from 6 n, the verdicts as bytes from 7 n; starts (PKSM_N_VERDICTS + 1) as there.
 * After PKSM_EBUS too, for those that have a verdict. ahead may be null: nobody sums ahead. */
int pksm_settle_batch(const pksm_store *store, pksm_table *table, pksm_trees *trees, const pksm_rules *rules,
                      const uint8_t *classes, const uint32_t *ids, size_t n, pksm_ahead *ahead, uint32_t *rows,
                      uint32_t *starts, size_t *n_revisit, size_t *done, pksm_cost *cost);

/* ---- KSM's visits: ksm.c, ksm_nodes.c ------------------------------------------------------------------ */

typedef struct {
    uint32_t n_spare; /* ids on the stack of spare ones */
    uint32_t shared;  /* stable nodes that items hang on */
    uint32_t sharing; /* items that hang on a stable node, beyond the first of each */
    uint32_t passed;  /* items with PKSM_PASSED */
    uint32_t chains;
    uint32_t dups; /* stable nodes in chains */
} pksm_ksm_counts;

/* What KSM keeps besides the item table and the trees, which are in order CONTENT. An item is a mapping; its link is
 * the stable node it hangs on (0: none), visits its age, skips how many full scans still leave it out. Stable nodes and
 * chains are items from the spare ids; a stable node's link is its chain. */
typedef struct {
    uint32_t *node_of_page; /* by page number: the stable node whose page it is, 0: none */
    uint64_t n_pages;       /* of node_of_page */
    uint32_t *sharers;      /* by item id: items that hang on a stable node; of a chain: ms when it was last pruned */
    uint32_t *next;         /* by item id: next stable node of the chain; of a chain: the first */
    uint32_t *spare;        /* blank ids, with room for all there ever were */
    pksm_ksm_counts *counts;
} pksm_ksm;

typedef struct {
    uint32_t max_page_sharing; /* items a stable node; 0: no limit */
    uint32_t prune_millisecs;  /* from one pruning of a chain to the next */
    uint32_t now_millisecs;
    uint8_t smart_scan;
    uint8_t in_order; /* 1: no page has changed while it waited in the unstable tree: searches may fly together */
} pksm_ksm_limits;

/* Visits items in order until `limit` of them were visited: verdicts, others and done as in pksm_settle, which this is
 * for KSM. mapped[i]: 1 when the item's page is filled in; 0 when there is none any more: it loses all it had (DROP),
 * and does not count as a visit. Nor does SKIPPED. Others: SAME, APPENDED, STALE, ZERO, JOINED (to the page of stable
 * node `other`), PAIRED (item `other` to the page of this item), WAITING, BUSY, ABORTED, LEFT. Of rules, stages and
 * checksum count; the stages may end before UNSTABLE. It stops, too, when there are less than two spare ids. After
 * PKSM_EBUS the trees are whole. */
int pksm_ksm_visit(const pksm_store *store, pksm_table *table, pksm_trees *trees, pksm_ksm *ksm,
                   const pksm_rules *rules, const pksm_ksm_limits *limits, const uint8_t *classes, const uint32_t *ids,
                   const uint8_t *mapped, size_t n, size_t limit, uint8_t *verdicts, uint32_t *others, size_t *done,
                   pksm_cost *cost);
/* The same with all answers in one block of 7 n entries: the rows and starts of pksm_sort_verdicts, from 5 n on others,
 * from 6 n on the verdicts as bytes. */
int pksm_ksm_visit_batch(const pksm_store *store, pksm_table *table, pksm_trees *trees, pksm_ksm *ksm,
                         const pksm_rules *rules, const pksm_ksm_limits *limits, const uint8_t *classes,
                         const uint32_t *ids, const uint8_t *mapped, size_t n, size_t limit, uint32_t *rows,
                         uint32_t *starts, size_t *done, pksm_cost *cost);
/* Takes items out of the unstable tree, or off their stable nodes. */
int pksm_ksm_drop(pksm_table *table, pksm_trees *trees, pksm_ksm *ksm, const uint32_t *ids, size_t n, pksm_cost *cost);
/* These pages are free: their stable nodes go when a search or a visit next meets them. */
int pksm_ksm_bury(pksm_table *table, pksm_ksm *ksm, const uint32_t *pages, size_t n);
/* Takes stable nodes whose pages are gone out of the tree, from its root on, up to the first whose page lives: *left is
 * then 1. Items that hang on them hang on nothing. */
int pksm_ksm_remove_dead(pksm_table *table, pksm_trees *trees, pksm_ksm *ksm, int *left, pksm_cost *cost);
/* Throws the unstable tree away: a new full scan begins. */
int pksm_ksm_pass(pksm_table *table, pksm_trees *trees, pksm_ksm *ksm);

enum { PKSM_LEAF = 512 }; /* places */

/* Where mappings are: leaves of places, which hold the item of a virtual page each (0: none); and by item id, of which
 * mm and virtual page it is. */
typedef struct {
    uint32_t *leaves; /* n_rows times PKSM_LEAF */
    uint64_t n_rows;
    uint32_t *mm;
    int64_t *virtual_page;
} pksm_ksm_places;

/* Virtual pages first .. end - 1 of an mm; its leaves: numbers (virtual page / PKSM_LEAF, ascending) and their rows;
 * and what is mapped there: n pages, ascending, and the frames below n_frames that they map. */
typedef struct {
    uint32_t mm;
    int64_t first;
    int64_t end;
    const int64_t *numbers;
    const int64_t *rows;
    size_t n_leaves;
    const int64_t *pages;
    const uint32_t *frames;
    size_t n;
    uint64_t n_frames;
} pksm_ksm_range;

/* What a visit meets there, by address: n items; mapped[i]: 1 if the page is mapped; fresh[i]: 1 if the item is new. */
typedef struct {
    uint32_t *ids;
    uint8_t *mapped;
    uint8_t *fresh;
    size_t n;
    size_t n_fresh;
    size_t without_leaf; /* pages from the first on that lies in no leaf */
    int done;
} pksm_ksm_met;

/* The items of a range; mapped pages without one get one of `fresh`, n_fresh blank ids. Unless every page has a leaf,
 * n_fresh are as many as are needed and there is room for all, it only counts, and done is 0: call again with what it
 * takes. PKSM_EPAGE if a frame is too high; PKSM_EINVAL if something is not in order. */
int pksm_ksm_meet(pksm_table *table, const pksm_ksm_places *places, const pksm_ksm_range *range, const uint32_t *fresh,
                  size_t n_fresh, size_t room, pksm_ksm_met *met);
/* ---- hash tables of items: buckets.c ------------------------------------------------------------------- */

/* Items by checksum, chained, the newest first. An item is in one table at most (its flags say in which: PKSM_UNSTABLE
 * or PKSM_STABLE), so tables may share next and before. */
typedef struct {
    uint32_t *heads;  /* by checksum & (n_heads - 1): first item, 0: none */
    uint64_t n_heads; /* a power of two */
    uint32_t *next;   /* by item id, 0: the last of its bucket */
    uint32_t *before; /* by item id, 0: the first of its bucket */
    uint64_t n_ids;   /* entries of next and before: no fewer than the item table has */
    uint64_t n_items;
} pksm_buckets;

/* Takes items out of the table that their flags name, if any. PKSM_ETREE when an item is not where its flags and links
 * say: those before it are out. */
int pksm_buckets_remove(pksm_table *table, pksm_buckets *unstable, pksm_buckets *stable, const uint32_t *ids, size_t n);

/* ---- CKSM's visits: cksm.c ----------------------------------------------------------------------------- */

typedef struct {
    pksm_buckets unstable;
    pksm_buckets stable;
    const uint32_t *order; /* the list, its head last; 0, and items with PKSM_DELLIST: passed over */
    uint64_t n_order;
    const uint32_t *births; /* by item id: the pass in which its page was born */
    uint64_t n_births;      /* entries of births: no fewer than the item table has */
} pksm_cksm;

/* Where the walk stands. */
typedef struct {
    uint64_t at;        /* place in order of the last visit; n_order: at the head */
    uint64_t status;    /* +1 with each merge, halved by each failure: the next page comes next while it is not 0 */
    uint64_t visited;   /* in this wake-up */
    uint64_t unmerged;  /* visits in a row, of this wake-up, that merged nothing */
    uint64_t over;      /* entries stepped over in this pass */
    uint32_t pass;      /* its number */
    uint32_t step;      /* entries from one visit to the next */
    uint32_t new_pages; /* born in this pass */
    uint32_t restless;  /* 1: something merged or changed in this pass */
    uint32_t resting;   /* 1: the last pass visited all there is, and nothing merged or changed */
    uint32_t ended;     /* 1: the wake-up ended because a whole pass met nothing but kept pages */
} pksm_cksm_cursor;

typedef struct {
    uint64_t pages_to_scan;   /* visits that end a wake-up */
    uint64_t unmerged_to_end; /* the same, of those in a row that merged nothing */
    uint64_t zero_checksum;
    pksm_checksum checksum;
    uint8_t kept_leave;     /* 1: kept pages are passed over */
    uint8_t kept_uncounted; /* 1: visits of kept pages move no counter */
    uint8_t waits_for_rest; /* 1: only a page unchanged since its last visit goes to the unstable table */
    uint8_t bytes_stay;     /* 1: no page ever changes: each is summed once, and counted as if it were each time */
    uint8_t zero_only;      /* 1: what is not zero is in no table */
} pksm_cksm_rules;

/* Goes on with a wake-up until it ends, or room (of ids, verdicts, others) is full: *done visits of pages that are not
 * kept. WAITING, ZERO, JOINED (to the page of stable item `other`), PAIRED (the page of item `other` to this one, which
 * is stable now), STALE, BUSY. Pages that are to be merged away get PKSM_DELLIST. After PKSM_EBUS the tables are whole.
 * PKSM_ETREE, after *done visits, when a table leads to what is not there, or in a circle. */
int pksm_cksm_visit(const pksm_store *store, pksm_table *table, pksm_cksm *cksm, pksm_cksm_cursor *cursor,
                    const pksm_cksm_rules *rules, const uint8_t *classes, size_t room, uint32_t *ids, uint8_t *verdicts,
                    uint32_t *others, size_t *done, pksm_cost *cost);

/* ---- UKSM's visits: uksm.c ----------------------------------------------------------------------------- */

/* What became of a visit. */
enum pksm_uksm_out {
    PKSM_UKSM_ABSENT = 1,    /* no page */
    PKSM_UKSM_ZERO_PTE = 3,  /* the zero page is there */
    PKSM_UKSM_ZEROED = 4,    /* to be merged with the zero page */
    PKSM_UKSM_MERGED = 5,    /* merged before */
    PKSM_UKSM_KEPT = 6,      /* to be merged with the page of the stable node that the item hangs on now */
    PKSM_UKSM_SAME_KEPT = 7, /* its page is a kept one */
    PKSM_UKSM_NEW_NODE = 8,  /* the first of its hash in the unstable tree */
    PKSM_UKSM_BESIDE = 9,    /* beside others of its hash */
    PKSM_UKSM_STALE = 11,    /* item `other`, which it met, can't be had: that is out of the tree, and this in none */
    PKSM_UKSM_SAME = 13,     /* it met its own page */
    PKSM_UKSM_PAIR = 14,     /* the page of item `other` is to be merged into this one */
    PKSM_UKSM_CHANGED = 16,  /* item `other` has changed: as STALE */
    PKSM_UKSM_COLLISION = 17,
    PKSM_UKSM_BUSY = 19, /* one of the two pages can't be merged now: as STALE */
    PKSM_UKSM_LEFT = 20  /* not zero (rules: zero_only) */
};

/* A tree by hash: a node for each hash, and in it a first item without full hash (or none), and others by theirs. */
typedef struct {
    pksm_buckets nodes;
    pksm_buckets items;
} pksm_uksm_tree;

typedef struct {
    pksm_uksm_tree unstable;
    pksm_uksm_tree stable;
    uint32_t *permutation; /* by entry: virtual page in its slot */
    uint32_t *item_at;     /* by entry: item, 0: none */
    uint64_t n_entries;
    uint32_t *slot;         /* by item id */
    uint32_t *index;        /* by item id: virtual page in its slot */
    uint32_t *full;         /* by item id: full hash, 0: not known */
    uint32_t *node;         /* by item id: the node that it is in, 0: none */
    uint32_t *first;        /* by item id, of nodes: the item without full hash, 0: none */
    uint32_t *count;        /* by item id, of nodes: items in it; of stable nodes: items that hang on it */
    uint32_t *kept_of_page; /* by page number: stable node, 0: none */
    uint32_t *spare;        /* blank ids */
    uint32_t *freed;        /* ids that became blank; room for all that there are */
    uint64_t n_ids;         /* entries of what is by item id, and of freed: no fewer than the item table has */
    uint64_t n_pages;       /* entries of kept_of_page: no fewer than the store has pages */
    uint64_t n_room;        /* entries of spare */
} pksm_uksm;

typedef struct {
    pksm_checksum checksum; /* at the strength of now */
    pksm_checksum full;     /* at the highest */
    uint64_t zero_checksum;
    uint64_t words;        /* the strength */
    uint64_t most_words;   /* the highest */
    uint64_t positive;     /* what a hash is worth */
    uint64_t compare_cost; /* of a page, in words */
    uint8_t counts_first;  /* 1: the first item of a node can be met */
    uint8_t zero_only;     /* 1: what is not zero is left where it is */
} pksm_uksm_rules;

/* Counters, added to; done, n_freed: of one call; slot: the one that is visited. */
typedef struct {
    uint64_t positive;
    uint64_t negative;
    uint64_t hashed;
    uint64_t full_sums;
    uint64_t compares;
    uint64_t done;
    uint64_t n_spare;
    uint64_t n_freed;
    int64_t shared;
    int64_t sharing;
    int64_t unshared;
    uint32_t slot;
    uint32_t unused;
} pksm_uksm_work;

/* Visits n entries from `first` on, which map these pages (from n_pages on: none; UINT32_MAX: the zero page); own[i]: 1
 * if others may take the page from the unstable tree. Takes up to 4 n ids from spare. After PKSM_EBUS the trees are
 * whole. This and the next ones: PKSM_ETREE when a tree, a link or a count leads to what is not there, or in a circle;
 * what was done before stands. */
int pksm_uksm_visit(const pksm_store *store, pksm_table *table, pksm_uksm *uksm, const pksm_uksm_rules *rules,
                    const uint8_t *classes, uint64_t first, const uint32_t *pages, const uint8_t *own, size_t n,
                    uint8_t *outs, uint32_t *others, pksm_uksm_work *work);
/* Takes items out of the tree or off their stable nodes; for_good: they become blank. */
int pksm_uksm_drop(pksm_table *table, pksm_uksm *uksm, const uint32_t *ids, size_t n, int for_good,
                   pksm_uksm_work *work);
/* These pages are free: their stable nodes are not found any more, and go with the last item that hangs on them. */
int pksm_uksm_bury(pksm_table *table, pksm_uksm *uksm, const uint32_t *pages, size_t n, pksm_uksm_work *work);
/* Puts stable nodes into the stable tree, by their hashes and full hashes. Takes up to n ids from spare. */
int pksm_uksm_sort_in(pksm_table *table, pksm_uksm *uksm, const uint32_t *ids, const uint64_t *sums,
                      const uint64_t *fulls, size_t n, pksm_uksm_work *work);
/* Empties both trees: what waits is PKSM_PASSED, stable nodes are in no tree until they are sorted in. */
int pksm_uksm_empty(pksm_table *table, pksm_uksm *uksm, pksm_uksm_work *work);
/* Swaps entries first .. first + n - 1 with partners of the slot base .. end - 1, one after the other. PKSM_EINVAL, and
 * nothing done, when one of them is not of the slot, or lies before the entry that it is for. */
int pksm_uksm_shuffle(pksm_uksm *uksm, uint64_t base, uint64_t first, const uint64_t *partners, size_t n, uint64_t end);
/* Takes these swaps back, the last one first. */
int pksm_uksm_unshuffle(pksm_uksm *uksm, uint64_t base, uint64_t first, const uint64_t *partners, size_t n,
                        uint64_t end);

/* ---- UKSM's wake-ups: uksm_wakes.c --------------------------------------------------------------------- */

/* How uksmd goes on with one slot, on a rung that no other one beside it has slots of. */
typedef struct {
    uint64_t page_ns;       /* the mean of a visit */
    uint64_t sleep_ms;      /* between two wake-ups at least */
    uint64_t user_sleep_ms; /* what that was set to */
    uint64_t sleep_times;   /* wake-ups so far */
    uint64_t quota;         /* of the rung: visits of the next wake-up */
    uint64_t step;          /* of the rung: its stride */
    uint64_t offset;        /* of the rung: where the next visit stands in the slot, counted in strides */
    uint64_t cursor;        /* of the slot, before this call */
    uint64_t slot_pages;
    uint64_t pages; /* of the rung */
    uint64_t cover_ms;
    uint64_t ratio;         /* of the rung: 1/10000 of a CPU; from 1 */
    uint64_t slowest_ratio; /* of the slowest rung */
    uint64_t first_page_ns; /* where the mean begins anew */
    uint64_t most_page_ns;  /* beyond which it does */
    uint64_t batch_ns;      /* the model of CPU time: of a wake-up, and of visits by what they find and do */
    uint64_t no_page_ns;
    uint64_t page_visit_ns;
    uint64_t search_ns;
    uint64_t compare_ns;
    double word_ns;
    uint64_t most_wakes; /* to make */
    uint64_t wakes;      /* made: this and the next ones are of one call */
    uint64_t visits;     /* of these; work->done has those of one that did not come to its end, too */
    uint64_t no_page;    /* visits that found none */
    uint64_t last_step;  /* the stride with which the last one began */
    uint64_t pause_ms;   /* after the last one */
    uint64_t slept_ms;   /* all pauses */
} pksm_uksm_pace;

/* Wakes up to most_wakes times, as long as a wake-up only goes on with the pass over the slot, does not end it, and the
 * entries from first on last: n of them, as for pksm_uksm_visit. The last one is that in which something is to be
 * merged. */
int pksm_uksm_wakes(const pksm_store *store, pksm_table *table, pksm_uksm *uksm, const pksm_uksm_rules *rules,
                    const uint8_t *classes, uint64_t first, const uint32_t *pages, const uint8_t *own, size_t n,
                    pksm_uksm_pace *pace, uint8_t *outs, uint32_t *others, pksm_uksm_work *work);

/* ---- integers: lists.c --------------------------------------------------------------------------------- */

/* Sorts the verdicts of settle, stable: starts[v] .. starts[v+1] are the columns of verdict v in rows, which are five
 * of n entries each: position, item, the item that the verdict names (0: none), and the page of either. */
int pksm_sort_verdicts(const pksm_table *table, const uint32_t *ids, const uint8_t *verdicts, const uint32_t *others,
                       size_t n, uint32_t *rows, uint32_t *starts);
/* Copies to out (room for n) those of the ids whose flags under the mask are `flags`, *count of them. */
int pksm_select(const pksm_table *table, const uint32_t *ids, size_t n, uint32_t mask, uint32_t flags, uint32_t *out,
                size_t *count);
/* Sets some flags of items, then clears some. */
int pksm_mark(pksm_table *table, const uint32_t *ids, size_t n, uint32_t set, uint32_t clear);
/* counts[at[i]] += by; PKSM_EINVAL, and nothing done, if one is from n_counts on. */
int pksm_tally(int64_t *counts, size_t n_counts, const uint32_t *at, size_t n, int64_t by);

/* A list of items, first in, first out, as a ring of ids. The entry at position p is ids[p % size]; it is valid if the
 * item's stamp is p and the item has the ring's flag, and void otherwise. Positions start at 1. */
typedef struct {
    uint32_t *ids;
    uint32_t *stamps; /* by item id; rings that an item is never on at once may share them */
    uint32_t size;    /* entries */
    uint32_t head;    /* position of the first entry */
    uint32_t tail;    /* position behind the last entry */
    uint32_t length;  /* valid entries */
    uint32_t flag;    /* enum pksm_flag */
} pksm_ring;

/* Appends ids, each once, which must be on no ring that shares the stamps; PKSM_EINVAL if there is no room. */
int pksm_ring_push(pksm_table *table, pksm_ring *ring, const uint32_t *ids, size_t n);
/* The same with those whose flags under the mask are `flags`: pksm_select and pksm_ring_push in one. */
int pksm_ring_push_where(pksm_table *table, pksm_ring *ring, const uint32_t *ids, size_t n, uint32_t mask,
                         uint32_t flags);
/* Copies the first n valid ids (fewer if there are no more) to out, *count of them; takes them off unless peek. */
int pksm_ring_take(pksm_table *table, pksm_ring *ring, size_t n, int peek, uint32_t *out, size_t *count);
/* Takes those of the ids that are on the ring off it, wherever they stand. */
int pksm_ring_drop(pksm_table *table, pksm_ring *ring, const uint32_t *ids, size_t n);

enum { PKSM_ZERO_FRAME = -1 }; /* as uint32_t in frame_of: the zero page */

/* Points pages to the frames of other pages: frame_of[pages[i]] = frames[i], and counts in mapcount (both by page
 * number, n_pages entries); frames null: all to the zero page, which is not counted. PKSM_EINVAL, and nothing done,
 * unless each page has its own frame to itself and each of the frames is mapped and not among the pages. */
int pksm_remap(uint32_t *frame_of, uint32_t *mapcount, size_t n_pages, const uint32_t *pages, const uint32_t *frames,
               size_t n);

/* Gives each page the item beside it: item_of_page (n_pages entries) and the item's page and flags say so, and the
 * items go on the ring, if there is one. Each id comes once. Nothing is done at PKSM_EPAGE: a page from n_pages on, one
 * that has an item or comes twice; and at PKSM_EINVAL: the ring has no room for n. */
int pksm_bear(pksm_table *table, pksm_ring *ring, uint32_t *item_of_page, size_t n_pages, const uint32_t *pages,
              const uint32_t *ids, size_t n, uint32_t flags);
/* Parts pages from their items: ids gets the items of those that have one (room for n), *count their number;
 * item_of_page, n_pages entries, becomes 0 for them. Pages from n_pages on have none. */
int pksm_detach(uint32_t *item_of_page, size_t n_pages, const uint32_t *pages, size_t n, uint32_t *ids, size_t *count);
/* pksm_detach and pksm_ring_push in one; PKSM_EINVAL, and nothing done, if the ring has no room for n. PKSM_EITEM at
 * an item that is outside the table: the pages before it are parted. */
int pksm_detach_onto(pksm_table *table, pksm_ring *ring, uint32_t *item_of_page, size_t n_pages, const uint32_t *pages,
                     size_t n);
/* Makes items blank again; PKSM_EITEM, and nothing done, if one is in a tree or on a list. */
int pksm_clear(pksm_table *table, const uint32_t *ids, size_t n);

/* Values kept for items: a list of records for each, newest first, whose head is the item's link. */
typedef struct {
    uint32_t *values;
    uint32_t *next;  /* 0: the last of its list */
    uint32_t size;   /* of both arrays; record 0 is nil */
    uint32_t top;    /* records from here on were never used; starts at 1 */
    uint32_t free;   /* list of those given back */
    uint32_t length; /* in use */
} pksm_records;

/* Adds value[i] for item ids[i], in this order; PKSM_EINVAL, and nothing done, if there is no room. */
int pksm_records_append(pksm_table *table, pksm_records *records, const uint32_t *ids, const uint32_t *values,
                        size_t n);
/* Gives the records of items (each named once) back; values, with room for so many, gets what they held, *count their
 * number: above room, nothing was done. PKSM_EINVAL, and nothing done, when a list leads nowhere. */
int pksm_records_release(pksm_table *table, pksm_records *records, const uint32_t *ids, size_t n, uint32_t *values,
                         size_t room, size_t *count);
/* The same, and takes the items off all of these rings and out of their tree, and makes them blank as pksm_clear. */
int pksm_release_items(pksm_table *table, pksm_trees *trees, pksm_ring *const *rings, size_t n_rings,
                       pksm_records *records, const uint32_t *ids, size_t n, uint32_t *values, size_t room,
                       size_t *count);
/* Follows `next` from each head to 0; out (null: only count) gets the records met, *count their number.
 * PKSM_EINVAL when a link is out of range or more than n_next records are met (a loop). */
int pksm_collect(const uint32_t *next, size_t n_next, const uint32_t *heads, size_t n, uint32_t *out, size_t *count);

/* ---- bus errors: bus.c --------------------------------------------------------------------------------- */

/* Process-wide. From now on a page of a mapped file that is gone makes calls return PKSM_EBUS instead of ending the
 * process. Installs a SIGBUS handler, once; a bus error outside this core goes to the handler that was there before, or
 * ends the process. Do not call it from two threads at once. For programs: a library leaves signals alone. */
int pksm_catch_bus_errors(void);
/* cffi: end */

#ifdef __cplusplus
}
#endif

#endif
