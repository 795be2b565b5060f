/* Pages: compare, zero test, copies, alone and through a store, in blocks with nothing to spare. */
#include "check.h"

static int sign(int v)
{
    return (v > 0) - (v < 0);
}

static void test_one(size_t size, size_t offset)
{
    uint8_t *left = block(size + offset), *right = block(size + offset);
    uint8_t *a = left + offset, *b = right + offset;
    size_t common, at = below((uint32_t)size);

    CHECK(pksm_page_is_zero(a, size));
    fill_random(a, size);
    memcpy(b, a, size);
    common = 0;
    CHECK(pksm_page_compare(a, b, size, &common) == 0);
    CHECK(common == size);
    fill_random(b + at, size - at);
    b[at] = (uint8_t)(a[at] + 1 + below(255));
    CHECK(pksm_page_compare(a, b, size, &common) == sign(memcmp(a, b, size)));
    CHECK(common == at);
    CHECK(pksm_page_compare(b, a, size, &common) == sign(memcmp(b, a, size)));
    CHECK(common == at);
    memset(a, 0, size);
    a[at] = (uint8_t)(1u << below(8));
    CHECK(!pksm_page_is_zero(a, size));
    free(left);
    free(right);
}

/* Two regions, the second one's first section misaligned; the last section is not full. */
static void test_store(size_t size)
{
    enum { FIRST = 64, SECOND = 5, N = FIRST + SECOND };
    uint8_t *one = block(FIRST * size), *two = block(SECOND * size + 3);
    uint64_t sections[2] = {(uintptr_t)one, (uintptr_t)(two + 3)};
    pksm_store store = {.sections = sections, .n_pages = N, .page_size = size};
    uint32_t pages[N], others[N];
    uint8_t zero[N], *out = block(N * size);
    int8_t order[N];

    for (uint32_t i = 0; i < N; i++) {
        uint8_t *bytes = i < FIRST ? one + i * size : two + 3 + (i - FIRST) * size;
        if (one_in(2))
            memset(bytes + below((uint32_t)size), 1 + (int)below(3), 1);
        pages[i] = N - 1 - i;
        others[i] = below(N);
    }
    CHECK(pksm_pages_copy(&store, pages, N, out) == PKSM_OK);
    CHECK(pksm_pages_are_zero(&store, pages, N, zero) == PKSM_OK);
    CHECK(pksm_pages_compare(&store, pages, others, N, order) == PKSM_OK);
    for (uint32_t i = 0; i < N; i++) {
        const uint8_t *page = pages[i] < FIRST ? one + pages[i] * size : two + 3 + (pages[i] - FIRST) * size;
        CHECK(memcmp(out + i * size, page, size) == 0);
        CHECK(zero[i] == pksm_page_is_zero(page, size));
        CHECK(order[i] == sign(memcmp(page, out + (N - 1 - others[i]) * size, size)));
    }
    pages[below(N)] = N;
    memset(zero, 7, N);
    CHECK(pksm_pages_are_zero(&store, pages, N, zero) == PKSM_EPAGE);
    CHECK(pksm_pages_copy(&store, pages, N, out) == PKSM_EPAGE);
    CHECK(pksm_pages_compare(&store, others, pages, N, order) == PKSM_EPAGE);
    CHECK(zero[0] == 7 && zero[N - 1] == 7);
    store.page_size = size - 1;
    CHECK(pksm_pages_are_zero(&store, others, N, zero) == PKSM_EINVAL);
    store.page_size = 4;
    CHECK(pksm_pages_are_zero(&store, others, N, zero) == PKSM_EINVAL);
    free(one);
    free(two);
    free(out);
}

static void test_levels_refused(void)
{
    CHECK(pksm_cpu_select(pksm_cpu_best() + 1) == PKSM_EINVAL);
    CHECK(pksm_cpu_select(-1) == PKSM_EINVAL);
}

int main(int argc, char **argv)
{
    seed_from(argc, argv);
    test_levels_refused();
    AT_EVERY_LEVEL {
        for (size_t size = 8; size <= 65536; size *= 2)
            for (size_t offset = 0; offset < 9; offset++)
                for (int i = 0; i < (size < 8192 ? 30 : 3); i++)
                    test_one(size, offset);
        for (size_t size = 8; size <= 4096; size *= 2)
            test_store(size);
    }
    printf("ok\n");
    return 0;
}
