/* page.c: compare pages, test them for zero, copy them; one and in batches. */
#include "core.h"

page_kernels pksm_kernels = {pksm_page_compare_scalar, pksm_page_is_zero_scalar};

int pksm_page_compare_scalar(const uint8_t *a, const uint8_t *b, size_t size_bytes, size_t from, size_t *common)
{
    size_t at = from & ~(size_t)7;

    /* whole cache lines first: one branch a line, and the compiler makes vectors of it */
    for (; at + 64 <= size_bytes; at += 64) {
        uint64_t differ = 0;
        for (int i = 0; i < 64; i += 8)
            differ |= load64(a + at + i) ^ load64(b + at + i);
        if (differ)
            break;
    }
    for (; at + 8 <= size_bytes; at += 8) {
        uint64_t differ = load64(a + at) ^ load64(b + at);
        if (differ) {
            at += (size_t)__builtin_ctzll(differ) / 8;
            *common = at;
            return a[at] < b[at] ? -1 : 1;
        }
    }
    for (; at < size_bytes; at++) {
        if (a[at] != b[at]) {
            *common = at;
            return a[at] < b[at] ? -1 : 1;
        }
    }
    *common = size_bytes;
    return 0;
}

int pksm_page_is_zero_scalar(const uint8_t *page, size_t size_bytes)
{
    size_t at = 0;

    for (; at + 64 <= size_bytes; at += 64) {
        uint64_t any = 0;
        for (int i = 0; i < 64; i += 8)
            any |= load64(page + at + i);
        if (any)
            return 0;
    }
    for (; at < size_bytes; at++)
        if (page[at])
            return 0;
    return 1;
}

EXPORT int pksm_page_compare(const uint8_t *a, const uint8_t *b, size_t size_bytes, size_t *common)
{
    return pksm_kernels.compare(a, b, size_bytes, 0, common);
}

EXPORT int pksm_page_is_zero(const uint8_t *page, size_t size_bytes)
{
    return pksm_kernels.is_zero(page, size_bytes);
}

static NOINLINE int are_zero(const pksm_store *store, const uint32_t *pages, size_t n, uint8_t *zero)
{
    for (size_t i = 0; i < n; i++)
        zero[i] = (uint8_t)pksm_kernels.is_zero(page_bytes(store, pages[i]), store->page_size);
    return PKSM_OK;
}

EXPORT int pksm_pages_are_zero(const pksm_store *store, const uint32_t *pages, size_t n, uint8_t *zero)
{
    int status = pksm_check_pages(store, pages, n);

    if (status == PKSM_OK)
        READING(status, are_zero(store, pages, n, zero));
    return status;
}

static NOINLINE int compare(const pksm_store *store, const uint32_t *a, const uint32_t *b, size_t n, int8_t *order)
{
    size_t common;

    for (size_t i = 0; i < n; i++)
        order[i] = (int8_t)pksm_kernels.compare(page_bytes(store, a[i]), page_bytes(store, b[i]), store->page_size, 0,
                                                &common);
    return PKSM_OK;
}

EXPORT int pksm_pages_compare(const pksm_store *store, const uint32_t *a, const uint32_t *b, size_t n, int8_t *order)
{
    int status = pksm_check_pages(store, a, n);

    if (status == PKSM_OK)
        status = pksm_check_pages(store, b, n);
    if (status == PKSM_OK)
        READING(status, compare(store, a, b, n, order));
    return status;
}

static NOINLINE int copy(const pksm_store *store, const uint32_t *pages, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n; i++)
        memcpy(out + i * store->page_size, page_bytes(store, pages[i]), store->page_size);
    return PKSM_OK;
}

EXPORT int pksm_pages_copy(const pksm_store *store, const uint32_t *pages, size_t n, uint8_t *out)
{
    int status = pksm_check_pages(store, pages, n);

    if (status == PKSM_OK)
        READING(status, copy(store, pages, n, out));
    return status;
}
