/* cksm.c: CKSM's walk over its list of pages: which page comes next depends on what became of the last ones.
 *
 * Pages are summed some at a time, along the way that the walk takes if nothing merges; where it takes another one,
 * what was summed ahead is left. */
#include "buckets.h"

enum { AHEAD = 32, FEWEST_AHEAD = 2 }; /* pages summed together: as many as the walk has come by of the last ones */
enum { FETCH_STEP = 3 };               /* visits between what is fetched and what looks at it */
enum { SUMMED = PKSM_CHECKSUM_LIST };  /* of an item whose bytes stay: its sum is known, though nobody has visited it */
enum { OLDEST = 11, MANY_NEW = 32768 }; /* passes; pages born in one pass */

typedef struct {
    const pksm_store *store;
    pksm_table *table;
    pksm_cksm *cksm;
    pksm_cksm_cursor *cursor;
    const pksm_cksm_rules *rules;
    const uint8_t *classes;
    pksm_cost *cost;
    uint32_t ahead[AHEAD];
    uint64_t sums[AHEAD];
    int8_t zero[AHEAD]; /* 1, 0; -1: not known */
    size_t n_ahead, next_ahead;
    size_t wanted; /* to be summed together next */
    int status;    /* PKSM_ETREE once a table has led nowhere */
} cksm_walk;

static const uint8_t steps_by_age[OLDEST + 1] = {41, 41, 29, 29, 17, 17, 17, 7, 7, 7, 7, 1};

static uint32_t step_after(const cksm_walk *w, uint32_t id)
{
    uint32_t age = w->cursor->pass - w->cksm->births[id];

    return w->cursor->new_pages > MANY_NEW ? steps_by_age[0] : steps_by_age[age < OLDEST ? age : OLDEST];
}

/* The place of the live entry so many steps on; -1 when the list ends before. *over: entries passed over. */
static int64_t place_after(const cksm_walk *w, int64_t at, uint64_t steps, uint64_t *over)
{
    *over = 0;
    while (--at >= 0) {
        uint32_t id = w->cksm->order[at];

        if (!id || id >= w->table->n_nodes || (w->table->nodes[id].flags & PKSM_DELLIST) ||
            w->table->nodes[id].page >= w->store->n_pages)
            continue;
        if (w->rules->kept_leave && (w->table->nodes[id].flags & PKSM_STABLE))
            continue;
        if (!--steps)
            return at;
        ++*over;
    }
    return -1;
}

static int cksm_class_of(const cksm_walk *w, uint32_t page)
{
    return w->classes ? w->classes[page] & (PKSM_MLOCKED - 1) : PKSM_FREE;
}

/* Fetches what the searches of one summed ahead begin with: its buckets; what is first there; the page of that if it
 * may match. Each reads what the one before has fetched, a few visits earlier. */
static INLINE void fetch_heads(const cksm_walk *w, size_t i)
{
    if (i >= w->n_ahead)
        return;
    __builtin_prefetch(pksm_bucket_of(&w->cksm->stable, w->sums[i]), 1, 2);
    __builtin_prefetch(pksm_bucket_of(&w->cksm->unstable, w->sums[i]), 1, 2);
    __builtin_prefetch(&w->table->nodes[w->ahead[i]], 1, 2);
}

static INLINE void fetch_first(const cksm_walk *w, const pksm_buckets *buckets, size_t i)
{
    uint32_t id = i < w->n_ahead ? *pksm_bucket_of(buckets, w->sums[i]) : 0;

    if (!id || id >= w->table->n_nodes)
        return;
    __builtin_prefetch(&w->table->nodes[id], 1, 2);
    __builtin_prefetch(&buckets->next[id], 1, 2);
    __builtin_prefetch(&buckets->before[id], 1, 2);
}

static INLINE void fetch_bucket(const cksm_walk *w, const pksm_buckets *buckets, size_t i)
{
    uint32_t id = i < w->n_ahead ? *pksm_bucket_of(buckets, w->sums[i]) : 0, page;

    if (!id || id >= w->table->n_nodes || id == w->ahead[i] || w->table->nodes[id].checksum != w->sums[i])
        return;
    page = w->table->nodes[id].page;
    if (page < w->store->n_pages)
        fetch_bytes(page_bytes(w->store, page), w->store->page_size);
}

/* Before visit i of those summed ahead. */
static void fetch_for_later(const cksm_walk *w, size_t i)
{
    fetch_heads(w, i + 3 * FETCH_STEP);
    fetch_first(w, &w->cksm->stable, i + 2 * FETCH_STEP);
    fetch_first(w, &w->cksm->unstable, i + 2 * FETCH_STEP);
    fetch_bucket(w, &w->cksm->stable, i + FETCH_STEP);
    fetch_bucket(w, &w->cksm->unstable, i + FETCH_STEP);
}

