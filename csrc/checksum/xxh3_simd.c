/* checksum/xxh3_simd.c: wider twins of our default, XXH3, bit for bit the same; vectorised within the page. */
#include "checksum.h"

#ifdef __x86_64__
enum { XXH3_BLOCK = 1024 }; /* bytes of XXH3 between two scrambles */

enum { BIG = 1 << 15 }; /* bytes of a page whose start is not worth fetching: it would be gone before its turn */

/* Where to fetch from while page i is summed: the next page; null if the processor sees that one coming itself, because
 * it lies right behind this one. */
static inline const uint8_t *page_ahead(const uint8_t *const *pages, size_t i, size_t n, size_t size)
{
    return i + 1 < n && size < BIG && pages[i + 1] != pages[i] + size ? pages[i + 1] : NULL;
}

/* Fetches a block into the second cache level: the first can wait for too few lines at a time. */
static inline void fetch_block(const uint8_t *block)
{
    for (int line = 0; line < XXH3_BLOCK; line += 64)
        __builtin_prefetch(block + line, 0, 2);
}

/* ---- XXH3 ---- */
#define XXH3_SUM_AND_MANY(level, TARGET)                                                     \
    static TARGET uint64_t xxh3_##level(const uint8_t *page, size_t size, const void *state) \
    {                                                                                        \
        uint64_t sum;                                                                        \
        xxh3_many_##level(&page, 1, size, state, &sum, NULL);                                \
        return sum;                                                                          \
    }

/* Stripes of the block at `at`: the last one of a page is summed by itself, with a key of its own. */
static inline size_t stripes_of_block(size_t size, size_t at)
{
    return at + XXH3_BLOCK < size ? XXH3_BLOCK / 64 : (size - 1 - at) / 64;
}

/* Adds a stripe to the lanes; returns `any` or all that is set in the stripe. */
static inline SSE42 __m128i xxh3_stripe_sse42(__m128i acc[4], const uint8_t *stripe, const uint8_t *secret, __m128i any)
{
    for (int k = 0; k < 4; k++) {
        __m128i d = _mm_loadu_si128((const __m128i *)stripe + k);
        __m128i keyed = _mm_xor_si128(d, _mm_loadu_si128((const __m128i *)secret + k));
        any = _mm_or_si128(any, d);
        acc[k] = _mm_add_epi64(acc[k], _mm_shuffle_epi32(d, 0x4e));
        acc[k] = _mm_add_epi64(acc[k], _mm_mul_epu32(keyed, _mm_srli_epi64(keyed, 32)));
    }
    return any;
}

static SSE42 int xxh3_many_sse42(const uint8_t *const *pages, size_t n, size_t size, const void *state, uint64_t *sums,
                                 uint8_t *zero)
{
    static const uint64_t lanes[8] = XXH3_LANES;

    (void)state;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *ahead = page_ahead(pages, i, n, size);
        __m128i acc[4], any = _mm_setzero_si128();
        uint64_t out[8];

        if (size < 256) {
            sums[i] = pksm_xxh3_short(pages[i], size);
            if (zero)
                zero[i] = (uint8_t)pksm_page_is_zero_scalar(pages[i], size);
            continue;
        }
        for (int k = 0; k < 4; k++)
            acc[k] = _mm_loadu_si128((const __m128i *)lanes + k);
        for (size_t at = 0; at < size; at += XXH3_BLOCK) {
            size_t stripes = stripes_of_block(size, at);
            if (ahead)
                fetch_block(ahead + at);
            for (size_t s = 0; s < stripes; s++)
                any = xxh3_stripe_sse42(acc, pages[i] + at + 64 * s, pksm_xxh3_secret + 8 * s, any);
            if (stripes == 16) {
                const __m128i prime = _mm_set1_epi32((int)0x9E3779B1u);
                for (int k = 0; k < 4; k++) {
                    __m128i a = _mm_xor_si128(acc[k], _mm_srli_epi64(acc[k], 47));
                    a = _mm_xor_si128(a, _mm_loadu_si128((const __m128i *)(pksm_xxh3_secret + 128) + k));
                    acc[k] = _mm_add_epi64(_mm_mul_epu32(a, prime),
                                           _mm_slli_epi64(_mm_mul_epu32(_mm_srli_epi64(a, 32), prime), 32));
                }
            }
        }
        any = xxh3_stripe_sse42(acc, pages[i] + size - 64, pksm_xxh3_secret + 121, any);
        for (int k = 0; k < 4; k++)
            _mm_storeu_si128((__m128i *)out + k, acc[k]);
        sums[i] = pksm_xxh3_finish(out, size);
        if (zero)
            zero[i] = (uint8_t)_mm_testz_si128(any, any);
    }
    return 1;
}
XXH3_SUM_AND_MANY(sse42, SSE42)

static inline AVX2 __m256i xxh3_stripe_avx2(__m256i acc[2], const uint8_t *stripe, const uint8_t *secret, __m256i any)
{
    for (int k = 0; k < 2; k++) {
        __m256i d = _mm256_loadu_si256((const __m256i *)stripe + k);
        __m256i keyed = _mm256_xor_si256(d, _mm256_loadu_si256((const __m256i *)secret + k));
        any = _mm256_or_si256(any, d);
        acc[k] = _mm256_add_epi64(acc[k], _mm256_shuffle_epi32(d, 0x4e));
        acc[k] = _mm256_add_epi64(acc[k], _mm256_mul_epu32(keyed, _mm256_srli_epi64(keyed, 32)));
    }
    return any;
}

