/* checksum_simd.c: wider twins of the strategies in checksum.c, bit for bit the same.
 *
 * XXH3 is vectorised within the page; crc32c, jhash2 and the sample are chains within a page, so these work on
 * several pages side by side. */
#include "core.h"

#ifdef __x86_64__
#include <immintrin.h>

#define SSE42 __attribute__((target("sse4.2")))
#define AVX2 __attribute__((target("avx2")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))

enum { BLOCK = 1024 }; /* bytes of XXH3 between two scrambles; also how far ahead it fetches */

/* The cache lines that come after the block at `at`: of this page, or of the next one in the batch. */
static inline const uint8_t *block_ahead(const uint8_t *const *pages, size_t i, size_t n, size_t size, size_t at)
{
    if (at + 2 * BLOCK <= size)
        return pages[i] + at + BLOCK;
    return i + 1 < n ? pages[i + 1] : pages[i];
}

/* ---- XXH3 ---- */
#define XXH3_SUM_AND_MANY(level, TARGET)                                                                      \
    static TARGET uint64_t xxh3_##level(const uint8_t *page, size_t size, const void *state)                 \
    {                                                                                                         \
        uint64_t sum;                                                                                         \
        xxh3_many_##level(&page, 1, size, state, &sum, NULL);                                                 \
        return sum;                                                                                           \
    }

static SSE42 int xxh3_many_sse42(const uint8_t *const *pages, size_t n, size_t size, const void *state, uint64_t *sums,
                                 uint8_t *zero)
{
    static const uint64_t lanes[8] = XXH3_LANES;

    (void)state;
    for (size_t i = 0; i < n; i++) {
        __m128i acc[4], any = _mm_setzero_si128();
        uint64_t out[8];

        if (size < 256) {
            sums[i] = xxh3_short(pages[i], size);
            if (zero)
                zero[i] = (uint8_t)page_is_zero_scalar(pages[i], size);
            continue;
        }
        for (int k = 0; k < 4; k++)
            acc[k] = _mm_loadu_si128((const __m128i *)lanes + k);
        for (size_t s = 0, stripes = (size - 1) / 64; s <= stripes; s++) {
            int last = s == stripes;
            const uint8_t *data = pages[i] + 64 * s, *secret = xxh3_secret + (last ? 121 : 8 * (s & 15));
            if (!(s & 15) && !last)
                for (int line = 0; line < BLOCK; line += 64)
                    _mm_prefetch((const char *)block_ahead(pages, i, n, size, 64 * s) + line, _MM_HINT_T0);
            for (int k = 0; k < 4; k++) {
                __m128i d = _mm_loadu_si128((const __m128i *)data + k);
                __m128i keyed = _mm_xor_si128(d, _mm_loadu_si128((const __m128i *)secret + k));
                any = _mm_or_si128(any, d);
                acc[k] = _mm_add_epi64(acc[k], _mm_shuffle_epi32(d, 0x4e));
                acc[k] = _mm_add_epi64(acc[k], _mm_mul_epu32(keyed, _mm_srli_epi64(keyed, 32)));
            }
            if ((s & 15) == 15 && !last) {
                const __m128i prime = _mm_set1_epi32((int)0x9E3779B1u);
                for (int k = 0; k < 4; k++) {
                    __m128i a = _mm_xor_si128(acc[k], _mm_srli_epi64(acc[k], 47));
                    a = _mm_xor_si128(a, _mm_loadu_si128((const __m128i *)(xxh3_secret + 128) + k));
                    acc[k] = _mm_add_epi64(_mm_mul_epu32(a, prime),
                                           _mm_slli_epi64(_mm_mul_epu32(_mm_srli_epi64(a, 32), prime), 32));
                }
            }
        }
        for (int k = 0; k < 4; k++)
            _mm_storeu_si128((__m128i *)out + k, acc[k]);
        sums[i] = xxh3_finish(out, size);
        if (zero)
            zero[i] = (uint8_t)_mm_testz_si128(any, any);
    }
    return 1;
}
XXH3_SUM_AND_MANY(sse42, SSE42)

