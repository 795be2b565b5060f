/* uksm_wakes.c: uksmd's wake-ups one after the other, as long as each only goes on with the slot of the last one.
 *
 * What a wake-up costs decides what the next one may visit: a model of its CPU time, a mean, quotas and strides, in
 * integers as the kernel computes them. */
#include "uksm.h"

enum { PARTS = 10000, MS_NS = 1000000, BATCH_SHIFT = 20, RECOVERY = 8, FEWEST_SAMPLED = 3, MOST_SLEEP_MS = 1000 };

static uint64_t quota_of(uint64_t sleep_ms, uint64_t ratio, uint64_t page_ns)
{
    return ratio < PARTS ? sleep_ms * MS_NS / (PARTS - ratio) * ratio / page_ns : UINT64_C(1) << 40;
}

static uint64_t stride_of(const pksm_uksm_pace *p)
{
    uint64_t sampled = p->cover_ms * 100 * p->ratio / p->page_ns;

    if (!p->cover_ms)
        return 1;
    sampled = sampled > FEWEST_SAMPLED ? sampled : FEWEST_SAMPLED;
    return p->pages > sampled ? p->pages / sampled : 1;
}

static void set_quotas(pksm_uksm_pace *p)
{
    if (p->sleep_times % RECOVERY == 0)
        p->sleep_ms = p->user_sleep_ms;
    if (!quota_of(p->sleep_ms, p->slowest_ratio, p->page_ns)) {
        uint64_t needed = p->page_ns * (PARTS - p->slowest_ratio) / p->slowest_ratio;

        p->sleep_ms = (needed + MS_NS - 1) / MS_NS + 1;
    }
    p->quota = quota_of(p->sleep_ms, p->ratio, p->page_ns);
    p->step = stride_of(p);
}

/* What visits cost: so many ns of CPU. */
static uint64_t batch_ns(const pksm_uksm_pace *p, const pksm_uksm_rules *rules, const pksm_uksm_work *before,
                         const pksm_uksm_work *now, uint64_t visits, uint64_t no_page, uint64_t merged)
{
    uint64_t pages = visits - no_page;
    uint64_t ns = no_page * p->no_page_ns + pages * p->page_visit_ns + (pages - merged) * p->search_ns;
    uint64_t words = (now->hashed - before->hashed) * rules->words +
                     (now->full_sums - before->full_sums) * (rules->most_words - rules->words);
    volatile double hashing = (double)words *
                              p->word_ns; /* rounded, as a machine that multiplies and adds at once does not */

    return p->batch_ns + (uint64_t)((double)ns + hashing) + (now->compares - before->compares) * p->compare_ns;
}

static void average(pksm_uksm_pace *p, uint64_t ns, uint64_t visits)
{
    uint64_t page_ns = ns / visits;

    if (page_ns > 10 * p->page_ns) {
        p->page_ns *= 2;
    } else {
        page_ns = (page_ns * 20 + p->page_ns * 80) / 100;
        p->page_ns = page_ns ? page_ns : 1;
    }
    if (p->page_ns > p->most_page_ns)
        p->page_ns = p->first_page_ns;
}

static void sleep_after(pksm_uksm_pace *p, uint64_t ns)
{
    uint64_t wanted = (ns >> BATCH_SHIFT) * (PARTS - p->ratio) / p->ratio;

    p->pause_ms = wanted > p->sleep_ms ? wanted : p->sleep_ms;
    p->pause_ms = p->pause_ms < MOST_SLEEP_MS ? p->pause_ms : MOST_SLEEP_MS;
    p->slept_ms += p->pause_ms;
}

/* Visits of the pass over the slot that are left, its last one included. */
static uint64_t left_of_pass(const pksm_uksm_pace *p, uint64_t done)
{
    uint64_t by_stride = (p->slot_pages - p->offset + p->step - 1) / p->step,
             by_page = p->slot_pages - p->cursor - done;

    by_stride = p->slot_pages > p->offset && by_stride ? by_stride : 1;
    return by_stride < by_page ? by_stride : by_page;
}

static NOINLINE int make_wakes(const uksm_scan *s, uint64_t first, const uint32_t *pages, const uint8_t *own, size_t n,
                               pksm_uksm_pace *p, uint8_t *outs, uint32_t *others)
{
    while (p->wakes < p->most_wakes && p->quota && p->quota <= n - p->visits && p->quota < left_of_pass(p, p->visits)) {
        pksm_uksm_work before = *s->work;
        uint64_t visits = p->quota, no_page = 0, merged = 0, ns;
        uint8_t *out = outs + p->visits;
        int status, something = 0;

        p->sleep_times++;
        p->last_step = p->step;
        status = pksm_uksm_visit_all(s, first + p->visits, pages + p->visits, own + p->visits, visits, out,
                                     others + p->visits);
        for (uint64_t i = 0; i < visits; i++) {
            no_page += out[i] <= PKSM_UKSM_ZERO_PTE;
            merged += out[i] == PKSM_UKSM_MERGED;
            something |= out[i] == PKSM_UKSM_ZEROED || out[i] == PKSM_UKSM_KEPT || out[i] == PKSM_UKSM_PAIR;
        }
        if (status != PKSM_OK)
            return status;
        ns = batch_ns(p, s->rules, &before, s->work, visits, no_page, merged);
        p->visits += visits;
        p->no_page += no_page;
        p->offset += visits * p->step;
        p->wakes++;
        average(p, ns, visits);
        set_quotas(p);
        sleep_after(p, ns);
        if (something)
            break;
    }
    return PKSM_OK;
}

EXPORT int pksm_uksm_wakes(const pksm_store *store, pksm_table *table, pksm_uksm *uksm, const pksm_uksm_rules *rules,
                           const uint8_t *classes, uint64_t first, const uint32_t *pages, const uint8_t *own, size_t n,
                           pksm_uksm_pace *pace, uint8_t *outs, uint32_t *others, pksm_uksm_work *work)
{
    int now = PKSM_OK, status = pksm_uksm_may_visit(store, table, uksm, rules, first, n, work);
    uksm_scan s = {store, table, uksm, rules, classes, work, &now};

    if (status == PKSM_OK && (!pace->page_ns || !pace->first_page_ns || !pace->step || !pace->ratio ||
                              pace->ratio > PARTS || !pace->slowest_ratio || pace->slowest_ratio > PARTS ||
                              pace->cursor > pace->slot_pages || n > pace->slot_pages - pace->cursor))
        status = PKSM_EINVAL;
    pace->wakes = pace->visits = pace->no_page = pace->slept_ms = 0;
    work->done = 0;
    memset(outs, 0, n);
    if (status == PKSM_OK)
        READING(status, make_wakes(&s, first, pages, own, n, pace, outs, others));
    return status;
}
