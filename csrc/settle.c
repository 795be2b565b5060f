/* settle.c: takes a batch of items through the stages of the rules.
 *
 * Items are committed one at a time, in order of arrival (stages.c). A window of them is summed and searched for
 * together beforehand (flight.c); what was seen then is used only where it still holds. */
#include "settle.h"

/* Items whose candidates' bytes are on their way while another is settled: fetched all at once, they would be waited
 * for; fetched later, too. */
enum { EARLY = 6 };

static void give_sum(const batch *b, pksm_node *item, uint64_t sum)
{
    item->checksum = sum;
    item->flags &= (uint16_t)~PKSM_INITCHECKSUM;
    b->tree.cost->bytes_hashed += b->tree.store->page_size;
}

/* Sums those items of a window that need it. position: of the first in the batch. */
static void sum_window(const batch *b, const uint32_t *ids, size_t position, size_t n, lane *lanes)
{
    pksm_node *nodes = b->tree.table->nodes;
    uint32_t pages[PKSM_MAX_WINDOW];
    uint64_t sums[PKSM_MAX_WINDOW];
    uint8_t zero[PKSM_MAX_WINDOW], unsummed[PKSM_MAX_WINDOW];
    size_t n_unsummed = 0;
    int told;

    if (b->ahead)
        pksm_ahead_reach(b->ahead, position + n);
    for (size_t i = 0; i < n; i++) {
        pksm_node *item = &nodes[ids[position + i]];
        lanes[i].flies = !(item->flags & (PKSM_STABLE | PKSM_DELLIST)) && !stays(b, class_of(b, item->page));
        lanes[i].zero = -1;
        if (!lanes[i].flies || !(item->flags & PKSM_INITCHECKSUM) || !b->rules->checksum.sum)
            continue;
        if (b->ahead && pksm_ahead_take(b->ahead, position + i, item->page, &sums[0], &lanes[i].zero)) {
            fetch_roots(b->tree.table, sums[0]);
            give_sum(b, item, sums[0]);
            continue;
        }
        unsummed[n_unsummed] = (uint8_t)i;
        pages[n_unsummed++] = item->page;
    }
    if (!n_unsummed)
        return;
    told = pksm_sum_pages(b->tree.store, &b->rules->checksum, pages, n_unsummed, sums, zero);
    for (size_t k = 0; k < n_unsummed; k++) {
        fetch_roots(b->tree.table, sums[k]);
        give_sum(b, &nodes[ids[position + unsummed[k]]], sums[k]);
        if (told)
            lanes[unsummed[k]].zero = zero[k];
    }
}

/* Lets all items of a window fly that have been summed and will search. */
static void fly_window(const batch *b, const uint32_t *ids, size_t n, lane *lanes)
{
    for (size_t i = 0; i < n; i++) {
        const pksm_node *item = &b->tree.table->nodes[ids[i]];
        lanes[i].checksum = item->checksum;
        lanes[i].page = item->page;
        lanes[i].seen[0].what = lanes[i].seen[1].what = SIGHT_NONE;
        lanes[i].flies &= !(item->flags & PKSM_INITCHECKSUM) && item->checksum != b->rules->zero_checksum;
    }
    pksm_fly(&b->tree, lanes, n);
}

static INLINE void fetch_candidate(const batch *b, const lane *l)
{
    if (pksm_fetch_match(&b->tree, l) && b->ahead) /* what another has summed is not in our caches */
        fetch_bytes(page_bytes(b->tree.store, l->page), b->tree.store->page_size);
}

/* Items of the next window: of n that are left, so that none is much smaller than the others. And whether they can work
 * together: those that are in a tree already could be found by others before their turn comes. */
static size_t window_at(const batch *b, const uint32_t *ids, size_t n, int *together)
{
    size_t windows = (n + b->window - 1) / b->window, part = n ? (n + windows - 1) / windows : 0;
    int flags = part > 1 ? 0 : PKSM_UNSTABLE;

    for (size_t i = 0; i < part; i++)
        flags |= b->tree.table->nodes[ids[i]].flags;
    *together = !(flags & PKSM_UNSTABLE);
    return part;
}

