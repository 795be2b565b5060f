/* checksum/bytes_simd.c: wider twins of bytes.c, bit for bit the same. */
#include "checksum.h"

#ifdef __x86_64__
#define CLMUL __attribute__((target("sse4.2,pclmul")))
#define WIDE_CLMUL __attribute__((target("avx2,pclmul,vpclmulqdq")))

/* ---- CRCs by carry-less multiplication ----
 * A remainder moves D bits forward by multiplying its halves with x^(D+32) and x^(D-32) modulo the polynomial, bits
 * reversed; so blocks of the page are folded onto later ones until 16 bytes are left. D: 2048, 512, 256, 128. */
typedef struct {
    uint64_t far[2], near[2], beside[2], next[2];
    const uint32_t *table;
} crc_constants;

static const crc_constants castagnoli = {
    {0x0dcb17aa4, 0x0b9e02b86}, {0x0740eef02, 0x09e4addf8}, {0x1384aa63a, 0x0ba4fc28e},
    {0x0f20c0dfe, 0x14cd00bd6}, pksm_crc32c_table,
};
static const crc_constants ethernet = {
    {0x11542778a, 0x1322d1430}, {0x154442bd4, 0x1c6e41596}, {0x0f1da05aa, 0x15a546366},
    {0x1751997d0, 0x0ccaa009e}, pksm_crc32_table,
};

static inline CLMUL __m128i fold(__m128i acc, __m128i k, __m128i data)
{
    acc = _mm_xor_si128(_mm_clmulepi64_si128(acc, k, 0x00), _mm_clmulepi64_si128(acc, k, 0x11));
    return _mm_xor_si128(acc, data);
}

/* The remainder of the last 16 bytes as a CRC. */
static inline CLMUL uint64_t crc_last(__m128i last, const crc_constants *c)
{
    uint8_t bytes[16];

    _mm_storeu_si128((__m128i *)bytes, last);
    return (uint32_t)~pksm_crc_bytes(c->table, 0, bytes, sizeof bytes);
}

static inline CLMUL uint64_t crc_folded(const uint8_t *page, size_t size, const crc_constants *c)
{
    __m128i k = _mm_loadu_si128((const __m128i *)c->near), next = _mm_loadu_si128((const __m128i *)c->next), acc[4];

    if (size < 64)
        return (uint32_t)~pksm_crc_bytes(c->table, 0xffffffff, page, size);
    for (int i = 0; i < 4; i++)
        acc[i] = _mm_loadu_si128((const __m128i *)page + i);
    acc[0] = _mm_xor_si128(acc[0], _mm_cvtsi32_si128(-1));
    for (size_t at = 64; at < size; at += 64)
        for (int i = 0; i < 4; i++)
            acc[i] = fold(acc[i], k, _mm_loadu_si128((const __m128i *)(page + at) + i));
    for (int i = 1; i < 4; i++)
        acc[i] = fold(acc[i - 1], next, acc[i]);
    return crc_last(acc[3], c);
}

static inline WIDE_CLMUL __m256i fold_wide(__m256i acc, __m256i k, __m256i data)
{
    acc = _mm256_xor_si256(_mm256_clmulepi64_epi128(acc, k, 0x00), _mm256_clmulepi64_epi128(acc, k, 0x11));
    return _mm256_xor_si256(acc, data);
}

