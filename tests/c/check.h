/* check.h: what the C tests share: a check that NDEBUG can't switch off, a seed, random numbers. */
#ifndef CHECK_H
#define CHECK_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pksm.h"

#define CHECK(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                                \
        }                                                                           \
    } while (0)

static uint64_t random_state;

/* Takes the seed from the command line or the clock, and prints it before anything can go wrong. */
static inline void seed_from(int argc, char **argv)
{
    random_state = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL);
    printf("seed %" PRIu64 "\n", random_state);
    fflush(stdout);
}

/* splitmix64 */
static inline uint64_t random64(void)
{
    uint64_t z = random_state += 0x9E3779B97F4A7C15u;

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static inline uint32_t below(uint32_t n)
{
    return (uint32_t)(random64() % n);
}

static inline int one_in(uint32_t n)
{
    return below(n) == 0;
}

static inline void fill_random(uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)random64();
}

/* Goes through the CPU levels that this machine has, narrow to wide. */
#define AT_EVERY_LEVEL for (int level = 0; level <= pksm_cpu_best() && select_level(level); level++)

static inline int select_level(int level)
{
    CHECK(pksm_cpu_select(level) == PKSM_OK);
    return 1;
}

/* A block of exactly this size, so that a read past its end is noticed. */
static inline void *block(size_t size_bytes)
{
    void *at = calloc(1, size_bytes ? size_bytes : 1);

    CHECK(at);
    return at;
}

#endif
