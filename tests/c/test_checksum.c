/* Checksums: every strategy reads all of the page it should, none of what is not its own, wherever it lies. */
#include "check.h"

static uint64_t sum(const pksm_strategy *strategy, const uint8_t *page, size_t size, const pksm_sample *sample)
{
    return strategy->sum(page, size, strategy->takes_sample ? sample : NULL);
}

static int is_sampled(const pksm_sample *sample, size_t byte)
{
    for (uint64_t i = 0; i < sample->n_words; i++)
        if (byte / 4 >= sample->words[i] && byte / 4 < sample->words[i] + sample->run)
            return 1;
    return 0;
}

/* The definition, a bit at a time. */
static uint32_t crc32c_by_bits(const uint8_t *page, size_t size)
{
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < size * 8; i++) {
        uint32_t bit = (crc ^ page[i / 8] >> (i % 8)) & 1;
        crc = crc >> 1 ^ (bit ? 0x82f63b78 : 0);
    }
    return ~crc;
}

static void test_strategy(const pksm_strategy *strategy, size_t size, const pksm_sample *sample)
{
    uint8_t *exact = block(size), *padded = block(size + 64);
    size_t offset = below(64);
    uint64_t before;

    fill_random(exact, size);
    memcpy(padded + offset, exact, size);
    before = sum(strategy, exact, size, sample);
    CHECK(sum(strategy, padded + offset, size, sample) == before);
    CHECK(strategy->width == 64 || before >> strategy->width == 0);
    if (strcmp(strategy->name, "crc32c") == 0)
        CHECK(before == crc32c_by_bits(exact, size));
    for (int i = 0; i < 40; i++) {
        /* one flipped bit shows exactly where the strategy looks; both ends of the page among them */
        size_t at = i == 0 ? 0 : i == 1 ? size - 1 : below((uint32_t)size);
        uint8_t bit = (uint8_t)(1u << below(8));
        exact[at] ^= bit;
        if (strategy->takes_sample && !is_sampled(sample, at))
            CHECK(sum(strategy, exact, size, sample) == before);
        else
            CHECK(sum(strategy, exact, size, sample) != before);
        exact[at] ^= bit;
    }
    free(exact);
    free(padded);
}

/* Some pages at once, each in a block of its own, some of them zero, some the same. */
static void test_many(const pksm_strategy *strategy, size_t size, const pksm_sample *sample)
{
    enum { MOST = 20 };
    size_t n = 1 + below(MOST);
    uint8_t *pages[MOST], zero[MOST];
    uint64_t sums[MOST];

    for (size_t i = 0; i < n; i++) {
        pages[i] = i && one_in(5) ? pages[below((uint32_t)i)] : block(size);
        if (one_in(2))
            pages[i][below((uint32_t)size)] ^= (uint8_t)(1u << below(8));
        else if (one_in(2))
            fill_random(pages[i], size);
        zero[i] = 7;
    }
    strategy->many((const uint8_t *const *)pages, n, size, strategy->takes_sample ? sample : NULL, sums, NULL);
    for (size_t i = 0; i < n; i++)
        CHECK(sums[i] == sum(strategy, pages[i], size, sample));
    memset(sums, 0, sizeof sums);
    if (strategy->many((const uint8_t *const *)pages, n, size, strategy->takes_sample ? sample : NULL, sums, zero))
        for (size_t i = 0; i < n; i++)
            CHECK(zero[i] == pksm_page_is_zero(pages[i], size));
    for (size_t i = 0; i < n; i++) {
        int again = 0;
        CHECK(sums[i] == sum(strategy, pages[i], size, sample));
        for (size_t k = i + 1; k < n; k++)
            again |= pages[k] == pages[i];
        if (!again)
            free(pages[i]);
    }
}

/* The wider twins give the bits of scalar, which is the specification. */
static void test_twins(size_t s, size_t size, const pksm_sample *sample)
{
    uint8_t *page = block(size);
    uint64_t scalar = 0;
    size_t n;

    fill_random(page, size);
    AT_EVERY_LEVEL {
        uint64_t now = sum(&pksm_strategies(&n)[s], page, size, sample);
        CHECK(level == PKSM_CPU_SCALAR || now == scalar);
        scalar = now;
    }
    free(page);
}

