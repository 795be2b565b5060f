/* ahead.c: other threads sum the pages of a batch, a little ahead of the one that settles it.
 *
 * Nobody waits for a sum: what is not there when its turn comes is summed on the spot. So verdicts and trees do not
 * depend on how many threads there are, or how fast. */
#include "core.h"

#include <time.h>

enum { PAUSE_NS = 20000 };

int pksm_ahead_take(const pksm_ahead *ahead, size_t position, uint32_t page, uint64_t *sum, int *zero)
{
    int ready;

    if (position >= ahead->n || ahead->pages[position] != page)
        return 0;
    ready = __atomic_load_n(&ahead->ready[position / PKSM_AHEAD_BLOCK], __ATOMIC_ACQUIRE);
    if (ready == PKSM_AHEAD_NOT)
        return 0;
    *sum = ahead->sums[position];
    *zero = ready == PKSM_AHEAD_ZEROS ? ahead->zero[position] : -1;
    return 1;
}

void pksm_ahead_reach(pksm_ahead *ahead, uint64_t position)
{
    __atomic_store_n(&ahead->at, position, __ATOMIC_RELAXED);
}

static uint64_t reached(const pksm_ahead *ahead)
{
    return __atomic_load_n(&ahead->at, __ATOMIC_RELAXED);
}

static NOINLINE int sum_block(const pksm_store *store, const pksm_checksum *checksum, pksm_ahead *ahead, size_t first)
{
    size_t end = ahead->n - first < PKSM_AHEAD_BLOCK ? ahead->n : first + PKSM_AHEAD_BLOCK, n = 0;
    uint32_t pages[PKSM_AHEAD_BLOCK], positions[PKSM_AHEAD_BLOCK];
    uint64_t sums[PKSM_AHEAD_BLOCK];
    uint8_t zero[PKSM_AHEAD_BLOCK];
    int told;

    for (size_t at = first; at < end; at++) {
        pages[n] = ahead->pages[at];
        positions[n] = (uint32_t)at;
        n += ahead->pages[at] < store->n_pages;
    }
    told = n ? pksm_sum_pages(store, checksum, pages, n, sums, zero) : 0;
    for (size_t i = 0; i < n; i++) {
        ahead->sums[positions[i]] = sums[i];
        if (told)
            ahead->zero[positions[i]] = zero[i];
    }
    __atomic_store_n(&ahead->ready[first / PKSM_AHEAD_BLOCK], told ? PKSM_AHEAD_ZEROS : PKSM_AHEAD_SUMS,
                     __ATOMIC_RELEASE);
    return PKSM_OK;
}

/* Waits until the one that settles has come near; what has been summed too long before has left the caches. */
static void wait_for(const pksm_ahead *ahead, uint64_t first)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};

    while (first > ahead->lead && reached(ahead) < first - ahead->lead)
        nanosleep(&pause, NULL);
}

EXPORT int pksm_sum_ahead(const pksm_store *store, const pksm_checksum *checksum, pksm_ahead *ahead)
{
    int status = checksum && checksum->sum && ahead->n <= UINT32_MAX ? pksm_check_pages(store, NULL, 0) : PKSM_EINVAL;

    while (status == PKSM_OK) {
        uint64_t first = __atomic_fetch_add(&ahead->next, 1, __ATOMIC_RELAXED) * PKSM_AHEAD_BLOCK;

        if (first >= ahead->n)
            break;
        wait_for(ahead, first);
        if (reached(ahead) <= first)
            READING(status, sum_block(store, checksum, ahead, first));
    }
    return status;
}
