/* checksum/aes.c: a hash out of AES rounds, in plain C and by the processor's instructions.
 *
 * Ours, 64 bits wide. Eight lanes of 16 bytes each take every eighth block of the page: lane = round(lane) ^ block,
 * where a round is AES' SubBytes, ShiftRows and MixColumns. Each such step can be undone, so a change is in its lane
 * for certain; then the lanes go through one another and through three rounds more. It keeps nobody out who makes
 * collisions on purpose. */
#include "checksum.h"

enum { LANES = 8, AES_BLOCK = 16 };

/* Lane k starts as the k-th block of XXH3's secret with the size of the page in it; the last rounds' keys follow. */
static inline const uint8_t *secret_block(size_t k)
{
    return pksm_xxh3_secret + AES_BLOCK * k;
}

/* ---- plain C ---- */
/* MixColumns of one byte that SubBytes made: times 2, 1, 1 and 3, from the lowest byte on. */
#define TWICE(s) (((s) << 1 ^ ((s) & 0x80 ? 0x11b : 0)) & 0xff)
#define MIXED(s) ((uint32_t)TWICE(s) | (uint32_t)(s) << 8 | (uint32_t)(s) << 16 | (uint32_t)((s) ^ TWICE(s)) << 24)
/* clang-format off */
static const uint32_t mixed[256] = {
    MIXED(0x63), MIXED(0x7c), MIXED(0x77), MIXED(0x7b), MIXED(0xf2), MIXED(0x6b), MIXED(0x6f), MIXED(0xc5),
    MIXED(0x30), MIXED(0x01), MIXED(0x67), MIXED(0x2b), MIXED(0xfe), MIXED(0xd7), MIXED(0xab), MIXED(0x76),
    MIXED(0xca), MIXED(0x82), MIXED(0xc9), MIXED(0x7d), MIXED(0xfa), MIXED(0x59), MIXED(0x47), MIXED(0xf0),
    MIXED(0xad), MIXED(0xd4), MIXED(0xa2), MIXED(0xaf), MIXED(0x9c), MIXED(0xa4), MIXED(0x72), MIXED(0xc0),
    MIXED(0xb7), MIXED(0xfd), MIXED(0x93), MIXED(0x26), MIXED(0x36), MIXED(0x3f), MIXED(0xf7), MIXED(0xcc),
    MIXED(0x34), MIXED(0xa5), MIXED(0xe5), MIXED(0xf1), MIXED(0x71), MIXED(0xd8), MIXED(0x31), MIXED(0x15),
    MIXED(0x04), MIXED(0xc7), MIXED(0x23), MIXED(0xc3), MIXED(0x18), MIXED(0x96), MIXED(0x05), MIXED(0x9a),
    MIXED(0x07), MIXED(0x12), MIXED(0x80), MIXED(0xe2), MIXED(0xeb), MIXED(0x27), MIXED(0xb2), MIXED(0x75),
    MIXED(0x09), MIXED(0x83), MIXED(0x2c), MIXED(0x1a), MIXED(0x1b), MIXED(0x6e), MIXED(0x5a), MIXED(0xa0),
    MIXED(0x52), MIXED(0x3b), MIXED(0xd6), MIXED(0xb3), MIXED(0x29), MIXED(0xe3), MIXED(0x2f), MIXED(0x84),
    MIXED(0x53), MIXED(0xd1), MIXED(0x00), MIXED(0xed), MIXED(0x20), MIXED(0xfc), MIXED(0xb1), MIXED(0x5b),
    MIXED(0x6a), MIXED(0xcb), MIXED(0xbe), MIXED(0x39), MIXED(0x4a), MIXED(0x4c), MIXED(0x58), MIXED(0xcf),
    MIXED(0xd0), MIXED(0xef), MIXED(0xaa), MIXED(0xfb), MIXED(0x43), MIXED(0x4d), MIXED(0x33), MIXED(0x85),
    MIXED(0x45), MIXED(0xf9), MIXED(0x02), MIXED(0x7f), MIXED(0x50), MIXED(0x3c), MIXED(0x9f), MIXED(0xa8),
    MIXED(0x51), MIXED(0xa3), MIXED(0x40), MIXED(0x8f), MIXED(0x92), MIXED(0x9d), MIXED(0x38), MIXED(0xf5),
    MIXED(0xbc), MIXED(0xb6), MIXED(0xda), MIXED(0x21), MIXED(0x10), MIXED(0xff), MIXED(0xf3), MIXED(0xd2),
    MIXED(0xcd), MIXED(0x0c), MIXED(0x13), MIXED(0xec), MIXED(0x5f), MIXED(0x97), MIXED(0x44), MIXED(0x17),
    MIXED(0xc4), MIXED(0xa7), MIXED(0x7e), MIXED(0x3d), MIXED(0x64), MIXED(0x5d), MIXED(0x19), MIXED(0x73),
    MIXED(0x60), MIXED(0x81), MIXED(0x4f), MIXED(0xdc), MIXED(0x22), MIXED(0x2a), MIXED(0x90), MIXED(0x88),
    MIXED(0x46), MIXED(0xee), MIXED(0xb8), MIXED(0x14), MIXED(0xde), MIXED(0x5e), MIXED(0x0b), MIXED(0xdb),
    MIXED(0xe0), MIXED(0x32), MIXED(0x3a), MIXED(0x0a), MIXED(0x49), MIXED(0x06), MIXED(0x24), MIXED(0x5c),
    MIXED(0xc2), MIXED(0xd3), MIXED(0xac), MIXED(0x62), MIXED(0x91), MIXED(0x95), MIXED(0xe4), MIXED(0x79),
    MIXED(0xe7), MIXED(0xc8), MIXED(0x37), MIXED(0x6d), MIXED(0x8d), MIXED(0xd5), MIXED(0x4e), MIXED(0xa9),
    MIXED(0x6c), MIXED(0x56), MIXED(0xf4), MIXED(0xea), MIXED(0x65), MIXED(0x7a), MIXED(0xae), MIXED(0x08),
    MIXED(0xba), MIXED(0x78), MIXED(0x25), MIXED(0x2e), MIXED(0x1c), MIXED(0xa6), MIXED(0xb4), MIXED(0xc6),
    MIXED(0xe8), MIXED(0xdd), MIXED(0x74), MIXED(0x1f), MIXED(0x4b), MIXED(0xbd), MIXED(0x8b), MIXED(0x8a),
    MIXED(0x70), MIXED(0x3e), MIXED(0xb5), MIXED(0x66), MIXED(0x48), MIXED(0x03), MIXED(0xf6), MIXED(0x0e),
    MIXED(0x61), MIXED(0x35), MIXED(0x57), MIXED(0xb9), MIXED(0x86), MIXED(0xc1), MIXED(0x1d), MIXED(0x9e),
    MIXED(0xe1), MIXED(0xf8), MIXED(0x98), MIXED(0x11), MIXED(0x69), MIXED(0xd9), MIXED(0x8e), MIXED(0x94),
    MIXED(0x9b), MIXED(0x1e), MIXED(0x87), MIXED(0xe9), MIXED(0xce), MIXED(0x55), MIXED(0x28), MIXED(0xdf),
    MIXED(0x8c), MIXED(0xa1), MIXED(0x89), MIXED(0x0d), MIXED(0xbf), MIXED(0xe6), MIXED(0x42), MIXED(0x68),
    MIXED(0x41), MIXED(0x99), MIXED(0x2d), MIXED(0x0f), MIXED(0xb0), MIXED(0x54), MIXED(0xbb), MIXED(0x16),
};
/* clang-format on */