static void test_pages(const pksm_strategy *strategy, const pksm_sample *sample)
{
    enum { N = 70, SIZE = 4096 };
    uint8_t *bytes = block(N * SIZE);
    uint64_t sections[2] = {(uintptr_t)bytes, (uintptr_t)(bytes + 64 * SIZE)}, sums[N] = {0};
    pksm_store store = {.sections = sections, .n_pages = N, .page_size = SIZE};
    pksm_checksum checksum = {strategy->sum, strategy->takes_sample ? sample : NULL, strategy->many};
    uint32_t pages[N];

    fill_random(bytes, N * SIZE);
    for (uint32_t i = 0; i < N; i++)
        pages[i] = below(N);
    CHECK(pksm_checksum_pages(&store, &checksum, pages, N, sums) == PKSM_OK);
    for (uint32_t i = 0; i < N; i++)
        CHECK(sums[i] == sum(strategy, bytes + (size_t)pages[i] * SIZE, SIZE, sample));
    pages[N / 2] = N;
    sums[0] = ~sums[0];
    CHECK(pksm_checksum_pages(&store, &checksum, pages, N, sums) == PKSM_EPAGE);
    CHECK(sums[0] == ~sum(strategy, bytes + (size_t)pages[0] * SIZE, SIZE, sample));
    checksum.sum = NULL;
    CHECK(pksm_checksum_pages(&store, &checksum, pages, 1, sums) == PKSM_EINVAL);
    free(bytes);
}

/* Words for a strategy to look at, the page's last one among them: runs for all but `sampled`, one for `partial`. */
static pksm_sample sample_for(const pksm_strategy *strategy, size_t size, uint32_t words[3])
{
    uint32_t most = (uint32_t)size / 4, run = 1;
    int one = strcmp(strategy->name, "partial") == 0;

    if (strcmp(strategy->name, "sampled"))
        run = 1 + below(most < 512 ? most : 512);
    if (run > 8 && one_in(2))
        run -= run % 8;
    words[0] = most - run;
    words[1] = below(most - run + 1);
    words[2] = below(most - run + 1);
    return (pksm_sample){one ? 1 : 3, words, run};
}

static void test_table(void)
{
    static const char *const names[] = {"xxh3-64",  "aes",     "xxh64",   "xxh64-trunc32", "xxh32",
                                        "crc32c",   "crc32",   "jhash2",  "murmur3-32",    "superfast",
                                        "fnv1a-64", "adler32", "sampled", "sampled-lines", "partial"};
    const pksm_strategy *strategies;
    size_t n = 0, known = 0;

    strategies = pksm_strategies(&n);
    for (size_t s = 0; s < n; s++)
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            known += strcmp(strategies[s].name, names[i]) == 0;
    CHECK(known == n && n == sizeof names / sizeof names[0]);
    AT_EVERY_LEVEL {
        strategies = pksm_strategies(&n);
        for (size_t s = 0; s < n; s++) {
            for (size_t size = 8; size <= 65536; size *= 2) {
                uint32_t words[3];
                pksm_sample sample = sample_for(&strategies[s], size, words);
                for (int i = 0; i < (size < 8192 ? 6 : 1); i++) {
                    test_strategy(&strategies[s], size, &sample);
                    if (strategies[s].many)
                        test_many(&strategies[s], size, &sample);
                }
                if (size == 4096)
                    test_pages(&strategies[s], &sample);
            }
        }
    }
    for (size_t s = 0; s < n; s++) {
        for (size_t size = 8; size <= 65536; size *= 2) {
            uint32_t words[3];
            pksm_sample sample = sample_for(&strategies[s], size, words);
            test_twins(s, size, &sample);
        }
    }
}

/* Sums computed beforehand are found by the address of the page, and only those. */
static void test_known(void)
{
    enum { N = 9 };
    uint8_t *bytes = block(2 * N);
    uint64_t addresses[N], sums[N];

    for (size_t n = 0; n <= N; n++) {
        pksm_known known = {n, addresses, sums};
        for (size_t i = 0; i < n; i++) {
            addresses[i] = (uintptr_t)(bytes + 2 * i + 1);
            sums[i] = random64() | 1;
        }
        for (size_t at = 0; at < 2 * N; at++)
            CHECK(pksm_known_sum(bytes + at, 1, &known) == (at % 2 && at / 2 < n ? sums[at / 2] : 0));
    }
    free(bytes);
}

/* The reference's vector for 16 bytes 0, 1, 2 ... and the key of the same bytes; zeros stay zeros. */
static void test_keyed(void)
{
    const uint64_t key[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    uint64_t sums[6] = {key[0], key[1], 0, 0, key[0], key[1]};

    pksm_keyed_sums(key, sums, 3);
    CHECK(sums[0] == 0xbb54b067caa4e26eu && sums[1] == 0x77052385bf1533fdu);
    CHECK(sums[2] == 0 && sums[3] == 0 && sums[4] == sums[0] && sums[5] == sums[1]);
    pksm_keyed_sums(key, NULL, 0);
}

int main(int argc, char **argv)
{
    seed_from(argc, argv);
    test_table();
    test_known();
    test_keyed();
    printf("ok\n");
    return 0;
}
