/* checksum.c: every checksum strategy in plain C, and the table of them.
 *
 * These are the specification: wider twins (checksum_simd.c) must give the same bits. Words are little-endian
 * and loaded unaligned. Page sizes are powers of two from 8. */
#include "core.h"

static inline uint32_t rotl32(uint32_t v, int bits)
{
    return v << bits | v >> (32 - bits);
}

static inline uint64_t rotl64(uint64_t v, int bits)
{
    return v << bits | v >> (64 - bits);
}

/* ---- sampled: PKSM's own; some words of the page, mixed one by one ---- */
uint64_t sampled_scalar(const uint8_t *page, size_t size_bytes, const void *state)
{
    const pksm_sample *sample = state;
    uint32_t h = 0xdeadbeef;

    (void)size_bytes;
    for (uint64_t i = 0; i < sample->n_words; i++) {
        h += load32(page + (size_t)sample->words[i] * 4);
        h += h << 8;
        h ^= h >> 12;
    }
    return h;
}

/* ---- jhash2: Bob Jenkins' lookup3 over words, initial value 17 as KSM had it before 4.20 ---- */
uint64_t jhash2_scalar(const uint8_t *page, size_t size_bytes, const void *state)
{
    size_t left = size_bytes / 4;
    uint32_t a = 0xdeadbeef + (uint32_t)(left << 2) + 17, b = a, c = a;

    (void)state;
    for (; left > 3; left -= 3, page += 12) {
        a += load32(page);
        b += load32(page + 4);
        c += load32(page + 8);
        a = (a - c) ^ rotl32(c, 4), c += b;
        b = (b - a) ^ rotl32(a, 6), a += c;
        c = (c - b) ^ rotl32(b, 8), b += a;
        a = (a - c) ^ rotl32(c, 16), c += b;
        b = (b - a) ^ rotl32(a, 19), a += c;
        c = (c - b) ^ rotl32(b, 4), b += a;
    }
    if (left >= 3)
        c += load32(page + 8);
    if (left >= 2)
        b += load32(page + 4);
    a += load32(page);
    c = (c ^ b) - rotl32(b, 14);
    a = (a ^ c) - rotl32(c, 11);
    b = (b ^ a) - rotl32(a, 25);
    c = (c ^ b) - rotl32(b, 16);
    a = (a ^ c) - rotl32(c, 4);
    b = (b ^ a) - rotl32(a, 14);
    return (c ^ b) - rotl32(b, 24);
}

/* ---- crc32c: Castagnoli, reflected, a byte at a time ---- */
/* The table is linear in the index: entry n is the exclusive or of the entries of n's bits. */
#define CRC_OF(n)                                                                                                  \
    (((n) & 1 ? 0xf26b8303u : 0) ^ ((n) & 2 ? 0xe13b70f7u : 0) ^ ((n) & 4 ? 0xc79a971fu : 0) ^                     \
     ((n) & 8 ? 0x8ad958cfu : 0) ^ ((n) & 16 ? 0x105ec76fu : 0) ^ ((n) & 32 ? 0x20bd8edeu : 0) ^                   \
     ((n) & 64 ? 0x417b1dbcu : 0) ^ ((n) & 128 ? 0x82f63b78u : 0))
#define CRC_4(n) CRC_OF(n), CRC_OF((n) + 1), CRC_OF((n) + 2), CRC_OF((n) + 3)
#define CRC_16(n) CRC_4(n), CRC_4((n) + 4), CRC_4((n) + 8), CRC_4((n) + 12)
#define CRC_64(n) CRC_16(n), CRC_16((n) + 16), CRC_16((n) + 32), CRC_16((n) + 48)
static const uint32_t crc_table[256] = {CRC_64(0), CRC_64(64), CRC_64(128), CRC_64(192)};

static uint64_t crc32c(const uint8_t *page, size_t size_bytes, const void *state)
{
    uint32_t crc = 0xffffffff;

    (void)state;
    for (size_t i = 0; i < size_bytes; i++)
        crc = crc >> 8 ^ crc_table[(crc ^ page[i]) & 0xff];
    return ~crc;
}