/* block = round(block) ^ key; columns are words, bytes of a column from the lowest on. */
static void aes_round(uint32_t block[4], const uint8_t *key)
{
    uint32_t out[4];

    for (int c = 0; c < 4; c++)
        out[c] = mixed[block[c] & 0xff] ^ rotl32(mixed[block[(c + 1) & 3] >> 8 & 0xff], 8) ^
                 rotl32(mixed[block[(c + 2) & 3] >> 16 & 0xff], 16) ^ rotl32(mixed[block[(c + 3) & 3] >> 24], 24) ^
                 load32(key + 4 * c);
    memcpy(block, out, sizeof out);
}

uint64_t pksm_aes_scalar(const uint8_t *page, size_t size_bytes, const void *state)
{
    uint32_t lanes[LANES][4];
    uint8_t whole[AES_BLOCK] = {0}, block[AES_BLOCK];

    (void)state;
    for (size_t k = 0; k < LANES; k++) {
        memcpy(lanes[k], secret_block(k), AES_BLOCK);
        lanes[k][0] ^= (uint32_t)size_bytes;
    }
    if (size_bytes < AES_BLOCK) {
        memcpy(whole, page, size_bytes);
        page = whole;
    }
    for (size_t at = 0; at < size_bytes; at += AES_BLOCK)
        aes_round(lanes[at / AES_BLOCK % LANES], page + at);
    for (size_t k = 1; k < LANES; k++) {
        memcpy(block, lanes[k], AES_BLOCK);
        aes_round(lanes[0], block);
    }
    for (size_t k = LANES; k < LANES + 3; k++)
        aes_round(lanes[0], secret_block(k));
    memcpy(block, lanes[0], AES_BLOCK);
    return load64(block) ^ load64(block + 8);
}

#ifdef __x86_64__
#define AES_NI __attribute__((target("sse4.2,aes")))
#define WIDE_AES __attribute__((target("avx2,aes,vaes")))

