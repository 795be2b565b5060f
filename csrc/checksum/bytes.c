/* checksum/bytes.c: strategies that take a page byte by byte: two CRCs, Adler-32, FNV-1a. */
#include "checksum.h"

/* ---- CRC, reflected ---- */
/* The table is linear in the index: entry n is the exclusive or of the entries of n's bits. */
#define CRC_OF(n, a, b, c, d, e, f, g, h)                                                                 \
    (((n) & 1 ? a : 0) ^ ((n) & 2 ? b : 0) ^ ((n) & 4 ? c : 0) ^ ((n) & 8 ? d : 0) ^ ((n) & 16 ? e : 0) ^ \
     ((n) & 32 ? f : 0) ^ ((n) & 64 ? g : 0) ^ ((n) & 128 ? h : 0))
#define CASTAGNOLI(n) \
    CRC_OF(n, 0xf26b8303u, 0xe13b70f7u, 0xc79a971fu, 0x8ad958cfu, 0x105ec76fu, 0x20bd8edeu, 0x417b1dbcu, 0x82f63b78u)
#define ETHERNET(n) \
    CRC_OF(n, 0x77073096u, 0xee0e612cu, 0x076dc419u, 0x0edb8832u, 0x1db71064u, 0x3b6e20c8u, 0x76dc4190u, 0xedb88320u)
#define FOUR(OF, n) OF(n), OF((n) + 1), OF((n) + 2), OF((n) + 3)
#define SIXTEEN(OF, n) FOUR(OF, n), FOUR(OF, (n) + 4), FOUR(OF, (n) + 8), FOUR(OF, (n) + 12)
#define SIXTY_FOUR(OF, n) SIXTEEN(OF, n), SIXTEEN(OF, (n) + 16), SIXTEEN(OF, (n) + 32), SIXTEEN(OF, (n) + 48)
#define TABLE(OF) {SIXTY_FOUR(OF, 0), SIXTY_FOUR(OF, 64), SIXTY_FOUR(OF, 128), SIXTY_FOUR(OF, 192)}

const uint32_t pksm_crc32c_table[256] = TABLE(CASTAGNOLI);
const uint32_t pksm_crc32_table[256] = TABLE(ETHERNET);

uint32_t pksm_crc_bytes(const uint32_t table[256], uint32_t crc, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 0xff];
    return crc;
}

uint64_t pksm_crc32c_scalar(const uint8_t *page, size_t size_bytes, const void *state)
{
    (void)state;
    return (uint32_t)~pksm_crc_bytes(pksm_crc32c_table, 0xffffffff, page, size_bytes);
}

uint64_t pksm_crc32_scalar(const uint8_t *page, size_t size_bytes, const void *state)
{
    (void)state;
    return (uint32_t)~pksm_crc_bytes(pksm_crc32_table, 0xffffffff, page, size_bytes);
}

/* ---- adler32: two sums modulo a prime, as zlib has them ---- */
uint64_t pksm_adler32_scalar(const uint8_t *page, size_t size_bytes, const void *state)
{
    const uint8_t *end = page + size_bytes;
    uint64_t sum = 1, weighted = 0;

    (void)state;
    while (page < end) {
        const uint8_t *stop = end - page > ADLER_CHUNK ? page + ADLER_CHUNK : end;
        for (; page < stop; page++)
            weighted += sum += *page;
        sum %= ADLER_PRIME;
        weighted %= ADLER_PRIME;
    }
    return weighted << 16 | sum;
}

/* ---- fnv1a-64: Fowler, Noll and Vo ---- */
uint64_t pksm_fnv1a_64_scalar(const uint8_t *page, size_t size_bytes, const void *state)
{
    uint64_t h = FNV_BASIS;

    (void)state;
    for (size_t i = 0; i < size_bytes; i++)
        h = (h ^ page[i]) * FNV_PRIME;
    return h;
}
