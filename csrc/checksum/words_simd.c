/* checksum/words_simd.c: wider twins of words.c, bit for bit the same.
 *
 * Each of these is a chain within its page, so eight pages are worked side by side, one in each 32-bit lane. */
#include "checksum.h"

#ifdef __x86_64__
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

/* Fetches what eight pages, read side by side, need next; once a cache line. */
static inline void fetch_eight(const uint8_t *const *pages, size_t n, size_t size, size_t at)
{
    if (at % 64 == 0)
        for (size_t r = 0; r < 8; r++)
            fetch_ahead(pages, r, 8, n, size, at);
}

static inline AVX2 void store_eight(__m256i h, uint64_t *sums)
{
    _mm256_storeu_si256((__m256i *)sums, _mm256_cvtepu32_epi64(_mm256_castsi256_si128(h)));
    _mm256_storeu_si256((__m256i *)(sums + 4), _mm256_cvtepu32_epi64(_mm256_extracti128_si256(h, 1)));
}

/* A kernel of eight pages at a time as one of many; below `least` bytes, and what is left over, goes alone. */
#define MANY(name, eight, least, scalar)                                                                        \
    static AVX2 int name(const uint8_t *const *pages, size_t n, size_t size, const void *state, uint64_t *sums, \
                         uint8_t *zero)                                                                         \
    {                                                                                                           \
        size_t i = 0;                                                                                           \
                                                                                                                \
        (void)zero;                                                                                             \
        if (size >= (least))                                                                                    \
            for (; i + 8 <= n; i += 8)                                                                          \
                eight(pages + i, n - i, size, state, sums + i);                                                 \
        for (; i < n; i++)                                                                                      \
            sums[i] = scalar(pages[i], size, state);                                                            \
        return 0;                                                                                               \
    }

/* ---- jhash2 ---- */
#define STEP_MIX(x, y, z, bits) \
    (x = _mm256_xor_si256(_mm256_sub_epi32(x, z), rotl_avx2(z, bits)), z = _mm256_add_epi32(z, y))
#define STEP_END(x, y, bits) (x = _mm256_sub_epi32(_mm256_xor_si256(x, y), rotl_avx2(y, bits)))

