/* Integers: grouping by key, following chains, and what neither accepts. */
#include "check.h"

static void test_group(size_t n, uint32_t n_keys)
{
    uint8_t *keys = block(n);
    uint32_t *order = block(n * sizeof *order), *starts = block((n_keys + 1) * sizeof *starts);
    size_t at = 0;

    for (size_t i = 0; i < n; i++)
        keys[i] = (uint8_t)below(n_keys);
    CHECK(pksm_group(keys, n, n_keys, order, starts) == PKSM_OK);
    CHECK(starts[0] == 0 && starts[n_keys] == n);
    for (uint32_t key = 0; key < n_keys; key++) {
        CHECK(starts[key] == at);
        for (size_t i = 0; i < n; i++)
            if (keys[i] == key)
                CHECK(order[at++] == i);
    }
    CHECK(at == n);
    if (n && n_keys < 256) {
        uint32_t before = order[0];
        keys[below((uint32_t)n)] = (uint8_t)n_keys;
        CHECK(pksm_group(keys, n, n_keys, order, starts) == PKSM_EINVAL);
        CHECK(order[0] == before && starts[n_keys] == n);
    }
    CHECK(pksm_group(keys, n, 257, order, starts) == PKSM_EINVAL);
    free(keys);
    free(order);
    free(starts);
}

/* Records 1 .. n-1 dealt to chains at random; the last record of each chain links to 0. */
static void test_collect(uint32_t n, uint32_t n_chains)
{
    uint32_t *next = block(n * sizeof *next), *out = block(n * sizeof *out);
    uint32_t *heads = block(n_chains * sizeof *heads), *tails = block(n_chains * sizeof *tails);
    uint32_t *expected = block(n * sizeof *expected);
    size_t count = 12345, met = 0;

    for (uint32_t record = n - 1; record; record--) {
        uint32_t chain = below(n_chains);
        next[record] = heads[chain];
        heads[chain] = record;
        tails[chain] = tails[chain] ? tails[chain] : record;
    }
    for (uint32_t chain = 0; chain < n_chains; chain++)
        for (uint32_t record = heads[chain]; record; record = next[record])
            expected[met++] = record;
    CHECK(met == n - 1);
    CHECK(pksm_collect(next, n, heads, n_chains, out, &count) == PKSM_OK);
    CHECK(count == met && memcmp(out, expected, met * sizeof *out) == 0);

    for (uint32_t chain = 0; chain < n_chains; chain++) {
        if (!heads[chain])
            continue;
        count = 12345;
        next[tails[chain]] = heads[chain]; /* a loop */
        CHECK(pksm_collect(next, n, heads, n_chains, out, &count) == PKSM_EINVAL);
        next[tails[chain]] = n + below(1000); /* out of range */
        CHECK(pksm_collect(next, n, heads, n_chains, out, &count) == PKSM_EINVAL);
        CHECK(count == 12345);
        next[tails[chain]] = 0;
    }
    heads[below(n_chains)] = n;
    CHECK(pksm_collect(next, n, heads, n_chains, out, &count) == PKSM_EINVAL);
    free(next);
    free(out);
    free(heads);
    free(tails);
    free(expected);
}

int main(int argc, char **argv)
{
    seed_from(argc, argv);
    for (int i = 0; i < 200; i++) {
        test_group(below(100), 1 + below(256));
        test_collect(2 + below(60), 1 + below(8));
    }
    test_group(0, 11);
    test_group(50, 256);
    printf("ok\n");
    return 0;
}
