/* checksum.h: what the files of checksums share. Plain C is the specification; wider twins must give the same bits.
 *
 * Words are little-endian and loaded unaligned. Page sizes are powers of two from 8. */
#ifndef PKSM_CHECKSUM_H
#define PKSM_CHECKSUM_H

#include "../core.h"

static inline uint32_t rotl32(uint32_t v, int bits)
{
    return v << bits | v >> (32 - bits);
}

static inline uint64_t rotl64(uint64_t v, int bits)
{
    return v << bits | v >> (64 - bits);
}

enum strategy {
    XXH3_64, /* our default comes first */
    AES,
    XXH64,
    XXH64_TRUNC32,
    XXH32,
    CRC32C,
    CRC32,
    JHASH2,
    MURMUR3_32,
    SUPERFAST,
    FNV1A_64,
    ADLER32,
    SAMPLED,
    SAMPLED_LINES,
    PARTIAL,
    N_STRATEGIES
};

/* What a processor may have besides its level. */
enum { HAS_AES = 1, HAS_CLMUL = 2, HAS_WIDE_AES = 4, HAS_WIDE_CLMUL = 8 };

/* A wider twin: of which strategy, from which level on, and what else it takes. */
typedef struct {
    int strategy;
    int level;
    int needs;
    pksm_checksum_fn sum; /* null: the narrower one stays */
    pksm_checksum_many_fn many;
} twin;

/* Narrow before wide; ended by strategy N_STRATEGIES. */
extern const twin pksm_xxh3_twins[], pksm_xxh_twins[], pksm_word_twins[], pksm_byte_twins[], pksm_aes_twins[];

/* 1 if the processor has all of this, an or of HAS_...: cpu.c. */
int pksm_cpu_has(int needs);

/* ---- plain C ---- */
uint64_t pksm_xxh3_64_scalar(const uint8_t *page, size_t size_bytes, const void *state);
uint64_t pksm_xxh64_scalar(const uint8_t *page, size_t size_bytes, const void *state);
uint64_t pksm_xxh64_trunc32_scalar(const uint8_t *page, size_t size_bytes, const void *state);
uint64_t pksm_xxh32_scalar(const uint8_t *page, size_t size_bytes, const void *state);
uint64_t pksm_aes_scalar(const uint8_t *page, size_t size_bytes, const void *state);
uint64_t pksm_crc32c_scalar(const uint8_t *page, size_t size_bytes, const void *state);
uint64_t pksm_crc32_scalar(const uint8_t *page, size_t size_bytes, const void *state);
uint64_t pksm_adler32_scalar(const uint8_t *page, size_t size_bytes, const void *state);
uint64_t pksm_fnv1a_64_scalar(const uint8_t *page, size_t size_bytes, const void *state);
uint64_t pksm_jhash2_scalar(const uint8_t *page, size_t size_bytes, const void *state);
uint64_t pksm_murmur3_32_scalar(const uint8_t *page, size_t size_bytes, const void *state);
uint64_t pksm_superfast_scalar(const uint8_t *page, size_t size_bytes, const void *state);
uint64_t pksm_sampled_scalar(const uint8_t *page, size_t size_bytes, const void *state);
uint64_t pksm_partial_scalar(const uint8_t *page, size_t size_bytes, const void *state);

/* ---- bytes ---- */
enum { ADLER_PRIME = 65521, ADLER_CHUNK = 4096 }; /* so many bytes' sums fit in 32 bits */
#define FNV_BASIS 0xcbf29ce484222325u
#define FNV_PRIME 0x100000001b3u

extern const uint32_t pksm_crc32c_table[256], pksm_crc32_table[256];

/* A CRC, not yet inverted, carried on over n bytes. */
uint32_t pksm_crc_bytes(const uint32_t table[256], uint32_t crc, const uint8_t *bytes, size_t n);

/* ---- XXH ---- */
#define XXH32_1 0x9E3779B1u
#define XXH32_2 0x85EBCA77u
#define XXH32_3 0xC2B2AE3Du
#define XXH32_4 0x27D4EB2Fu
#define XXH32_5 0x165667B1u
#define XXH64_1 0x9E3779B185EBCA87u
#define XXH64_2 0xC2B2AE3D27D4EB4Fu
#define XXH64_3 0x165667B19E3779F9u
#define XXH64_4 0x85EBCA77C2B2AE63u
#define XXH64_5 0x27D4EB2F165667C5u
#define XXH3_LANES {XXH32_3, XXH64_1, XXH64_2, XXH64_3, XXH64_4, XXH32_2, XXH64_5, XXH32_1}

extern const uint8_t pksm_xxh3_secret[192];

/* What is left to do with the lanes of a page, when all of its bytes are in them. */
uint64_t pksm_xxh3_finish(const uint64_t acc[8], size_t size_bytes);
uint64_t pksm_xxh64_finish(const uint64_t acc[4], size_t size_bytes);
uint64_t pksm_xxh32_finish(const uint32_t acc[4], size_t size_bytes);
/* All of XXH3 for pages too short for lanes. */
uint64_t pksm_xxh3_short(const uint8_t *page, size_t size_bytes);

/* ---- what twins share ---- */
#ifdef __x86_64__
#include <immintrin.h>

#define SSE42 __attribute__((target("sse4.2")))
#define AVX2 __attribute__((target("avx2")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))

/* The line at the same place of the page that comes next, into the second cache level. */
static inline void fetch_next(const uint8_t *const *pages, size_t i, size_t n, size_t at)
{
    if (i + 1 < n)
        _mm_prefetch((const char *)pages[i + 1] + at, _MM_HINT_T1);
}

/* The bytes some way behind `at` in one of several pages that are read side by side: of this page, or, towards its
 * end, of the page that comes `width` later in the batch. */
static inline void fetch_ahead(const uint8_t *const *pages, size_t i, size_t width, size_t n, size_t size, size_t at)
{
    enum { DISTANCE = 512 };

    if (at + DISTANCE < size)
        _mm_prefetch((const char *)pages[i] + at + DISTANCE, _MM_HINT_T0);
    else if (i + width < n)
        _mm_prefetch((const char *)pages[i + width] + (at + DISTANCE) % size, _MM_HINT_T0);
}
#endif

#endif