/* The first eight of n pages. */
static AVX2 void jhash2_eight(const uint8_t *const *pages, size_t n, size_t size, const void *state, uint64_t *sums)
{
    size_t words = size / 4, used = 0, have = 0;
    __m256i a = _mm256_set1_epi32((int)(0xdeadbeefu + (uint32_t)size + 17)), b = a, c = a;
    __m256i queue[16]; /* words loaded and not yet mixed, from queue[used & 15] on */

    (void)state;
    for (; words - used > 3; used += 3) {
        for (; have < used + 3; have += 8) {
            load_transposed(pages, have * 4, queue + (have & 8));
            fetch_eight(pages, n, size, have * 4);
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
    store_eight(c, sums);
}
MANY(jhash2_many, jhash2_eight, 32, pksm_jhash2_scalar)

/* ---- murmur3-32 ---- */
static AVX2 void murmur3_eight(const uint8_t *const *pages, size_t n, size_t size, const void *state, uint64_t *sums)
{
    __m256i h = _mm256_setzero_si256(), rows[8];

    (void)state;
    for (size_t at = 0; at < size; at += 32) {
        load_transposed(pages, at, rows);
        fetch_eight(pages, n, size, at);
        for (int w = 0; w < 8; w++) {
            __m256i k = rotl_avx2(_mm256_mullo_epi32(rows[w], _mm256_set1_epi32((int)0xcc9e2d51u)), 15);
            h = _mm256_xor_si256(h, _mm256_mullo_epi32(k, _mm256_set1_epi32(0x1b873593)));
            h = rotl_avx2(h, 13);
            h = _mm256_add_epi32(_mm256_add_epi32(h, _mm256_set1_epi32((int)0xe6546b64u)), _mm256_slli_epi32(h, 2));
        }
    }
    h = _mm256_xor_si256(h, _mm256_set1_epi32((int)size));
    h = _mm256_mullo_epi32(_mm256_xor_si256(h, _mm256_srli_epi32(h, 16)), _mm256_set1_epi32((int)0x85ebca6bu));
    h = _mm256_mullo_epi32(_mm256_xor_si256(h, _mm256_srli_epi32(h, 13)), _mm256_set1_epi32((int)0xc2b2ae35u));
    store_eight(_mm256_xor_si256(h, _mm256_srli_epi32(h, 16)), sums);
}
MANY(murmur3_many, murmur3_eight, 32, pksm_murmur3_32_scalar)

/* ---- superfast ---- */
static AVX2 void superfast_eight(const uint8_t *const *pages, size_t n, size_t size, const void *state, uint64_t *sums)
{
    __m256i h = _mm256_set1_epi32((int)size), rows[8];

    (void)state;
    for (size_t at = 0; at < size; at += 32) {
        load_transposed(pages, at, rows);
        fetch_eight(pages, n, size, at);
        for (int w = 0; w < 8; w++) {
            __m256i high = _mm256_slli_epi32(_mm256_srli_epi32(rows[w], 16), 11);
            h = _mm256_add_epi32(h, _mm256_and_si256(rows[w], _mm256_set1_epi32(0xffff)));
            h = _mm256_xor_si256(_mm256_xor_si256(_mm256_slli_epi32(h, 16), h), high);
            h = _mm256_add_epi32(h, _mm256_srli_epi32(h, 11));
        }
    }
    h = _mm256_xor_si256(h, _mm256_slli_epi32(h, 3));
    h = _mm256_add_epi32(h, _mm256_srli_epi32(h, 5));
    h = _mm256_xor_si256(h, _mm256_slli_epi32(h, 4));
    h = _mm256_add_epi32(h, _mm256_srli_epi32(h, 17));
    h = _mm256_xor_si256(h, _mm256_slli_epi32(h, 25));
    store_eight(_mm256_add_epi32(h, _mm256_srli_epi32(h, 6)), sums);
}
MANY(superfast_many, superfast_eight, 32, pksm_superfast_scalar)

/* ---- partial: jhash2 of the same part of each page ---- */
static AVX2 void partial_eight(const uint8_t *const *pages, size_t n, size_t size, const void *state, uint64_t *sums)
{
    const pksm_sample *part = state;
    const uint8_t *parts[8];

    (void)size;
    if (part->run % 8) {
        for (int k = 0; k < 8; k++)
            sums[k] = pksm_partial_scalar(pages[k], size, state);
        return;
    }
    for (size_t k = 8; k < 16 && k < n; k++)
        for (size_t at = 0; at < part->run * 4; at += 64)
            _mm_prefetch((const char *)pages[k] + (size_t)part->words[0] * 4 + at, _MM_HINT_T0);
    for (int k = 0; k < 8; k++)
        parts[k] = pages[k] + (size_t)part->words[0] * 4;
    jhash2_eight(parts, 8, part->run * 4, NULL, sums);
}
MANY(partial_many, partial_eight, 8, pksm_partial_scalar)

/* ---- sampled, sampled-lines ---- */
static inline AVX2 __m256i sample_mix(__m256i h, __m256i words)
{
    h = _mm256_add_epi32(h, words);
    h = _mm256_add_epi32(h, _mm256_slli_epi32(h, 8));
    return _mm256_xor_si256(h, _mm256_srli_epi32(h, 12));
}

/* Fetches a line of pages[8 .. 15]. */
static INLINE void fetch_line(const uint8_t *const *pages, size_t n, size_t at)
{
    for (size_t k = 8; k < 16 && k < n; k++)
        __builtin_prefetch(pages[k] + at, 0, 2);
}

static AVX2 void sampled_eight(const uint8_t *const *pages, size_t n, size_t size, const void *state, uint64_t *sums)
{
    const pksm_sample *sample = state;
    __m256i low = _mm256_loadu_si256((const __m256i *)pages), high = _mm256_loadu_si256((const __m256i *)(pages + 4));
    __m256i h = _mm256_set1_epi32((int)0xdeadbeefu), rows[8];
    size_t run = sample->run, lines = size / 64, line = 0, due = 0;
    int in_order = lines &&
                   3 * sample->n_words >= lines; /* all lines in order come sooner than a third of them at random */

    for (uint64_t i = 0; i < sample->n_words; i++) {
        size_t at = (size_t)sample->words[i] * 4;

        if (in_order)
            for (due += lines; due >= sample->n_words; due -= sample->n_words)
                fetch_line(pages, n, 64 * line++);
        else
            fetch_line(pages, n, at);
        for (size_t k = 0; k < run; k++, at += 4) {
            if (run - k >= 8) {
                load_transposed(pages, at, rows);
                for (int w = 0; w < 8; w++)
                    h = sample_mix(h, rows[w]);
                k += 7, at += 28;
            } else {
                __m256i offset = _mm256_set1_epi64x((long long)at);
                __m128i of_low = _mm256_i64gather_epi32((const int *)0, _mm256_add_epi64(low, offset), 1);
                __m128i of_high = _mm256_i64gather_epi32((const int *)0, _mm256_add_epi64(high, offset), 1);
                h = sample_mix(h, _mm256_set_m128i(of_high, of_low));
            }
        }
    }
    store_eight(h, sums);
}
MANY(sampled_many, sampled_eight, 8, pksm_sampled_scalar)

const twin pksm_word_twins[] = {
    {JHASH2, PKSM_CPU_AVX2, 0, NULL, jhash2_many},
    {MURMUR3_32, PKSM_CPU_AVX2, 0, NULL, murmur3_many},
    {SUPERFAST, PKSM_CPU_AVX2, 0, NULL, superfast_many},
    {SAMPLED, PKSM_CPU_AVX2, 0, NULL, sampled_many},
    {SAMPLED_LINES, PKSM_CPU_AVX2, 0, NULL, sampled_many},
    {PARTIAL, PKSM_CPU_AVX2, 0, NULL, partial_many},
    {.strategy = N_STRATEGIES},
};
#else
const twin pksm_word_twins[] = {{.strategy = N_STRATEGIES}};
#endif