/* Eight registers of two blocks each; 256 bytes a step. */
static inline WIDE_CLMUL int crc_many_wide(const uint8_t *const *pages, size_t n, size_t size, uint64_t *sums,
                                           uint8_t *zero, const crc_constants *c)
{
    const __m256i far = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)c->far));
    const __m256i beside = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)c->beside));
    const __m128i next = _mm_loadu_si128((const __m128i *)c->next);

    for (size_t i = 0; i < n; i++) {
        __m256i acc[8], any = _mm256_setzero_si256();

        if (size < 256) {
            sums[i] = crc_folded(pages[i], size, c);
            if (zero)
                zero[i] = (uint8_t)pksm_page_is_zero_scalar(pages[i], size);
            continue;
        }
        for (size_t k = 0; k < 256; k += 64)
            fetch_next(pages, i, n, k);
        for (int k = 0; k < 8; k++) {
            acc[k] = _mm256_loadu_si256((const __m256i *)pages[i] + k);
            any = _mm256_or_si256(any, acc[k]);
        }
        acc[0] = _mm256_xor_si256(acc[0], _mm256_zextsi128_si256(_mm_cvtsi32_si128(-1)));
        for (size_t at = 256; at < size; at += 256) {
            for (size_t k = 0; k < 256; k += 64)
                fetch_next(pages, i, n, at + k);
            for (int k = 0; k < 8; k++) {
                __m256i d = _mm256_loadu_si256((const __m256i *)(pages[i] + at) + k);
                any = _mm256_or_si256(any, d);
                acc[k] = fold_wide(acc[k], far, d);
            }
        }
        for (int k = 1; k < 8; k++)
            acc[k] = fold_wide(acc[k - 1], beside, acc[k]);
        sums[i] = crc_last(fold(_mm256_castsi256_si128(acc[7]), next, _mm256_extracti128_si256(acc[7], 1)), c);
        if (zero)
            zero[i] = (uint8_t)_mm256_testz_si256(any, any);
    }
    return 1;
}

#define WIDE_CRC(name, constants)                                                                                 \
    static WIDE_CLMUL int name##_many_wide(const uint8_t *const *pages, size_t n, size_t size, const void *state, \
                                           uint64_t *sums, uint8_t *zero)                                         \
    {                                                                                                             \
        (void)state;                                                                                              \
        return crc_many_wide(pages, n, size, sums, zero, &(constants));                                           \
    }                                                                                                             \
    static WIDE_CLMUL uint64_t name##_wide(const uint8_t *page, size_t size, const void *state)                   \
    {                                                                                                             \
        uint64_t sum;                                                                                             \
        name##_many_wide(&page, 1, size, state, &sum, NULL);                                                      \
        return sum;                                                                                               \
    }
WIDE_CRC(crc32c, castagnoli)
WIDE_CRC(crc32, ethernet)

static CLMUL uint64_t crc32_clmul(const uint8_t *page, size_t size, const void *state)
{
    (void)state;
    return crc_folded(page, size, &ethernet);
}

/* ---- crc32c by its instruction: it takes three cycles and starts every cycle, so three pages side by side ---- */
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
            if (at % 64 == 0)
                for (size_t k = i; k < i + 3; k++)
                    fetch_ahead(pages, k, 3, n, size, at);
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

/* ---- adler32: thirty-two bytes a step ---- */
/* One chunk's plain sum, and the sum of its bytes weighted with how many bytes follow, itself included. */
static AVX2 void adler_chunk(const uint8_t *bytes, size_t n, uint64_t *sum, uint64_t *weighted)
{
    const __m256i weights = _mm256_setr_epi8(32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14,
                                             13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1);
    const __m256i ones = _mm256_set1_epi16(1), nothing = _mm256_setzero_si256();
    __m256i plain = nothing, before = nothing, within = nothing;
    uint32_t lanes[3][8];

    for (size_t at = 0; at < n; at += 32) {
        __m256i d = _mm256_loadu_si256((const __m256i *)(bytes + at));
        before = _mm256_add_epi32(before, plain);
        plain = _mm256_add_epi32(plain, _mm256_sad_epu8(d, nothing));
        within = _mm256_add_epi32(within, _mm256_madd_epi16(_mm256_maddubs_epi16(d, weights), ones));
    }
    _mm256_storeu_si256((__m256i *)lanes[0], plain);
    _mm256_storeu_si256((__m256i *)lanes[1], before);
    _mm256_storeu_si256((__m256i *)lanes[2], within);
    *sum = *weighted = 0;
    for (int k = 0; k < 8; k++) {
        *sum += lanes[0][k];
        *weighted += 32ull * lanes[1][k] + lanes[2][k];
    }
}

