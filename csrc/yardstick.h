/* yardstick.h: what benchmarks hold the engine against. Nothing here merges, and libpksm has none of it.
 *
 * Between the markers as in pksm.h, for csrc/build_ffi.py. */
#ifndef PKSM_YARDSTICK_H
#define PKSM_YARDSTICK_H

#include "pksm.h"

/* cffi: begin */
/* *sum = sum of all 64-bit words of the pages, modulo 2^64: reads them once, and does no more. */
int pksm_yardstick_read(const pksm_store *store, const uint32_t *pages, size_t n, uint64_t *sum);
/* *equal = number of pairs a[i], b[i] with equal bytes, by memcmp. */
int pksm_yardstick_memcmp(const pksm_store *store, const uint32_t *a, const uint32_t *b, size_t n, uint64_t *equal);

typedef struct {
    uint64_t checksum;
    uint32_t page;
    uint32_t used; /* 0: empty */
} pksm_slot;

/* kept[i] = the first of the pages with the bytes of pages[i]: by a hash table of checksums, confirmed by the bytes.
 * slots: n_slots zeroed entries, a power of two above n. */
int pksm_yardstick_table(const pksm_store *store, const pksm_checksum *checksum, const uint32_t *pages, size_t n,
                         pksm_slot *slots, size_t n_slots, uint32_t *kept);
/* kept[i] = the page that KSM's trees merge pages[i] into: each page is looked for in the stable tree, then in the
 * unstable tree, with memcmp at every node and one search at a time. No checksum, no second scan, no page tables: it
 * does less than ksmd. table: n + 1 zeroed nodes. */
int pksm_yardstick_ksm(const pksm_store *store, const uint32_t *pages, size_t n, pksm_table *table, uint32_t *kept);
/* cffi: end */

#endif