static AVX2 int xxh3_many_avx2(const uint8_t *const *pages, size_t n, size_t size, const void *state, uint64_t *sums,
                               uint8_t *zero)
{
    static const uint64_t lanes[8] = XXH3_LANES;
    const __m256i prime = _mm256_set1_epi32((int)0x9E3779B1u);

    if (size < 256)
        return xxh3_many_sse42(pages, n, size, state, sums, zero);
    for (size_t i = 0; i < n; i++) {
        __m256i acc[2], any = _mm256_setzero_si256();
        uint64_t out[8];

        for (int k = 0; k < 2; k++)
            acc[k] = _mm256_loadu_si256((const __m256i *)lanes + k);
        for (size_t s = 0, stripes = (size - 1) / 64; s <= stripes; s++) {
            int last = s == stripes;
            const uint8_t *data = pages[i] + 64 * s, *secret = xxh3_secret + (last ? 121 : 8 * (s & 15));
            if (!(s & 15) && !last)
                for (int line = 0; line < BLOCK; line += 64)
                    _mm_prefetch((const char *)block_ahead(pages, i, n, size, 64 * s) + line, _MM_HINT_T0);
            for (int k = 0; k < 2; k++) {
                __m256i d = _mm256_loadu_si256((const __m256i *)data + k);
                __m256i keyed = _mm256_xor_si256(d, _mm256_loadu_si256((const __m256i *)secret + k));
                any = _mm256_or_si256(any, d);
                acc[k] = _mm256_add_epi64(acc[k], _mm256_shuffle_epi32(d, 0x4e));
                acc[k] = _mm256_add_epi64(acc[k], _mm256_mul_epu32(keyed, _mm256_srli_epi64(keyed, 32)));
            }
            if ((s & 15) == 15 && !last) {
                for (int k = 0; k < 2; k++) {
                    __m256i a = _mm256_xor_si256(acc[k], _mm256_srli_epi64(acc[k], 47));
                    a = _mm256_xor_si256(a, _mm256_loadu_si256((const __m256i *)(xxh3_secret + 128) + k));
                    acc[k] = _mm256_add_epi64(_mm256_mul_epu32(a, prime),
                                              _mm256_slli_epi64(_mm256_mul_epu32(_mm256_srli_epi64(a, 32), prime), 32));
                }
            }
        }
        for (int k = 0; k < 2; k++)
            _mm256_storeu_si256((__m256i *)out + k, acc[k]);
        sums[i] = xxh3_finish(out, size);
        if (zero)
            zero[i] = (uint8_t)_mm256_testz_si256(any, any);
    }
    return 1;
}
XXH3_SUM_AND_MANY(avx2, AVX2)

static AVX512 int xxh3_many_avx512(const uint8_t *const *pages, size_t n, size_t size, const void *state,
                                   uint64_t *sums, uint8_t *zero)
{
    static const uint64_t lanes[8] = XXH3_LANES;
    const __m512i prime = _mm512_set1_epi32((int)0x9E3779B1u);
    const __m512i scramble = _mm512_loadu_si512(xxh3_secret + 128);

    if (size < 256)
        return xxh3_many_sse42(pages, n, size, state, sums, zero);
    for (size_t i = 0; i < n; i++) {
        __m512i acc = _mm512_loadu_si512(lanes), any = _mm512_setzero_si512();
        uint64_t out[8];

        for (size_t s = 0, stripes = (size - 1) / 64; s <= stripes; s++) {
            int last = s == stripes;
            __m512i d = _mm512_loadu_si512(pages[i] + 64 * s);
            __m512i keyed = _mm512_xor_si512(d, _mm512_loadu_si512(xxh3_secret + (last ? 121 : 8 * (s & 15))));
            if (!(s & 15) && !last)
                for (int line = 0; line < BLOCK; line += 64)
                    _mm_prefetch((const char *)block_ahead(pages, i, n, size, 64 * s) + line, _MM_HINT_T0);
            any = _mm512_or_si512(any, d);
            acc = _mm512_add_epi64(acc, _mm512_shuffle_epi32(d, 0x4e));
            acc = _mm512_add_epi64(acc, _mm512_mul_epu32(keyed, _mm512_srli_epi64(keyed, 32)));
            if ((s & 15) == 15 && !last) {
                __m512i a = _mm512_ternarylogic_epi64(acc, _mm512_srli_epi64(acc, 47), scramble, 0x96);
                acc = _mm512_add_epi64(_mm512_mul_epu32(a, prime),
                                       _mm512_slli_epi64(_mm512_mul_epu32(_mm512_srli_epi64(a, 32), prime), 32));
            }
        }
        _mm512_storeu_si512(out, acc);
        sums[i] = xxh3_finish(out, size);
        if (zero)
            zero[i] = !_mm512_test_epi64_mask(any, any);
    }
    return 1;
}
XXH3_SUM_AND_MANY(avx512, AVX512)