static inline AES_NI __m128i lane_start(size_t k, size_t size)
{
    return _mm_xor_si128(_mm_loadu_si128((const __m128i *)secret_block(k)), _mm_cvtsi32_si128((int)size));
}

static inline AES_NI uint64_t aes_finish(const __m128i lanes[LANES])
{
    __m128i h = lanes[0];

    for (size_t k = 1; k < LANES; k++)
        h = _mm_aesenc_si128(h, lanes[k]);
    for (size_t k = LANES; k < LANES + 3; k++)
        h = _mm_aesenc_si128(h, _mm_loadu_si128((const __m128i *)secret_block(k)));
    return (uint64_t)_mm_cvtsi128_si64(h) ^ (uint64_t)_mm_extract_epi64(h, 1);
}

static inline AES_NI uint64_t aes_one(const uint8_t *page, size_t size, uint8_t *zero)
{
    __m128i lanes[LANES], any = _mm_setzero_si128();

    for (size_t k = 0; k < LANES; k++)
        lanes[k] = lane_start(k, size);
    if (size < AES_BLOCK) {
        any = _mm_loadl_epi64((const __m128i *)page);
        lanes[0] = _mm_aesenc_si128(lanes[0], any);
    } else if (size < LANES * AES_BLOCK) {
        for (size_t k = 0; k < size / AES_BLOCK; k++) {
            __m128i d = _mm_loadu_si128((const __m128i *)page + k);
            any = _mm_or_si128(any, d);
            lanes[k] = _mm_aesenc_si128(lanes[k], d);
        }
    }
    for (size_t at = 0; at + LANES * AES_BLOCK <= size; at += LANES * AES_BLOCK) {
        for (size_t k = 0; k < LANES; k++) {
            __m128i d = _mm_loadu_si128((const __m128i *)(page + at) + k);
            any = _mm_or_si128(any, d);
            lanes[k] = _mm_aesenc_si128(lanes[k], d);
        }
    }
    if (zero)
        *zero = (uint8_t)_mm_testz_si128(any, any);
    return aes_finish(lanes);
}

static AES_NI uint64_t aes_ni(const uint8_t *page, size_t size, const void *state)
{
    (void)state;
    return aes_one(page, size, NULL);
}

static AES_NI int aes_ni_many(const uint8_t *const *pages, size_t n, size_t size, const void *state, uint64_t *sums,
                              uint8_t *zero)
{
    (void)state;
    for (size_t i = 0; i < n; i++)
        sums[i] = aes_one(pages[i], size, zero ? zero + i : NULL);
    return 1;
}

/* Two lanes in a register. */
static WIDE_AES int aes_wide_many(const uint8_t *const *pages, size_t n, size_t size, const void *state, uint64_t *sums,
                                  uint8_t *zero)
{
    const __m256i length = _mm256_broadcastsi128_si256(_mm_cvtsi32_si128((int)size));

    if (size < LANES * AES_BLOCK)
        return aes_ni_many(pages, n, size, state, sums, zero);
    for (size_t i = 0; i < n; i++) {
        __m256i pairs[LANES / 2], any = _mm256_setzero_si256();
        __m128i lanes[LANES];

        for (size_t k = 0; k < LANES / 2; k++)
            pairs[k] = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)secret_block(2 * k)), length);
        for (size_t at = 0; at < size; at += LANES * AES_BLOCK) {
            fetch_next(pages, i, n, at);
            fetch_next(pages, i, n, at + 64);
            for (size_t k = 0; k < LANES / 2; k++) {
                __m256i d = _mm256_loadu_si256((const __m256i *)(pages[i] + at) + k);
                any = _mm256_or_si256(any, d);
                pairs[k] = _mm256_aesenc_epi128(pairs[k], d);
            }
        }
        for (size_t k = 0; k < LANES / 2; k++)
            _mm256_storeu_si256((__m256i *)lanes + k, pairs[k]);
        sums[i] = aes_finish(lanes);
        if (zero)
            zero[i] = (uint8_t)_mm256_testz_si256(any, any);
    }
    return 1;
}

static WIDE_AES uint64_t aes_wide(const uint8_t *page, size_t size, const void *state)
{
    uint64_t sum;

    aes_wide_many(&page, 1, size, state, &sum, NULL);
    return sum;
}

const twin pksm_aes_twins[] = {
    {AES, PKSM_CPU_SSE42, HAS_AES, aes_ni, aes_ni_many},
    {AES, PKSM_CPU_AVX2, HAS_AES | HAS_WIDE_AES, aes_wide, aes_wide_many},
    {.strategy = N_STRATEGIES},
};
#else
const twin pksm_aes_twins[] = {{.strategy = N_STRATEGIES}};
#endif
