/* checksum/xxh_simd.c: wider twins of XXH32 and XXH64, bit for bit the same.
 *
 * Their four lanes are chains of multiplications, so two pages lie in one register, and several registers are worked
 * side by side. */
#include "checksum.h"

#ifdef __x86_64__
enum { PAGES = 8, PAIRS = PAGES / 2 };

static AVX2 void xxh32_eight(const uint8_t *const *pages, size_t n, size_t size, uint64_t *sums)
{
    const __m256i prime1 = _mm256_set1_epi32((int)XXH32_1), prime2 = _mm256_set1_epi32((int)XXH32_2);
    const __m128i start = _mm_setr_epi32((int)(XXH32_1 + XXH32_2), (int)XXH32_2, 0, (int)(0 - XXH32_1));
    __m256i acc[PAIRS];
    uint32_t lanes[8];

    for (int k = 0; k < PAIRS; k++)
        acc[k] = _mm256_broadcastsi128_si256(start);
    for (size_t at = 0; at < size; at += 16) {
        if (at % 64 == 0)
            for (size_t k = 0; k < PAGES; k++)
                fetch_ahead(pages, k, PAGES, n, size, at);
        for (int k = 0; k < PAIRS; k++) {
            __m256i d = _mm256_loadu2_m128i((const __m128i *)(pages[2 * k + 1] + at),
                                            (const __m128i *)(pages[2 * k] + at));
            __m256i a = _mm256_add_epi32(acc[k], _mm256_mullo_epi32(d, prime2));
            a = _mm256_or_si256(_mm256_slli_epi32(a, 13), _mm256_srli_epi32(a, 19));
            acc[k] = _mm256_mullo_epi32(a, prime1);
        }
    }
    for (int k = 0; k < PAIRS; k++) {
        _mm256_storeu_si256((__m256i *)lanes, acc[k]);
        sums[2 * k] = pksm_xxh32_finish(lanes, size);
        sums[2 * k + 1] = pksm_xxh32_finish(lanes + 4, size);
    }
}

static AVX2 int xxh32_many(const uint8_t *const *pages, size_t n, size_t size, const void *state, uint64_t *sums,
                           uint8_t *zero)
{
    size_t i = 0;

    (void)zero;
    if (size >= 16)
        for (; i + PAGES <= n; i += PAGES)
            xxh32_eight(pages + i, n - i, size, sums + i);
    for (; i < n; i++)
        sums[i] = pksm_xxh32_scalar(pages[i], size, state);
    return 0;
}

static AVX512 void xxh64_eight(const uint8_t *const *pages, size_t n, size_t size, uint64_t *sums)
{
    const __m512i prime1 = _mm512_set1_epi64((long long)XXH64_1), prime2 = _mm512_set1_epi64((long long)XXH64_2);
    const __m256i start = _mm256_setr_epi64x((long long)(XXH64_1 + XXH64_2), (long long)XXH64_2, 0,
                                             (long long)(0 - XXH64_1));
    __m512i acc[PAIRS];
    uint64_t lanes[8];

    for (int k = 0; k < PAIRS; k++)
        acc[k] = _mm512_broadcast_i64x4(start);
    for (size_t at = 0; at < size; at += 32) {
        if (at % 64 == 0)
            for (size_t k = 0; k < PAGES; k++)
                fetch_ahead(pages, k, PAGES, n, size, at);
        for (int k = 0; k < PAIRS; k++) {
            __m512i d = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(pages[2 * k] + at)));
            d = _mm512_inserti64x4(d, _mm256_loadu_si256((const __m256i *)(pages[2 * k + 1] + at)), 1);
            d = _mm512_add_epi64(acc[k], _mm512_mullo_epi64(d, prime2));
            acc[k] = _mm512_mullo_epi64(_mm512_rol_epi64(d, 31), prime1);
        }
    }
    for (int k = 0; k < PAIRS; k++) {
        _mm512_storeu_si512(lanes, acc[k]);
        sums[2 * k] = pksm_xxh64_finish(lanes, size);
        sums[2 * k + 1] = pksm_xxh64_finish(lanes + 4, size);
    }
}

static AVX512 int xxh64_many(const uint8_t *const *pages, size_t n, size_t size, const void *state, uint64_t *sums,
                             uint8_t *zero)
{
    size_t i = 0;

    (void)zero;
    if (size >= 32)
        for (; i + PAGES <= n; i += PAGES)
            xxh64_eight(pages + i, n - i, size, sums + i);
    for (; i < n; i++)
        sums[i] = pksm_xxh64_scalar(pages[i], size, state);
    return 0;
}

static AVX512 int xxh64_trunc32_many(const uint8_t *const *pages, size_t n, size_t size, const void *state,
                                     uint64_t *sums, uint8_t *zero)
{
    int told = xxh64_many(pages, n, size, state, sums, zero);

    for (size_t i = 0; i < n; i++)
        sums[i] &= 0xffffffff;
    return told;
}

const twin pksm_xxh_twins[] = {
    {XXH32, PKSM_CPU_AVX2, 0, NULL, xxh32_many},
    {XXH64, PKSM_CPU_AVX512, 0, NULL, xxh64_many},
    {XXH64_TRUNC32, PKSM_CPU_AVX512, 0, NULL, xxh64_trunc32_many},
    {.strategy = N_STRATEGIES},
};
#else
const twin pksm_xxh_twins[] = {{.strategy = N_STRATEGIES}};
#endif
