/* input.h: an input taken apart into numbers and pages, and a check that ends the program.
 *
 * Arrays are blocks of exactly their size, so that a byte beyond one of them is noticed. */
#ifndef INPUT_H
#define INPUT_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pksm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                \
        }                                                                           \
    } while (0)

typedef struct {
    const uint8_t *at;
    size_t left;
} input;

/* The next byte; 0 once there are no more. */
static inline uint8_t next_byte(input *in)
{
    if (!in->left)
        return 0;
    in->left--;
    return *in->at++;
}

static inline uint32_t next_below(input *in, uint32_t n)
{
    return next_byte(in) % n;
}

static inline int next_bit(input *in)
{
    return next_byte(in) & 1;
}

static inline uint32_t next_number(input *in)
{
    uint32_t value = 0;

    for (int i = 0; i < 4; i++)
        value = value << 8 | next_byte(in);
    return value;
}

/* An index: below n mostly, now and then right behind, or anywhere. */
static inline uint32_t next_index(input *in, uint32_t n)
{
    uint8_t byte = next_byte(in);

    if (byte < 248)
        return byte % n;
    return byte < 252 ? n : byte == 252 ? UINT32_MAX : next_number(in);
}

static inline void *block(size_t size)
{
    void *at = calloc(1, size ? size : 1);

    CHECK(at);
    return at;
}

static inline void *copy_of(const void *from, size_t size)
{
    void *to = block(size);

    if (size)
        memcpy(to, from, size);
    return to;
}

/* Indexes, each of them anything next_index gives; free() it. */
static inline uint32_t *next_indexes(input *in, size_t count, uint32_t n)
{
    uint32_t *indexes = block(count * sizeof *indexes);

    for (size_t i = 0; i < count; i++)
        indexes[i] = next_index(in, n);
    return indexes;
}

static inline int all_below(const uint32_t *indexes, size_t count, uint64_t n)
{
    for (size_t i = 0; i < count; i++)
        if (indexes[i] >= n)
            return 0;
    return 1;
}

/* Removes what comes twice, and returns how many are left. */
static inline size_t each_once(uint32_t *indexes, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        size_t k = 0;

        while (k < kept && indexes[k] != indexes[i])
            k++;
        if (k == kept)
            indexes[kept++] = indexes[i];
    }
    return kept;
}

/* A checksum so weak that many pages share one: the sum of the bytes, modulo *state. */
static inline uint64_t weak_sum(const uint8_t *page, size_t size, const void *state)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < size; i++)
        sum += page[i];
    return sum % *(const uint64_t *)state;
}

static inline int weak_sums(const uint8_t *const *pages, size_t n, size_t size, const void *state, uint64_t *sums,
                            uint8_t *zero)
{
    for (size_t i = 0; i < n; i++) {
        sums[i] = weak_sum(pages[i], size, state);
        if (zero)
            zero[i] = (uint8_t)pksm_page_is_zero(pages[i], size);
    }
    return 1;
}

/* A store of n pages in blocks of their own of 64; few contents. */
typedef struct {
    size_t size;
    uint32_t n;
    uint64_t modulus;
    uint8_t **sections;
    uint64_t *addresses;
    pksm_store store;
} pages;

static inline uint8_t *page_at(const pages *p, uint32_t page)
{
    return p->sections[page / 64] + page % 64 * p->size;
}

static inline void write_page(pages *p, uint32_t page, uint8_t how)
{
    memset(page_at(p, page), 0, p->size);
    page_at(p, page)[how >> 4 & 1 ? p->size - 1 : (how >> 5) % p->size] = how & 3;
    page_at(p, page)[p->size / 2] |= how >> 2 & 3;
}

static inline pages next_pages(input *in, uint32_t most)
{
    pages p = {.size = (size_t)8 << next_below(in, 5), .n = 1 + next_below(in, most), .modulus = 1 + next_below(in, 5)};
    uint32_t n_sections = (p.n + 63) / 64;

    p.sections = block(n_sections * sizeof *p.sections);
    p.addresses = block(n_sections * sizeof *p.addresses);
    for (uint32_t s = 0; s < n_sections; s++) {
        p.sections[s] = block((p.n - s * 64 < 64 ? p.n - s * 64 : 64) * p.size);
        p.addresses[s] = (uintptr_t)p.sections[s];
    }
    p.store = (pksm_store){.sections = p.addresses, .n_pages = p.n, .page_size = p.size};
    for (uint32_t page = 0; page < p.n; page++)
        write_page(&p, page, next_byte(in));
    pksm_cpu_select((int)next_below(in, (uint32_t)pksm_cpu_best() + 1));
    return p;
}

static inline void free_pages(pages *p)
{
    for (uint32_t s = 0; s < (p->n + 63) / 64; s++)
        free(p->sections[s]);
    free(p->sections);
    free(p->addresses);
}

#endif