/* Sums the page of the item at a place, and of those that follow if none merges. */
static void sum_ahead(cksm_walk *w, int64_t at)
{
    uint32_t pages[AHEAD], which[AHEAD];
    uint64_t sums[AHEAD], status = w->cursor->status, over;
    uint8_t zero[AHEAD];
    size_t n = 0;
    int told = 0;

    w->wanted = w->next_ahead == w->n_ahead ? 2 * w->wanted : FEWEST_AHEAD;
    w->wanted = w->wanted < AHEAD ? w->wanted : AHEAD;
    w->n_ahead = 0;
    for (int looked_at = 0; w->n_ahead < w->wanted && looked_at < 2 * AHEAD && at >= 0; looked_at++) {
        uint32_t id = w->cksm->order[at], step;
        pksm_node *item = &w->table->nodes[id];

        if (!(item->flags & PKSM_STABLE)) {
            w->ahead[w->n_ahead] = id;
            w->sums[w->n_ahead] = item->checksum;
            w->zero[w->n_ahead] = -1;
            if (!w->rules->bytes_stay || (item->flags & (PKSM_INITCHECKSUM | SUMMED)) == PKSM_INITCHECKSUM) {
                which[n] = (uint32_t)w->n_ahead;
                pages[n++] = item->page;
            }
            w->n_ahead++;
            status >>= 1;
        }
        step = status ? 1 : step_after(w, id);
        at = place_after(w, at, step, &over);
    }
    if (n)
        told = pksm_sum_pages(w->store, &w->rules->checksum, pages, n, sums, zero);
    for (size_t i = 0; i < n; i++) {
        w->sums[which[i]] = salted(w->store, pages[i], sums[i], w->rules->zero_checksum);
        w->zero[which[i]] = told ? (int8_t)zero[i] : -1;
        if (w->rules->bytes_stay) {
            w->table->nodes[w->ahead[which[i]]].checksum = w->sums[which[i]];
            w->table->nodes[w->ahead[which[i]]].flags |= SUMMED;
        }
    }
    for (size_t i = 0; i < 3 * FETCH_STEP; i++)
        fetch_heads(w, i);
    w->next_ahead = 0;
}

/* The item of a table with this checksum and these bytes; 0: none, or the table leads nowhere. */
static uint32_t cksm_find(cksm_walk *w, const pksm_buckets *buckets, uint64_t sum, uint32_t page)
{
    size_t size = w->store->page_size, common;
    uint32_t id = *pksm_bucket_of(buckets, sum);

    for (uint64_t left = buckets->n_items; id; id = buckets->next[id]) {
        const pksm_node *node = &w->table->nodes[id];

        if (id >= w->table->n_nodes || node->page >= w->store->n_pages || !left--) {
            w->status = PKSM_ETREE;
            return 0;
        }
        w->cost->tree_steps++;
        if (node->checksum != sum || salt_order(w->store, page, node->page))
            continue;
        if (!pksm_kernels.compare(page_bytes(w->store, page), page_bytes(w->store, node->page), size, 0, &common)) {
            w->cost->bytes_compared += size;
            return id;
        }
        w->cost->bytes_compared += common + 1;
        w->cost->futile_compares++;
        w->cost->collisions++;
    }
    return 0;
}

static int may_merge(const cksm_walk *w, uint32_t page, uint32_t kept, int keeps_first)
{
    int class = cksm_class_of(w, kept);

    return cksm_class_of(w, page) == PKSM_FREE && (class == PKSM_FREE || (class == PKSM_NOT_KPAGE && !keeps_first));
}

static int cksm_visit(cksm_walk *w, uint32_t id, uint32_t *other)
{
    pksm_node *nodes = w->table->nodes, *item = &nodes[id];
    uint64_t sum = w->sums[w->next_ahead], before = item->checksum;
    int was_summed = !(item->flags & PKSM_INITCHECKSUM), zero;

    *other = 0;
    w->cost->bytes_hashed += w->store->page_size;
    if (item->flags & PKSM_UNSTABLE)
        w->status = pksm_buckets_erase(&w->cksm->unstable, w->table, id);
    if (w->status != PKSM_OK)
        return PKSM_STALE;
    item->flags &= (uint16_t)~(PKSM_UNSTABLE | PKSM_INITCHECKSUM | SUMMED);
    item->checksum = sum;
    if (cksm_class_of(w, item->page) == PKSM_NOT_ANON)
        return PKSM_BUSY;
    if (sum == w->rules->zero_checksum) {
        zero = w->zero[w->next_ahead];
        if (zero < 0 ? pksm_kernels.is_zero(page_bytes(w->store, item->page), w->store->page_size) : zero)
            return cksm_class_of(w, item->page) == PKSM_FREE ? PKSM_ZERO : PKSM_BUSY;
        w->cost->collisions++;
    }
    if (w->rules->zero_only)
        return PKSM_WAITING;
    *other = cksm_find(w, &w->cksm->stable, sum, item->page);
    if (*other)
        return may_merge(w, item->page, nodes[*other].page, 0) ? PKSM_JOINED : PKSM_BUSY;
    if (w->rules->waits_for_rest && !(was_summed && before == sum))
        return PKSM_STALE;
    *other = cksm_find(w, &w->cksm->unstable, sum, item->page);
    if (w->status != PKSM_OK)
        return PKSM_STALE;
    if (!*other) {
        w->status = pksm_buckets_insert(&w->cksm->unstable, w->table, id);
        item->flags |= w->status == PKSM_OK ? PKSM_UNSTABLE : 0;
        return PKSM_WAITING;
    }
    if (!may_merge(w, nodes[*other].page, item->page, 1))
        return PKSM_BUSY;
    w->status = pksm_buckets_erase(&w->cksm->unstable, w->table, *other);
    if (w->status == PKSM_OK) {
        nodes[*other].flags &= (uint16_t)~PKSM_UNSTABLE;
        w->status = pksm_buckets_insert(&w->cksm->stable, w->table, id);
    }
    if (w->status == PKSM_OK) {
        nodes[*other].flags |= PKSM_DELLIST;
        item->flags |= PKSM_STABLE;
    }
    return PKSM_PAIRED;
}