static AVX2 int xxh3_many_avx2(const uint8_t *const *pages, size_t n, size_t size, const void *state, uint64_t *sums,
                               uint8_t *zero)
{
    static const uint64_t lanes[8] = XXH3_LANES;
    const __m256i prime = _mm256_set1_epi32((int)0x9E3779B1u);

    if (size < 256)
        return xxh3_many_sse42(pages, n, size, state, sums, zero);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *ahead = page_ahead(pages, i, n, size);
        __m256i acc[2], any = _mm256_setzero_si256();
        uint64_t out[8];

        for (int k = 0; k < 2; k++)
            acc[k] = _mm256_loadu_si256((const __m256i *)lanes + k);
        for (size_t at = 0; at < size; at += XXH3_BLOCK) {
            size_t stripes = stripes_of_block(size, at);
            if (ahead)
                fetch_block(ahead + at);
            for (size_t s = 0; s < stripes; s++)
                any = xxh3_stripe_avx2(acc, pages[i] + at + 64 * s, pksm_xxh3_secret + 8 * s, any);
            if (stripes == 16) {
                for (int k = 0; k < 2; k++) {
                    __m256i a = _mm256_xor_si256(acc[k], _mm256_srli_epi64(acc[k], 47));
                    a = _mm256_xor_si256(a, _mm256_loadu_si256((const __m256i *)(pksm_xxh3_secret + 128) + k));
                    acc[k] = _mm256_add_epi64(_mm256_mul_epu32(a, prime),
                                              _mm256_slli_epi64(_mm256_mul_epu32(_mm256_srli_epi64(a, 32), prime), 32));
                }
            }
        }
        any = xxh3_stripe_avx2(acc, pages[i] + size - 64, pksm_xxh3_secret + 121, any);
        for (int k = 0; k < 2; k++)
            _mm256_storeu_si256((__m256i *)out + k, acc[k]);
        sums[i] = pksm_xxh3_finish(out, size);
        if (zero)
            zero[i] = (uint8_t)_mm256_testz_si256(any, any);
    }
    return 1;
}
XXH3_SUM_AND_MANY(avx2, AVX2)

static inline AVX512 __m512i xxh3_stripe_avx512(__m512i *acc, const uint8_t *stripe, const uint8_t *secret, __m512i any)
{
    __m512i d = _mm512_loadu_si512(stripe);
    __m512i keyed = _mm512_xor_si512(d, _mm512_loadu_si512(secret));

    *acc = _mm512_add_epi64(*acc, _mm512_shuffle_epi32(d, 0x4e));
    *acc = _mm512_add_epi64(*acc, _mm512_mul_epu32(keyed, _mm512_srli_epi64(keyed, 32)));
    return _mm512_or_si512(any, d);
}

static AVX512 int xxh3_many_avx512(const uint8_t *const *pages, size_t n, size_t size, const void *state,
                                   uint64_t *sums, uint8_t *zero)
{
    static const uint64_t lanes[8] = XXH3_LANES;
    const __m512i prime = _mm512_set1_epi32((int)0x9E3779B1u);
    const __m512i scramble = _mm512_loadu_si512(pksm_xxh3_secret + 128);

    if (size < 256)
        return xxh3_many_sse42(pages, n, size, state, sums, zero);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *ahead = page_ahead(pages, i, n, size);
        __m512i acc = _mm512_loadu_si512(lanes), any = _mm512_setzero_si512();
        uint64_t out[8];

        for (size_t at = 0; at < size; at += XXH3_BLOCK) {
            size_t stripes = stripes_of_block(size, at);
            if (ahead)
                fetch_block(ahead + at);
            for (size_t s = 0; s < stripes; s++)
                any = xxh3_stripe_avx512(&acc, pages[i] + at + 64 * s, pksm_xxh3_secret + 8 * s, any);
            if (stripes == 16) {
                __m512i a = _mm512_ternarylogic_epi64(acc, _mm512_srli_epi64(acc, 47), scramble, 0x96);
                acc = _mm512_add_epi64(_mm512_mul_epu32(a, prime),
                                       _mm512_slli_epi64(_mm512_mul_epu32(_mm512_srli_epi64(a, 32), prime), 32));
            }
        }
        any = xxh3_stripe_avx512(&acc, pages[i] + size - 64, pksm_xxh3_secret + 121, any);
        _mm512_storeu_si512(out, acc);
        sums[i] = pksm_xxh3_finish(out, size);
        if (zero)
            zero[i] = !_mm512_test_epi64_mask(any, any);
    }
    return 1;
}
XXH3_SUM_AND_MANY(avx512, AVX512)

const twin pksm_xxh3_twins[] = {
    {XXH3_64, PKSM_CPU_SSE42, 0, xxh3_sse42, xxh3_many_sse42},
    {XXH3_64, PKSM_CPU_AVX2, 0, xxh3_avx2, xxh3_many_avx2},
    {XXH3_64, PKSM_CPU_AVX512, 0, xxh3_avx512, xxh3_many_avx512},
    {.strategy = N_STRATEGIES},
};
#else
const twin pksm_xxh3_twins[] = {{.strategy = N_STRATEGIES}};
#endif