/* ---- XXH64 and XXH3: Yann Collet's, seed 0 ---- */
#define XXH32_1 0x9E3779B1u
#define XXH32_2 0x85EBCA77u
#define XXH32_3 0xC2B2AE3Du
#define XXH64_1 0x9E3779B185EBCA87u
#define XXH64_2 0xC2B2AE3D27D4EB4Fu
#define XXH64_3 0x165667B19E3779F9u
#define XXH64_4 0x85EBCA77C2B2AE63u
#define XXH64_5 0x27D4EB2F165667C5u

static inline uint64_t xxh64_round(uint64_t acc, uint64_t input)
{
    return rotl64(acc + input * XXH64_2, 31) * XXH64_1;
}

static uint64_t xxh64(const uint8_t *page, size_t size_bytes, const void *state)
{
    const uint8_t *end = page + size_bytes;
    uint64_t h = XXH64_5;

    (void)state;
    if (size_bytes >= 32) {
        uint64_t acc[4] = {XXH64_1 + XXH64_2, XXH64_2, 0, 0 - XXH64_1};
        for (; page + 32 <= end; page += 32)
            for (int i = 0; i < 4; i++)
                acc[i] = xxh64_round(acc[i], load64(page + 8 * i));
        h = rotl64(acc[0], 1) + rotl64(acc[1], 7) + rotl64(acc[2], 12) + rotl64(acc[3], 18);
        for (int i = 0; i < 4; i++)
            h = (h ^ xxh64_round(0, acc[i])) * XXH64_1 + XXH64_4;
    }
    h += size_bytes;
    for (; page + 8 <= end; page += 8)
        h = rotl64(h ^ xxh64_round(0, load64(page)), 27) * XXH64_1 + XXH64_4;
    h = (h ^ h >> 33) * XXH64_2;
    h = (h ^ h >> 29) * XXH64_3;
    return h ^ h >> 32;
}

/* KSM since 4.20 keeps the low half. */
static uint64_t xxh64_trunc32(const uint8_t *page, size_t size_bytes, const void *state)
{
    return xxh64(page, size_bytes, state) & 0xffffffff;
}

const uint8_t xxh3_secret[192] = {
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
    0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
    0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
    0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
    0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
    0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
    0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
    0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
    0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
};

static inline uint64_t multiply_fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t xxh3_avalanche(uint64_t h)
{
    h = (h ^ h >> 37) * 0x165667919E3779F9u;
    return h ^ h >> 32;
}

static inline uint64_t xxh3_mix16(const uint8_t *page, const uint8_t *secret)
{
    return multiply_fold(load64(page) ^ load64(secret), load64(page + 8) ^ load64(secret + 8));
}

/* Pages of 8 to 128 bytes. */
uint64_t xxh3_short(const uint8_t *page, size_t size)
{
    const uint8_t *end = page + size, *secret = xxh3_secret;

    if (size == 8) {
        uint64_t h = (uint64_t)load32(page) << 32 | load32(page + 4);
        h ^= load64(secret + 8) ^ load64(secret + 16);
        h ^= rotl64(h, 49) ^ rotl64(h, 24);
        h *= 0x9FB21C651E98DF25u;
        h = (h ^ ((h >> 35) + size)) * 0x9FB21C651E98DF25u;
        return h ^ h >> 28;
    }
    if (size == 16) {
        uint64_t low = load64(page) ^ load64(secret + 24) ^ load64(secret + 32);
        uint64_t high = load64(page + 8) ^ load64(secret + 40) ^ load64(secret + 48);
        return xxh3_avalanche(size + __builtin_bswap64(low) + high + multiply_fold(low, high));
    }
    uint64_t acc = size * XXH64_1;
    for (size_t at = 0; at < size / 2; at += 16) {
        acc += xxh3_mix16(page + at, secret + 2 * at);
        acc += xxh3_mix16(end - at - 16, secret + 2 * at + 16);
    }
    return xxh3_avalanche(acc);
}

static inline void xxh3_accumulate(uint64_t acc[8], const uint8_t *stripe, const uint8_t *secret)
{
    for (int i = 0; i < 8; i++) {
        uint64_t data = load64(stripe + 8 * i), keyed = data ^ load64(secret + 8 * i);
        acc[i ^ 1] += data;
        acc[i] += (keyed & 0xffffffff) * (keyed >> 32);
    }
}

