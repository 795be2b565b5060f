/* settle.h: what stages.c, which settles one item, and settle.c, which lets windows of them fly, have in common. */
#ifndef PKSM_SETTLE_H
#define PKSM_SETTLE_H

#include "core.h"

/* What a batch is settled with. */
typedef struct {
    page_tree tree;
    const pksm_rules *rules;
    const uint8_t *classes;
    uint32_t *revisit;
    size_t *n_revisit;
    size_t room; /* of revisit */
    size_t window;
    filled *gone;      /* since this window began: in the unstable tree, in the stable tree */
    pksm_ahead *ahead; /* null: nobody sums but us */
    int sum_at_once;   /* a search may come before the stage UNCHANGED, or there is no such stage */
} batch;

/* Where the journey of one item stands; NEXT: on to the next stage; FULL: `revisit` is. */
enum { NEXT = PKSM_N_VERDICTS, FULL };

static inline int class_of(const batch *b, uint32_t page)
{
    return b->classes ? b->classes[page] & (PKSM_MLOCKED - 1) : PKSM_FREE;
}

/* The page is not looked at at all. */
static inline int stays(const batch *b, int class)
{
    return class == PKSM_NOT_ANON || (class == PKSM_BUSY_PAGE && b->rules->busy_waits);
}

/* The verdict of one item, or FULL. l: what it saw in flight; *other: the item that the verdict names, or 0. */
int pksm_settle_one(const batch *b, uint32_t id, const lane *l, uint32_t *other);

#endif