/* ---- crc32c: the instruction takes three cycles and starts every cycle, so three pages side by side ---- */
static SSE42 uint64_t crc32c_sse42(const uint8_t *page, size_t size, const void *state)
{
    uint64_t crc = 0xffffffff;

    (void)state;
    for (size_t at = 0; at < size; at += 8)
        crc = _mm_crc32_u64(crc, load64(page + at));
    return (uint32_t)~crc;
}

static SSE42 int crc32c_many_sse42(const uint8_t *const *pages, size_t n, size_t size, const void *state,
                                   uint64_t *sums, uint8_t *zero)
{
    size_t i = 0;

    (void)zero;
    for (; i + 3 <= n; i += 3) {
        uint64_t a = 0xffffffff, b = a, c = a;
        for (size_t at = 0; at < size; at += 8) {
            a = _mm_crc32_u64(a, load64(pages[i] + at));
            b = _mm_crc32_u64(b, load64(pages[i + 1] + at));
            c = _mm_crc32_u64(c, load64(pages[i + 2] + at));
        }
        sums[i] = (uint32_t)~a;
        sums[i + 1] = (uint32_t)~b;
        sums[i + 2] = (uint32_t)~c;
    }
    for (; i < n; i++)
        sums[i] = crc32c_sse42(pages[i], size, state);
    return 0;
}

/* ---- jhash2 and the sample: eight pages, one in each 32-bit lane ---- */
static inline AVX2 __m256i rotl_avx2(__m256i v, int bits)
{
    return _mm256_or_si256(_mm256_slli_epi32(v, bits), _mm256_srli_epi32(v, 32 - bits));
}

/* rows[r] = words 8*at .. 8*at+7 of page r  ->  rows[w] = word w of all eight pages */
static inline AVX2 void load_transposed(const uint8_t *const *pages, size_t at, __m256i rows[8])
{
    __m256i t[8], u[8];

    for (int r = 0; r < 8; r++)
        rows[r] = _mm256_loadu_si256((const __m256i *)(pages[r] + at));
    for (int r = 0; r < 8; r += 2) {
        t[r] = _mm256_unpacklo_epi32(rows[r], rows[r + 1]);
        t[r + 1] = _mm256_unpackhi_epi32(rows[r], rows[r + 1]);
    }
    for (int r = 0; r < 8; r += 4) {
        u[r] = _mm256_unpacklo_epi64(t[r], t[r + 2]);
        u[r + 1] = _mm256_unpackhi_epi64(t[r], t[r + 2]);
        u[r + 2] = _mm256_unpacklo_epi64(t[r + 1], t[r + 3]);
        u[r + 3] = _mm256_unpackhi_epi64(t[r + 1], t[r + 3]);
    }
    for (int r = 0; r < 4; r++) {
        rows[r] = _mm256_permute2x128_si256(u[r], u[r + 4], 0x20);
        rows[r + 4] = _mm256_permute2x128_si256(u[r], u[r + 4], 0x31);
    }
}

#define STEP_MIX(x, y, z, bits) (x = _mm256_xor_si256(_mm256_sub_epi32(x, z), rotl_avx2(z, bits)), z = _mm256_add_epi32(z, y))
#define STEP_END(x, y, bits) (x = _mm256_sub_epi32(_mm256_xor_si256(x, y), rotl_avx2(y, bits)))