static NOINLINE int settle(const batch *b, const uint32_t *ids, size_t n, uint8_t *verdicts, uint32_t *others,
                           size_t *done)
{
    static const lane alone = {.zero = -1};
    lane lanes[2][PKSM_MAX_WINDOW], *now = lanes[0], *next = lanes[1], *swap;
    int together, summed = 0; /* summed: the window, while the one before it waited for its candidates' bytes */
    size_t part;

    for (size_t start = 0; start < n; start += part) {
        int next_together;
        size_t next_part;

        part = window_at(b, ids + start, n - start, &together);
        pksm_forget_gaps(&b->gone[0]);
        pksm_forget_gaps(&b->gone[1]);
        if (together) {
            if (!summed)
                sum_window(b, ids, start, part, now);
            if (start + part < n && !b->ahead)
                fetch_bytes(page_bytes(b->tree.store, b->tree.table->nodes[ids[start + part]].page),
                            b->tree.store->page_size);
            fly_window(b, ids + start, part, now);
            for (size_t i = 0; i < part && i < EARLY; i++)
                fetch_candidate(b, &now[i]);
        }
        next_part = window_at(b, ids + start + part, n - start - part, &next_together);
        summed = together && next_together;
        if (summed)
            sum_window(b, ids, start + part, next_part, next);
        for (size_t i = 0; i < part; i++) {
            int verdict;

            if (together && i + EARLY < part)
                fetch_candidate(b, &now[i + EARLY]);
            verdict = pksm_settle_one(b, ids[start + i], together ? &now[i] : &alone, &others[start + i]);

            if (verdict == FULL)
                return PKSM_OK;
            verdicts[start + i] = (uint8_t)verdict;
            b->tree.cost->pages_visited++;
            *done = start + i + 1;
            if (verdict == PKSM_HANGS)
                return PKSM_OK;
        }
        swap = now, now = next, next = swap;
    }
    return PKSM_OK;
}

static int rules_are_sound(const pksm_rules *rules)
{
    return pksm_check_stages(rules, 1) == PKSM_OK && rules->order <= PKSM_CHECKSUM_CONTENT &&
           rules->window <= PKSM_MAX_WINDOW;
}

/* Without a checksum function, nothing may have to be summed. */
static int nothing_to_sum(const pksm_table *table, const pksm_rules *rules, const uint32_t *ids, size_t n)
{
    if (rules->distrust || memchr(rules->stages, PKSM_STAGE_UNCHANGED, sizeof rules->stages))
        return 0;
    for (size_t i = 0; i < n; i++)
        if (table->nodes[ids[i]].flags & PKSM_INITCHECKSUM)
            return 0;
    return 1;
}

static int settle_with(const pksm_store *store, pksm_table *table, pksm_trees *trees, const pksm_rules *rules,
                       const uint8_t *classes, const uint32_t *ids, size_t n, pksm_ahead *ahead, uint8_t *verdicts,
                       uint32_t *others, uint32_t *revisit, size_t *n_revisit, size_t *done, pksm_cost *cost)
{
    filled gone[2] = {{0}, {0}};
    batch b = {.gone = gone,
               .ahead = ahead,
               .rules = rules,
               .classes = classes,
               .revisit = revisit,
               .n_revisit = n_revisit,
               .room = n};
    int unchanged, status = pksm_check_pages(store, NULL, 0);

    if (status == PKSM_OK)
        status = pksm_check_items(store, table, ids, n);
    if (status == PKSM_OK && !rules_are_sound(rules))
        status = PKSM_EINVAL;
    if (status == PKSM_OK)
        status = pksm_check_forest(table, rules->order);
    if (status == PKSM_OK && !rules->checksum.sum && !nothing_to_sum(table, rules, ids, n))
        status = PKSM_EINVAL;
    if (status != PKSM_OK)
        return status;
    b.tree = (page_tree){.store = store,
                         .table = table,
                         .trees = trees,
                         .cost = cost,
                         .order = rules->order,
                         .distrust = rules->distrust,
                         .checksum = rules->checksum};
    unchanged = memchr(rules->stages, PKSM_STAGE_UNCHANGED, sizeof rules->stages) != NULL;
    b.sum_at_once = rules->order != PKSM_CONTENT || !unchanged;
    b.window = unchanged || rules->on_stale == PKSM_STOP || !rules->window ? 1 : rules->window;
    *done = *n_revisit = 0;
    READING(status, settle(&b, ids, n, verdicts, others, done));
    return status;
}

EXPORT int pksm_settle(const pksm_store *store, pksm_table *table, pksm_trees *trees, const pksm_rules *rules,
                       const uint8_t *classes, const uint32_t *ids, size_t n, uint8_t *verdicts, uint32_t *others,
                       uint32_t *revisit, size_t *n_revisit, size_t *done, pksm_cost *cost)
{
    return settle_with(store, table, trees, rules, classes, ids, n, NULL, verdicts, others, revisit, n_revisit, done,
                       cost);
}

EXPORT int pksm_settle_batch(const pksm_store *store, pksm_table *table, pksm_trees *trees, const pksm_rules *rules,
                             const uint8_t *classes, const uint32_t *ids, size_t n, pksm_ahead *ahead, uint32_t *rows,
                             uint32_t *starts, size_t *n_revisit, size_t *done, pksm_cost *cost)
{
    uint32_t *others = rows + 5 * n, *revisit = rows + 6 * n;
    uint8_t *verdicts = (uint8_t *)(rows + 7 * n);
    int sorted, status;

    *n_revisit = *done = 0;
    status = settle_with(store, table, trees, rules, classes, ids, n, ahead, verdicts, others, revisit, n_revisit, done,
                         cost);
    if (ahead)
        pksm_ahead_reach(ahead, UINT64_MAX);
    if (status != PKSM_OK && status != PKSM_EBUS)
        return status;
    sorted = pksm_sort_verdicts(table, ids, verdicts, others, *done, rows, starts);
    return sorted == PKSM_OK ? status : sorted;
}
