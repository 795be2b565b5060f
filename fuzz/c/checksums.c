/* Checksums: any bytes in pages of any size, at every level, one by one and many at once: all give the same bits. */
#include "input.h"

enum { MOST_PAGES = 9, MOST_WORDS = 40 };

typedef struct {
    uint8_t *pages[MOST_PAGES];
    size_t n, size;
    uint32_t words[MOST_WORDS];
    pksm_sample sample;
} subject;

static subject next_subject(input *in)
{
    subject s = {.n = 1 + next_below(in, MOST_PAGES), .size = (size_t)8 << next_below(in, 8)};
    uint32_t n_words, most = (uint32_t)(s.size / 4), run = 1 + next_below(in, most < 16 ? most : 16);

    n_words = 1 + next_below(in, MOST_WORDS);
    for (uint32_t i = 0; i < n_words; i++)
        s.words[i] = next_byte(in) % (most - run + 1);
    s.sample = (pksm_sample){n_words, NULL, run};
    for (size_t i = 0; i < s.n; i++) {
        s.pages[i] = block(s.size);
        for (size_t at = 0, part = s.size / s.n + 1; at < part && in->left; at++)
            s.pages[i][at * 7 % s.size] = next_byte(in);
    }
    return s;
}

static void sum_all(const pksm_strategy *strategy, const subject *s, uint64_t *sums)
{
    const void *state = strategy->takes_sample ? &s->sample : NULL;
    uint64_t many[MOST_PAGES];
    uint8_t zero[MOST_PAGES];

    for (size_t i = 0; i < s->n; i++) {
        sums[i] = strategy->sum(s->pages[i], s->size, state);
        CHECK(strategy->width == 64 || !(sums[i] >> strategy->width));
    }
    if (!strategy->many)
        return;
    if (strategy->many((const uint8_t *const *)s->pages, s->n, s->size, state, many, zero))
        for (size_t i = 0; i < s->n; i++)
            CHECK(zero[i] == pksm_page_is_zero(s->pages[i], s->size));
    CHECK(!memcmp(many, sums, s->n * sizeof *sums));
    (void)strategy->many((const uint8_t *const *)s->pages, s->n, s->size, state, many, NULL);
    CHECK(!memcmp(many, sums, s->n * sizeof *sums));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    subject s = next_subject(&in);
    uint64_t plain[32][MOST_PAGES], sums[MOST_PAGES];
    size_t count;

    s.sample.words = s.words;
    for (int level = 0; level <= pksm_cpu_best(); level++) {
        const pksm_strategy *strategies;

        CHECK(pksm_cpu_select(level) == PKSM_OK);
        strategies = pksm_strategies(&count);
        CHECK(count <= 32);
        for (size_t k = 0; k < count; k++) {
            sum_all(&strategies[k], &s, level ? sums : plain[k]);
            CHECK(!level || !memcmp(sums, plain[k], s.n * sizeof *sums));
        }
    }
    CHECK(pksm_cpu_select(-1) == PKSM_EINVAL && pksm_cpu_select(pksm_cpu_best() + 1) == PKSM_EINVAL);
    for (size_t i = 0; i < s.n; i++)
        free(s.pages[i]);
    return 0;
}
