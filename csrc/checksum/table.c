/* checksum/table.c: the table of checksum strategies, and summing pages of the store. */
#include "checksum.h"

static const pksm_strategy scalar[N_STRATEGIES] = {
    [XXH3_64] = {"xxh3-64", 64, 0, pksm_xxh3_64_scalar, NULL},
    [AES] = {"aes", 64, 0, pksm_aes_scalar, NULL},
    [XXH64] = {"xxh64", 64, 0, pksm_xxh64_scalar, NULL},
    [XXH64_TRUNC32] = {"xxh64-trunc32", 32, 0, pksm_xxh64_trunc32_scalar, NULL},
    [XXH32] = {"xxh32", 32, 0, pksm_xxh32_scalar, NULL},
    [CRC32C] = {"crc32c", 32, 0, pksm_crc32c_scalar, NULL},
    [CRC32] = {"crc32", 32, 0, pksm_crc32_scalar, NULL},
    [JHASH2] = {"jhash2", 32, 0, pksm_jhash2_scalar, NULL},
    [MURMUR3_32] = {"murmur3-32", 32, 0, pksm_murmur3_32_scalar, NULL},
    [SUPERFAST] = {"superfast", 32, 0, pksm_superfast_scalar, NULL},
    [FNV1A_64] = {"fnv1a-64", 64, 0, pksm_fnv1a_64_scalar, NULL},
    [ADLER32] = {"adler32", 32, 0, pksm_adler32_scalar, NULL},
    [SAMPLED] = {"sampled", 32, 1, pksm_sampled_scalar, NULL},
    [SAMPLED_LINES] = {"sampled-lines", 32, 1, pksm_sampled_scalar, NULL},
    [PARTIAL] = {"partial", 32, 1, pksm_partial_scalar, NULL},
};
static const twin *const twins[] = {pksm_xxh3_twins, pksm_xxh_twins, pksm_word_twins, pksm_byte_twins, pksm_aes_twins};
static pksm_strategy wider[N_STRATEGIES];
static const pksm_strategy *strategies = scalar;

void pksm_checksum_select(int level)
{
    memcpy(wider, scalar, sizeof wider);
    for (size_t i = 0; i < sizeof twins / sizeof twins[0]; i++) {
        for (const twin *t = twins[i]; t->strategy != N_STRATEGIES; t++) {
            if (t->level > level || !pksm_cpu_has(t->needs))
                continue;
            if (t->sum)
                wider[t->strategy].sum = t->sum;
            if (t->many)
                wider[t->strategy].many = t->many;
        }
    }
    strategies = wider;
}

EXPORT const pksm_strategy *pksm_strategies(size_t *n)
{
    *n = N_STRATEGIES;
    return strategies;
}

EXPORT const pksm_strategy *pksm_strategy_by_name(const char *name)
{
    for (size_t i = 0; name && i < N_STRATEGIES; i++)
        if (!strcmp(strategies[i].name, name))
            return &strategies[i];
    return NULL;
}

EXPORT uint64_t pksm_known_sum(const uint8_t *page, size_t size_bytes, const void *state)
{
    const pksm_known *known = state;
    uint64_t low = 0, high = known->n;

    (void)size_bytes;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (known->addresses[middle] < (uintptr_t)page)
            low = middle + 1;
        else
            high = middle;
    }
    return low < known->n && known->addresses[low] == (uintptr_t)page ? known->sums[low] : 0;
}

enum { MANY = 64 };

int pksm_sum_pages(const pksm_store *store, const pksm_checksum *checksum, const uint32_t *pages, size_t n,
                   uint64_t *sums, uint8_t *zero)
{
    const uint8_t *bytes[MANY];
    int told = checksum->many != NULL;

    for (size_t start = 0; start < n; start += MANY) {
        size_t part = n - start < MANY ? n - start : MANY;
        for (size_t i = 0; i < part; i++)
            bytes[i] = page_bytes(store, pages[start + i]);
        if (checksum->many) {
            told &= checksum->many(bytes, part, store->page_size, checksum->state, sums + start,
                                   zero ? zero + start : NULL);
            continue;
        }
        for (size_t i = 0; i < part; i++) {
            if (i + 1 < part)
                fetch_bytes(bytes[i + 1], store->page_size);
            sums[start + i] = checksum->sum(bytes[i], store->page_size, checksum->state);
        }
    }
    return told;
}

static NOINLINE int sum_into(const pksm_store *store, const pksm_checksum *checksum, const uint32_t *pages, size_t n,
                             uint64_t *sums)
{
    pksm_sum_pages(store, checksum, pages, n, sums, NULL);
    return PKSM_OK;
}

EXPORT int pksm_checksum_pages(const pksm_store *store, const pksm_checksum *checksum, const uint32_t *pages, size_t n,
                               uint64_t *sums)
{
    int status = checksum && checksum->sum ? pksm_check_pages(store, pages, n) : PKSM_EINVAL;

    if (status == PKSM_OK)
        READING(status, sum_into(store, checksum, pages, n, sums));
    return status;
}
