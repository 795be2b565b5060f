/* ksm.h: what the files of KSM's visits share: ksm_nodes.c keeps stable nodes and their chains, ksm.c visits. */
#ifndef PKSM_KSM_H
#define PKSM_KSM_H

#include "core.h"

/* What has happened since a window of items began. */
typedef struct {
    int together;   /* their searches have been in flight together: the rest counts */
    filled gone[2]; /* gaps: in the unstable tree, in the stable tree */
    int reused;     /* a stable node or chain was given back: its id may stand for another one now */
} since;

typedef struct {
    page_tree tree;
    pksm_node *nodes;
    pksm_trees *trees;
    pksm_ksm *ksm;
    pksm_ksm_counts *counts;
    const pksm_rules *rules;
    const pksm_ksm_limits *limits;
    const uint8_t *classes;
    since *since; /* null: no items are visited */
} scan;

/* Of everything that KSM keeps, for one entry. */
scan pksm_nodes_scan(const pksm_store *store, pksm_table *table, pksm_trees *trees, pksm_ksm *ksm, pksm_cost *cost);
/* A blank id. */
uint32_t pksm_nodes_spare(const scan *s);
/* Lets a stable node stand first in a chain. */
void pksm_nodes_chain(const scan *s, uint32_t chain, uint32_t dup);
/* Lets one item stand in the stable tree where another stood. */
void pksm_nodes_replace(const scan *s, uint32_t out, uint32_t in);
/* Takes a stable node whose page is gone, or a chain of such, out of the tree or its chain. */
void pksm_nodes_remove(const scan *s, uint32_t node);
/* Hangs an item on a stable node. */
void pksm_nodes_attach(const scan *s, uint32_t id, uint32_t node);
/* Takes an item out of the unstable tree, or off its stable node. */
void pksm_nodes_drop(const scan *s, uint32_t id);
/* The stable node that can take one more item: what stands at *stands, or one of its chain, which is kept in order on
 * the way; 0: none. Where one alone is left of a chain, *stands is that one. */
uint32_t pksm_nodes_room(const scan *s, uint32_t *stands, int may_prune);

#endif