uint64_t xxh3_finish(const uint64_t acc[8], size_t size_bytes)
{
    uint64_t h = size_bytes * XXH64_1;

    for (int i = 0; i < 8; i += 2)
        h += multiply_fold(acc[i] ^ load64(xxh3_secret + 11 + 8 * i), acc[i + 1] ^ load64(xxh3_secret + 19 + 8 * i));
    return xxh3_avalanche(h);
}

/* Our default: reads the page once, 64 bytes a step, in eight lanes that SIMD holds in one or two registers. */
static uint64_t xxh3_64(const uint8_t *page, size_t size_bytes, const void *state)
{
    uint64_t acc[8] = XXH3_LANES;
    size_t stripes = (size_bytes - 1) / 64;

    (void)state;
    if (size_bytes < 256)
        return xxh3_short(page, size_bytes);
    for (size_t s = 0; s < stripes; s++) {
        xxh3_accumulate(acc, page + 64 * s, xxh3_secret + 8 * (s & 15));
        if ((s & 15) == 15)
            for (int i = 0; i < 8; i++)
                acc[i] = (acc[i] ^ acc[i] >> 47 ^ load64(xxh3_secret + 128 + 8 * i)) * XXH32_1;
    }
    xxh3_accumulate(acc, page + size_bytes - 64, xxh3_secret + 121);
    return xxh3_finish(acc, size_bytes);
}

/* ---- the table ---- */
static const pksm_strategy scalar[N_STRATEGIES] = {
    [XXH3_64] = {"xxh3-64", 64, 0, xxh3_64, NULL},
    [SAMPLED] = {"sampled", 32, 1, sampled_scalar, NULL},
    [JHASH2] = {"jhash2", 32, 0, jhash2_scalar, NULL},
    [XXH64] = {"xxh64", 64, 0, xxh64, NULL},
    [XXH64_TRUNC32] = {"xxh64-trunc32", 32, 0, xxh64_trunc32, NULL},
    [CRC32C] = {"crc32c", 32, 0, crc32c, NULL},
};
static pksm_strategy strategies[N_STRATEGIES];

void checksum_select(int level)
{
    memcpy(strategies, scalar, sizeof strategies);
    for (const twin *t = checksum_twins; t->strategy != N_STRATEGIES; t++) {
        if (t->level > level)
            continue;
        if (t->sum)
            strategies[t->strategy].sum = t->sum;
        if (t->many)
            strategies[t->strategy].many = t->many;
    }
}

EXPORT const pksm_strategy *pksm_strategies(size_t *n)
{
    if (!strategies[0].name)
        checksum_select(PKSM_CPU_SCALAR);
    *n = N_STRATEGIES;
    return strategies;
}

enum { MANY = 64 };

int sum_pages(const pksm_store *store, const pksm_checksum *checksum, const uint32_t *pages, size_t n, uint64_t *sums,
              uint8_t *zero)
{
    const uint8_t *bytes[MANY];
    int told = checksum->many != NULL;

    for (size_t start = 0; start < n; start += MANY) {
        size_t part = n - start < MANY ? n - start : MANY;
        for (size_t i = 0; i < part; i++)
            bytes[i] = page_bytes(store, pages[start + i]);
        if (checksum->many)
            told &= checksum->many(bytes, part, store->page_size, checksum->state, sums + start,
                                   zero ? zero + start : NULL);
        else
            for (size_t i = 0; i < part; i++)
                sums[start + i] = checksum->sum(bytes[i], store->page_size, checksum->state);
    }
    return told;
}

static NOINLINE int sum_into(const pksm_store *store, const pksm_checksum *checksum, const uint32_t *pages, size_t n,
                             uint64_t *sums)
{
    sum_pages(store, checksum, pages, n, sums, NULL);
    return PKSM_OK;
}

EXPORT int pksm_checksum_pages(const pksm_store *store, const pksm_checksum *checksum, const uint32_t *pages,
                               size_t n, uint64_t *sums)
{
    int status = checksum && checksum->sum ? check_pages(store, pages, n) : PKSM_EINVAL;

    if (status == PKSM_OK)
        READING(status, sum_into(store, checksum, pages, n, sums));
    return status;
}
