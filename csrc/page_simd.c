/* page_simd.c: wider twins of the kernels in page.c; same results. Sizes that don't fill a step go to scalar. */
#include "core.h"

#ifdef __x86_64__
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))

/* a and b differ at this byte: their order. */
static inline int order_at(const uint8_t *a, const uint8_t *b, size_t at, size_t *common)
{
    *common = at;
    return a[at] < b[at] ? -1 : 1;
}

/* Bit i is set where bytes i of the two lines differ. */
AVX2 static inline uint64_t line_differs_avx2(const uint8_t *a, const uint8_t *b)
{
    __m256i low = _mm256_cmpeq_epi8(_mm256_loadu_si256((const __m256i *)a), _mm256_loadu_si256((const __m256i *)b));
    __m256i high = _mm256_cmpeq_epi8(_mm256_loadu_si256((const __m256i *)(a + 32)),
                                     _mm256_loadu_si256((const __m256i *)(b + 32)));

    return ~((uint64_t)(uint32_t)_mm256_movemask_epi8(high) << 32 | (uint32_t)_mm256_movemask_epi8(low));
}

AVX512 static inline uint64_t line_differs_avx512(const uint8_t *a, const uint8_t *b)
{
    return _mm512_cmpneq_epi8_mask(_mm512_loadu_si512(a), _mm512_loadu_si512(b));
}

AVX2 int pksm_page_compare_avx2(const uint8_t *a, const uint8_t *b, size_t size, size_t from, size_t *common)
{
    size_t at = from & ~(size_t)63;
    uint64_t differs;

    /* most pages differ in the first line that may differ: the next ones are not touched before that is known */
    if (at + 64 <= size) {
        differs = line_differs_avx2(a + at, b + at);
        if (differs)
            return order_at(a, b, at + (size_t)__builtin_ctzll(differs), common);
        at += 64;
    }
    for (; at + 128 <= size; at += 128) {
        __m256i differ[4];
        for (int i = 0; i < 4; i++)
            differ[i] = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(a + at + 32 * i)),
                                         _mm256_loadu_si256((const __m256i *)(b + at + 32 * i)));
        __m256i any = _mm256_or_si256(_mm256_or_si256(differ[0], differ[1]), _mm256_or_si256(differ[2], differ[3]));
        if (!_mm256_testz_si256(any, any))
            break;
    }
    for (; at + 64 <= size; at += 64) {
        differs = line_differs_avx2(a + at, b + at);
        if (differs)
            return order_at(a, b, at + (size_t)__builtin_ctzll(differs), common);
    }
    return pksm_page_compare_scalar(a, b, size, at, common);
}

AVX2 int pksm_page_is_zero_avx2(const uint8_t *page, size_t size)
{
    size_t at = 0;

    for (; at + 128 <= size; at += 128) {
        const __m256i *p = (const __m256i *)(page + at);
        __m256i any = _mm256_or_si256(_mm256_or_si256(_mm256_loadu_si256(p), _mm256_loadu_si256(p + 1)),
                                      _mm256_or_si256(_mm256_loadu_si256(p + 2), _mm256_loadu_si256(p + 3)));
        if (!_mm256_testz_si256(any, any))
            return 0;
    }
    return pksm_page_is_zero_scalar(page + at, size - at);
}

AVX512 int pksm_page_compare_avx512(const uint8_t *a, const uint8_t *b, size_t size, size_t from, size_t *common)
{
    size_t at = from & ~(size_t)63;
    uint64_t differs;

    if (at + 64 <= size) {
        differs = line_differs_avx512(a + at, b + at);
        if (differs)
            return order_at(a, b, at + (size_t)__builtin_ctzll(differs), common);
        at += 64;
    }
    for (; at + 256 <= size; at += 256) {
        __m512i differ[4];
        for (int i = 0; i < 4; i++)
            differ[i] = _mm512_xor_si512(_mm512_loadu_si512(a + at + 64 * i), _mm512_loadu_si512(b + at + 64 * i));
        __m512i any = _mm512_or_si512(_mm512_or_si512(differ[0], differ[1]), _mm512_or_si512(differ[2], differ[3]));
        if (_mm512_test_epi64_mask(any, any))
            break;
    }
    for (; at + 64 <= size; at += 64) {
        differs = line_differs_avx512(a + at, b + at);
        if (differs)
            return order_at(a, b, at + (size_t)__builtin_ctzll(differs), common);
    }
    return pksm_page_compare_scalar(a, b, size, at, common);
}

AVX512 int pksm_page_is_zero_avx512(const uint8_t *page, size_t size)
{
    size_t at = 0;

    for (; at + 256 <= size; at += 256) {
        const uint8_t *p = page + at;
        __m512i any = _mm512_or_si512(_mm512_or_si512(_mm512_loadu_si512(p), _mm512_loadu_si512(p + 64)),
                                      _mm512_or_si512(_mm512_loadu_si512(p + 128), _mm512_loadu_si512(p + 192)));
        if (_mm512_test_epi64_mask(any, any))
            return 0;
    }
    return pksm_page_is_zero_scalar(page + at, size - at);
}
#endif