static AVX2 uint64_t adler32_avx2(const uint8_t *page, size_t size, const void *state)
{
    uint64_t sum = 1, weighted = 0, more, more_weighted;

    if (size < 32)
        return pksm_adler32_scalar(page, size, state);
    for (size_t at = 0; at < size; at += ADLER_CHUNK) {
        size_t n = size - at < ADLER_CHUNK ? size - at : ADLER_CHUNK;
        adler_chunk(page + at, n, &more, &more_weighted);
        weighted = (weighted + sum * n + more_weighted) % ADLER_PRIME;
        sum = (sum + more) % ADLER_PRIME;
    }
    return weighted << 16 | sum;
}

/* ---- fnv1a-64: a chain of multiplications, a byte each; four pages in one register, four registers a step ---- */
enum { FNV_REGISTERS = 4, FNV_PAGES = 4 * FNV_REGISTERS };

/* h * FNV_PRIME, which is 2^40 + 0x1b3. */
static inline AVX2 __m256i fnv_multiply(__m256i h)
{
    const __m256i low = _mm256_set1_epi64x(0x1b3);
    __m256i upper = _mm256_mul_epu32(_mm256_srli_epi64(h, 32), low);

    upper = _mm256_add_epi64(upper, _mm256_slli_epi64(h, 8));
    return _mm256_add_epi64(_mm256_mul_epu32(h, low), _mm256_slli_epi64(upper, 32));
}

static AVX2 void fnv_sixteen(const uint8_t *const *pages, size_t n, size_t size, uint64_t *sums)
{
    const __m256i byte = _mm256_set1_epi64x(0xff);
    __m256i h[FNV_REGISTERS], from[FNV_REGISTERS], words[FNV_REGISTERS];

    for (size_t k = 0; k < FNV_REGISTERS; k++) {
        h[k] = _mm256_set1_epi64x((long long)FNV_BASIS);
        from[k] = _mm256_loadu_si256((const __m256i *)(pages + 4 * k));
    }
    for (size_t at = 0; at < size; at += 8) {
        if (at % 64 == 0)
            for (size_t k = 0; k < FNV_PAGES; k++)
                fetch_ahead(pages, k, FNV_PAGES, n, size, at);
        for (size_t k = 0; k < FNV_REGISTERS; k++)
            words[k] = _mm256_i64gather_epi64(NULL, _mm256_add_epi64(from[k], _mm256_set1_epi64x((long long)at)), 1);
        for (int b = 0; b < 8; b++) {
            for (size_t k = 0; k < FNV_REGISTERS; k++) {
                h[k] = fnv_multiply(_mm256_xor_si256(h[k], _mm256_and_si256(words[k], byte)));
                words[k] = _mm256_srli_epi64(words[k], 8);
            }
        }
    }
    for (size_t k = 0; k < FNV_REGISTERS; k++)
        _mm256_storeu_si256((__m256i *)(sums + 4 * k), h[k]);
}

static AVX2 int fnv1a_64_many(const uint8_t *const *pages, size_t n, size_t size, const void *state, uint64_t *sums,
                              uint8_t *zero)
{
    size_t i = 0;

    (void)zero;
    for (; i + FNV_PAGES <= n; i += FNV_PAGES)
        fnv_sixteen(pages + i, n - i, size, sums + i);
    for (; i < n; i++)
        sums[i] = pksm_fnv1a_64_scalar(pages[i], size, state);
    return 0;
}

const twin pksm_byte_twins[] = {
    {CRC32C, PKSM_CPU_SSE42, 0, crc32c_sse42, crc32c_many_sse42},
    {CRC32C, PKSM_CPU_AVX2, HAS_CLMUL | HAS_WIDE_CLMUL, crc32c_wide, NULL},
    {CRC32, PKSM_CPU_SSE42, HAS_CLMUL, crc32_clmul, NULL},
    {CRC32, PKSM_CPU_AVX2, HAS_CLMUL | HAS_WIDE_CLMUL, crc32_wide, crc32_many_wide},
    {ADLER32, PKSM_CPU_AVX2, 0, adler32_avx2, NULL},
    {FNV1A_64, PKSM_CPU_AVX2, 0, NULL, fnv1a_64_many},
    {.strategy = N_STRATEGIES},
};
#else
const twin pksm_byte_twins[] = {{.strategy = N_STRATEGIES}};
#endif