static AVX2 void jhash2_eight(const uint8_t *const *pages, size_t size, uint64_t *sums)
{
    size_t words = size / 4, used = 0, have = 0;
    __m256i a = _mm256_set1_epi32((int)(0xdeadbeefu + (uint32_t)size + 17)), b = a, c = a;
    __m256i queue[16]; /* words loaded and not yet mixed, from queue[used & 7] on; two rounds, so that three lie in a row */
    uint32_t out[8];

    for (; words - used > 3; used += 3) {
        for (; have < used + 3; have += 8) {
            load_transposed(pages, have * 4, queue + (have & 8));
        }
        a = _mm256_add_epi32(a, queue[used & 15]);
        b = _mm256_add_epi32(b, queue[(used + 1) & 15]);
        c = _mm256_add_epi32(c, queue[(used + 2) & 15]);
        STEP_MIX(a, b, c, 4);
        STEP_MIX(b, c, a, 6);
        STEP_MIX(c, a, b, 8);
        STEP_MIX(a, b, c, 16);
        STEP_MIX(b, c, a, 19);
        STEP_MIX(c, a, b, 4);
    }
    for (; have < words; have += 8)
        load_transposed(pages, have * 4, queue + (have & 8));
    if (words - used >= 3)
        c = _mm256_add_epi32(c, queue[(used + 2) & 15]);
    if (words - used >= 2)
        b = _mm256_add_epi32(b, queue[(used + 1) & 15]);
    a = _mm256_add_epi32(a, queue[used & 15]);
    c = _mm256_xor_si256(c, b), c = _mm256_sub_epi32(c, rotl_avx2(b, 14));
    STEP_END(a, c, 11);
    STEP_END(b, a, 25);
    STEP_END(c, b, 16);
    STEP_END(a, c, 4);
    STEP_END(b, a, 14);
    STEP_END(c, b, 24);
    _mm256_storeu_si256((__m256i *)out, c);
    for (int k = 0; k < 8; k++)
        sums[k] = out[k];
}

static AVX2 int jhash2_many_avx2(const uint8_t *const *pages, size_t n, size_t size, const void *state, uint64_t *sums,
                                 uint8_t *zero)
{
    size_t i = 0;

    (void)zero;
    if (size >= 32)
        for (; i + 8 <= n; i += 8)
            jhash2_eight(pages + i, size, sums + i);
    for (; i < n; i++)
        sums[i] = jhash2_scalar(pages[i], size, state);
    return 0;
}

static AVX2 int sampled_many_avx2(const uint8_t *const *pages, size_t n, size_t size, const void *state,
                                  uint64_t *sums, uint8_t *zero)
{
    const pksm_sample *sample = state;
    size_t i = 0;

    (void)zero;
    for (; i + 8 <= n; i += 8) {
        __m256i low = _mm256_loadu_si256((const __m256i *)(pages + i));
        __m256i high = _mm256_loadu_si256((const __m256i *)(pages + i + 4));
        __m256i h = _mm256_set1_epi32((int)0xdeadbeefu);
        uint32_t out[8];

        for (uint64_t w = 0; w < sample->n_words; w++) {
            __m256i at = _mm256_set1_epi64x((long long)sample->words[w] * 4);
            __m128i of_low = _mm256_i64gather_epi32((const int *)0, _mm256_add_epi64(low, at), 1);
            __m128i of_high = _mm256_i64gather_epi32((const int *)0, _mm256_add_epi64(high, at), 1);
            h = _mm256_add_epi32(h, _mm256_set_m128i(of_high, of_low));
            h = _mm256_add_epi32(h, _mm256_slli_epi32(h, 8));
            h = _mm256_xor_si256(h, _mm256_srli_epi32(h, 12));
        }
        _mm256_storeu_si256((__m256i *)out, h);
        for (int k = 0; k < 8; k++)
            sums[i + k] = out[k];
    }
    for (; i < n; i++)
        sums[i] = sampled_scalar(pages[i], size, state);
    return 0;
}

const twin checksum_twins[] = {
    {XXH3_64, PKSM_CPU_SSE42, xxh3_sse42, xxh3_many_sse42},
    {XXH3_64, PKSM_CPU_AVX2, xxh3_avx2, xxh3_many_avx2},
    {XXH3_64, PKSM_CPU_AVX512, xxh3_avx512, xxh3_many_avx512},
    {CRC32C, PKSM_CPU_SSE42, crc32c_sse42, crc32c_many_sse42},
    {JHASH2, PKSM_CPU_AVX2, NULL, jhash2_many_avx2},
    {SAMPLED, PKSM_CPU_AVX2, NULL, sampled_many_avx2},
    {N_STRATEGIES, 0, NULL, NULL},
};
#else
const twin checksum_twins[] = {{N_STRATEGIES, 0, NULL, NULL}};
#endif