static int is_merge(int verdict)
{
    return verdict == PKSM_ZERO || verdict == PKSM_JOINED || verdict == PKSM_PAIRED;
}

static void begin_pass(cksm_walk *w)
{
    pksm_cksm_cursor *c = w->cursor;

    c->resting = !c->restless && !c->over;
    c->restless = c->over = 0;
    c->pass++;
    c->new_pages = 0;
    c->at = w->cksm->n_order;
}

static NOINLINE int cksm_visit_all(cksm_walk *w, size_t room, uint32_t *ids, uint8_t *verdicts, uint32_t *others,
                                   size_t *done)
{
    pksm_cksm_cursor *c = w->cursor;
    uint64_t over;
    int whole = 0, plain = 0; /* this pass began in this call; pages that are not kept were met in it */

    while (c->visited < w->rules->pages_to_scan && c->unmerged < w->rules->unmerged_to_end && *done < room) {
        int64_t at = place_after(w, (int64_t)c->at, c->status || c->at == w->cksm->n_order ? 1 : c->step, &over);
        uint32_t id;
        int verdict;

        c->over += over;
        if (at < 0) {
            if (c->at == w->cksm->n_order) { /* the list is empty */
                c->ended = 1;
                break;
            }
            c->ended = whole && !plain && !c->over; /* nothing but kept pages */
            begin_pass(w);
            whole = 1;
            plain = 0;
            if (c->ended)
                break;
            continue;
        }
        c->at = (uint64_t)at;
        id = w->cksm->order[at];
        if (w->table->nodes[id].flags & PKSM_STABLE) {
            c->step = step_after(w, id);
            if (!w->rules->kept_uncounted) {
                c->visited++;
                c->unmerged++;
            }
            continue;
        }
        plain = 1;
        if (w->next_ahead == w->n_ahead || w->ahead[w->next_ahead] != id)
            sum_ahead(w, at);
        fetch_for_later(w, w->next_ahead);
        verdict = cksm_visit(w, id, &others[*done]);
        if (w->status != PKSM_OK)
            return w->status;
        w->next_ahead++;
        w->cost->pages_visited++;
        c->visited++;
        if (is_merge(verdict)) {
            c->status++;
            c->unmerged = 0;
            if (verdict != PKSM_PAIRED)
                w->table->nodes[id].flags |= PKSM_DELLIST;
        } else {
            c->status >>= 1;
            c->unmerged++;
        }
        c->restless |= is_merge(verdict) || verdict == PKSM_STALE;
        c->step = step_after(w, id);
        ids[*done] = id;
        verdicts[*done] = (uint8_t)verdict;
        ++*done;
    }
    return PKSM_OK;
}

EXPORT int pksm_cksm_visit(const pksm_store *store, pksm_table *table, pksm_cksm *cksm, pksm_cksm_cursor *cursor,
                           const pksm_cksm_rules *rules, const uint8_t *classes, size_t room, uint32_t *ids,
                           uint8_t *verdicts, uint32_t *others, size_t *done, pksm_cost *cost)
{
    cksm_walk w = {.store = store,
                   .table = table,
                   .cksm = cksm,
                   .cursor = cursor,
                   .rules = rules,
                   .classes = classes,
                   .cost = cost,
                   .wanted = FEWEST_AHEAD};
    int status = pksm_check_pages(store, NULL, 0);

    *done = 0;
    if (status == PKSM_OK)
        status = pksm_check_items(NULL, table, NULL, 0);
    if (status == PKSM_OK && (pksm_buckets_check(&cksm->stable, table) || pksm_buckets_check(&cksm->unstable, table) ||
                              (cksm->n_order && !cksm->order) || !cksm->births || cksm->n_births < table->n_nodes ||
                              !rules->checksum.sum || cursor->at > cksm->n_order || !cursor->step))
        status = PKSM_EINVAL;
    if (status == PKSM_OK)
        READING(status, cksm_visit_all(&w, room, ids, verdicts, others, done));
    return status;
}
