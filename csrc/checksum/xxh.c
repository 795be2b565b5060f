/* checksum/xxh.c: XXH32, XXH64 and XXH3, Yann Collet's, seed 0. */
#include "checksum.h"

/* ---- XXH32 ---- */
static inline uint32_t xxh32_round(uint32_t acc, uint32_t input)
{
    return rotl32(acc + input * XXH32_2, 13) * XXH32_1;
}

static uint32_t xxh32_avalanche(uint32_t h)
{
    h = (h ^ h >> 15) * XXH32_2;
    h = (h ^ h >> 13) * XXH32_3;
    return h ^ h >> 16;
}

uint64_t pksm_xxh32_finish(const uint32_t acc[4], size_t size_bytes)
{
    uint32_t h = rotl32(acc[0], 1) + rotl32(acc[1], 7) + rotl32(acc[2], 12) + rotl32(acc[3], 18);

    return xxh32_avalanche(h + (uint32_t)size_bytes);
}

uint64_t pksm_xxh32_scalar(const uint8_t *page, size_t size_bytes, const void *state)
{
    const uint8_t *end = page + size_bytes;
    uint32_t acc[4] = {XXH32_1 + XXH32_2, XXH32_2, 0, 0 - XXH32_1}, h = XXH32_5 + (uint32_t)size_bytes;

    (void)state;
    if (size_bytes >= 16) {
        for (; page < end; page += 16)
            for (int i = 0; i < 4; i++)
                acc[i] = xxh32_round(acc[i], load32(page + 4 * i));
        return pksm_xxh32_finish(acc, size_bytes);
    }
    for (; page < end; page += 4)
        h = rotl32(h + load32(page) * XXH32_3, 17) * XXH32_4;
    return xxh32_avalanche(h);
}

/* ---- XXH64 ---- */
static inline uint64_t xxh64_round(uint64_t acc, uint64_t input)
{
    return rotl64(acc + input * XXH64_2, 31) * XXH64_1;
}

static uint64_t xxh64_avalanche(uint64_t h)
{
    h = (h ^ h >> 33) * XXH64_2;
    h = (h ^ h >> 29) * XXH64_3;
    return h ^ h >> 32;
}

uint64_t pksm_xxh64_finish(const uint64_t acc[4], size_t size_bytes)
{
    uint64_t h = rotl64(acc[0], 1) + rotl64(acc[1], 7) + rotl64(acc[2], 12) + rotl64(acc[3], 18);

    for (int i = 0; i < 4; i++)
        h = (h ^ xxh64_round(0, acc[i])) * XXH64_1 + XXH64_4;
    return xxh64_avalanche(h + size_bytes);
}

uint64_t pksm_xxh64_scalar(const uint8_t *page, size_t size_bytes, const void *state)
{
    const uint8_t *end = page + size_bytes;
    uint64_t acc[4] = {XXH64_1 + XXH64_2, XXH64_2, 0, 0 - XXH64_1}, h = XXH64_5 + size_bytes;

    (void)state;
    if (size_bytes >= 32) {
        for (; page < end; page += 32)
            for (int i = 0; i < 4; i++)
                acc[i] = xxh64_round(acc[i], load64(page + 8 * i));
        return pksm_xxh64_finish(acc, size_bytes);
    }
    for (; page < end; page += 8)
        h = rotl64(h ^ xxh64_round(0, load64(page)), 27) * XXH64_1 + XXH64_4;
    return xxh64_avalanche(h);
}

/* KSM since 4.20 keeps the low half. */
uint64_t pksm_xxh64_trunc32_scalar(const uint8_t *page, size_t size_bytes, const void *state)
{
    return pksm_xxh64_scalar(page, size_bytes, state) & 0xffffffff;
}

/* ---- XXH3 ---- */
const uint8_t pksm_xxh3_secret[192] = {
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c, 0xde, 0xd4,
    0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f, 0xcb, 0x79, 0xe6, 0x4e,
    0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21, 0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43,
    0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c, 0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb,
    0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3, 0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19,
    0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8, 0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7,
    0xc7, 0x0b, 0x4f, 0x1d, 0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78,
    0x73, 0x64, 0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e, 0x2b, 0x16,
    0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce, 0x45, 0xcb, 0x3a, 0x8f,
    0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
};

__extension__ typedef unsigned __int128 uint128;

static inline uint64_t multiply_fold(uint64_t a, uint64_t b)
{
    uint128 product = (uint128)a * b;

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
uint64_t pksm_xxh3_short(const uint8_t *page, size_t size)
{
    const uint8_t *end = page + size, *secret = pksm_xxh3_secret;

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

uint64_t pksm_xxh3_finish(const uint64_t acc[8], size_t size_bytes)
{
    uint64_t h = size_bytes * XXH64_1;

    for (int i = 0; i < 8; i += 2)
        h += multiply_fold(acc[i] ^ load64(pksm_xxh3_secret + 11 + 8 * i),
                           acc[i + 1] ^ load64(pksm_xxh3_secret + 19 + 8 * i));
    return xxh3_avalanche(h);
}

/* Our default: reads the page once, 64 bytes a step, in eight lanes that SIMD holds in one or two registers. */
uint64_t pksm_xxh3_64_scalar(const uint8_t *page, size_t size_bytes, const void *state)
{
    uint64_t acc[8] = XXH3_LANES;
    size_t stripes = (size_bytes - 1) / 64;

    (void)state;
    if (size_bytes < 256)
        return pksm_xxh3_short(page, size_bytes);
    for (size_t s = 0; s < stripes; s++) {
        xxh3_accumulate(acc, page + 64 * s, pksm_xxh3_secret + 8 * (s & 15));
        if ((s & 15) == 15)
            for (int i = 0; i < 8; i++)
                acc[i] = (acc[i] ^ acc[i] >> 47 ^ load64(pksm_xxh3_secret + 128 + 8 * i)) * XXH32_1;
    }
    xxh3_accumulate(acc, page + size_bytes - 64, pksm_xxh3_secret + 121);
    return pksm_xxh3_finish(acc, size_bytes);
}
