/* UKSM's visits: any entries, pages and rules; ptes that change, items that are dropped, pages that die. The trees are
 * whole after each call, until links, flags and counts are spoilt: from then on calls come back, and read nothing that
 * is not there. */
#include "input.h"

enum { PAGES = 32, ENTRIES = 24, IDS = 200, HEADS = 4 };

typedef struct {
    pages p;
    pksm_table table;
    pksm_uksm uksm;
    pksm_uksm_work work;
    uint32_t *next, *before;
    uint32_t ptes[ENTRIES];
    uint64_t full_modulus;
    int spoilt;
} world;

static uint32_t **by_item(world *w, uint32_t *arrays[9])
{
    pksm_uksm *u = &w->uksm;
    uint32_t *all[] = {w->next, w->before, u->full, u->node, u->first, u->count, u->slot, u->index, u->freed};

    memcpy(arrays, all, sizeof all);
    return arrays;
}

static pksm_buckets *buckets_of(world *w, uint32_t which)
{
    pksm_uksm_tree *tree = which & 2 ? &w->uksm.stable : &w->uksm.unstable;

    return which & 1 ? &tree->items : &tree->nodes;
}

static uint64_t in_buckets(const world *w, const pksm_buckets *buckets)
{
    uint64_t n = 0;

    for (uint32_t head = 0; head < HEADS; head++)
        for (uint32_t id = buckets->heads[head], before = 0; id; before = id, id = w->next[id])
            CHECK(w->before[id] == before && (w->table.nodes[id].checksum & (HEADS - 1)) == head && ++n < IDS);
    CHECK(n == buckets->n_items);
    return n;
}

static void check(world *w)
{
    const pksm_node *nodes = w->table.nodes;
    uint32_t hang[IDS] = {0}, in_trees = 0, firsts = 0;
    int64_t shared = 0, sharing = 0, unshared = 0;

    for (uint32_t i = 0; i < ENTRIES; i++) {
        uint32_t id = w->uksm.item_at[i];

        hang[id ? nodes[id].link : 0]++;
        unshared += id && nodes[id].flags & (PKSM_UNSTABLE | PKSM_PASSED);
    }
    for (uint32_t id = 1; id < IDS; id++) {
        int is_stable = !!(nodes[id].flags & PKSM_STABLE), is_buried = is_stable && nodes[id].flags & PKSM_DELLIST;

        shared += is_stable && hang[id];
        sharing += is_stable && hang[id] ? hang[id] - 1 : 0;
        in_trees += w->uksm.node[id] != 0;
        firsts += !hang[id] && w->uksm.first[id] != 0;
        CHECK(!hang[id] || w->uksm.count[id] == hang[id]);
        CHECK(!is_stable || (w->uksm.kept_of_page[nodes[id].page] == id) == !is_buried);
        CHECK(!is_buried || hang[id]);
    }
    CHECK(w->work.shared == shared && w->work.sharing == sharing && w->work.unshared == unshared);
    CHECK(in_buckets(w, buckets_of(w, 1)) + in_buckets(w, buckets_of(w, 3)) + firsts == in_trees);
    in_buckets(w, buckets_of(w, 0));
    in_buckets(w, buckets_of(w, 2));
}

static void give_back(world *w)
{
    for (uint64_t i = 0; i < w->work.n_freed && i < IDS && w->work.n_spare < IDS; i++)
        w->uksm.spare[w->work.n_spare++] = w->uksm.freed[i];
    w->work.n_freed = 0;
}

static int is_mapped(const world *w, uint32_t page)
{
    for (uint32_t i = 0; i < ENTRIES; i++)
        if (w->ptes[i] == page)
            return 1;
    return 0;
}

/* Items that wait know the pages that they map now; pages that nobody maps are free. */
static void refresh(world *w)
{
    for (uint32_t i = 0; i < ENTRIES; i++) {
        pksm_node *item = &w->table.nodes[w->uksm.item_at[i]];
        uint32_t page = w->ptes[w->uksm.permutation[i]];

        if (!(item->flags & PKSM_UNSTABLE))
            continue;
        item->flags = (uint16_t)((item->flags & ~PKSM_DELLIST) | (page < w->p.n ? 0 : PKSM_DELLIST));
        item->page = page < w->p.n ? page : item->page;
    }
    for (uint32_t page = 0; page < w->p.n; page++)
        if (!is_mapped(w, page))
            CHECK(pksm_uksm_bury(&w->table, &w->uksm, &page, 1, &w->work) == PKSM_OK);
    give_back(w);
}

static void move_ptes(world *w, uint32_t first, const uint8_t *outs, const uint32_t *others)
{
    for (uint64_t i = 0; i < w->work.done; i++) {
        uint32_t id = outs[i] == PKSM_UKSM_PAIR ? others[i] : w->uksm.item_at[first + i];
        pksm_node *moving = &w->table.nodes[id];

        if (outs[i] == PKSM_UKSM_ZEROED)
            w->ptes[w->uksm.permutation[first + i]] = UINT32_MAX;
        if (outs[i] != PKSM_UKSM_KEPT && outs[i] != PKSM_UKSM_PAIR)
            continue;
        CHECK(!memcmp(page_at(&w->p, moving->page), page_at(&w->p, w->table.nodes[moving->link].page), w->p.size));
        moving->page = w->ptes[w->uksm.index[id]] = w->table.nodes[moving->link].page;
    }
}

static void visit(world *w, input *in)
{
    uint32_t first = next_index(in, ENTRIES + 1), part = first <= ENTRIES ? ENTRIES - first : 0;
    size_t given = next_below(in, part + 1), n = next_below(in, 32) == 31 ? SIZE_MAX - next_byte(in) : given;
    uint32_t *seen = block(given * 4), *others = block(given * 4);
    uint8_t *own = block(given), *outs = block(given), *classes = next_bit(in) ? block(w->p.n) : NULL;
    pksm_uksm_rules rules = {.checksum = {weak_sum, &w->p.modulus, next_bit(in) ? weak_sums : NULL},
                             .full = {next_below(in, 16) ? weak_sum : NULL, &w->full_modulus, NULL},
                             .zero_checksum = next_below(in, 3),
                             .words = 2,
                             .most_words = 10,
                             .compare_cost = 6,
                             .counts_first = (uint8_t)next_bit(in)};
    int status;

    for (size_t i = 0; i < given; i++) {
        seen[i] = w->ptes[w->uksm.permutation[first + i] % ENTRIES];
        own[i] = next_below(in, 4) != 0;
    }
    for (uint32_t page = 0; classes && page < w->p.n; page++)
        classes[page] = next_byte(in) & 1 ? PKSM_FREE : PKSM_BUSY_PAGE;
    status = pksm_uksm_visit(&w->p.store, &w->table, &w->uksm, &rules, classes, first, seen, own, n, outs, others,
                             &w->work);
    CHECK(w->work.done <= given && (w->spoilt || status == PKSM_OK || status == PKSM_EINVAL));
    if (!w->spoilt)
        move_ptes(w, first, outs, others);
    give_back(w);
    free(seen);
    free(others);
    free(own);
    free(outs);
    free(classes);
}

static void shuffle(world *w, input *in)
{
    uint64_t first = next_index(in, ENTRIES), n = next_below(in, ENTRIES), end = next_index(in, ENTRIES + 1);
    uint64_t *partners = block(n * sizeof *partners);

    for (uint64_t i = 0; i < n; i++)
        partners[i] = first + i + next_below(in, ENTRIES);
    pksm_uksm_shuffle(&w->uksm, next_below(in, 2), first, partners, n, end);
    free(partners);
}

static void drop(world *w, input *in)
{
    uint32_t at = next_below(in, ENTRIES), id = w->uksm.item_at[at];
    int for_good = next_bit(in), status = pksm_uksm_drop(&w->table, &w->uksm, &id, 1, for_good, &w->work);

    CHECK(w->spoilt || status == (id ? PKSM_OK : PKSM_EITEM));
    if (for_good)
        w->uksm.item_at[at] = 0;
    give_back(w);
}

/* Writes to a page of its own, or unmaps. */
static void change(world *w, input *in)
{
    uint32_t at = next_below(in, ENTRIES), page = next_below(in, w->p.n);

    w->ptes[at] = UINT32_MAX - 1;
    if (!is_mapped(w, page)) {
        pksm_uksm_bury(&w->table, &w->uksm, &page, 1, &w->work);
        write_page(&w->p, page, next_byte(in));
        w->ptes[at] = page;
    }
    if (!w->spoilt)
        refresh(w);
}

static void spoil(world *w, input *in)
{
    uint32_t *arrays[9];
    pksm_node *node = &w->table.nodes[next_below(in, IDS)];

    w->spoilt = 1;
    by_item(w, arrays);
    for (int times = next_below(in, 8); times; times--)
        arrays[next_below(in, 9)][next_below(in, IDS)] = next_index(in, IDS);
    buckets_of(w, next_below(in, 4))->heads[next_below(in, HEADS)] = next_index(in, IDS);
    w->uksm.item_at[next_below(in, ENTRIES)] = next_index(in, IDS);
    w->uksm.kept_of_page[next_below(in, w->p.n)] = next_index(in, IDS);
    w->uksm.spare[next_below(in, IDS)] = next_index(in, IDS);
    node->flags ^= (uint16_t)(next_byte(in) << next_below(in, 3));
    node->page = next_index(in, w->p.n);
    node->link = next_index(in, IDS);
    if (next_below(in, 4) == 3)
        buckets_of(w, next_below(in, 4))->n_items = next_index(in, IDS);
    if (next_below(in, 4) == 3)
        w->work.n_spare = next_index(in, IDS);
    if (next_below(in, 4) == 3)
        w->work.n_freed = next_index(in, IDS);
}

static void sort_in(world *w, input *in)
{
    uint32_t id = next_index(in, IDS);
    uint64_t sum = next_below(in, 4), full = next_below(in, 4);

    pksm_uksm_sort_in(&w->table, &w->uksm, &id, &sum, &full, 1, &w->work);
}

/* Sorts the stable node of a page in by its hashes. */
static void settle_in(world *w, uint32_t page)
{
    uint64_t sum = weak_sum(page_at(&w->p, page), w->p.size, &w->p.modulus);
    uint64_t full = weak_sum(page_at(&w->p, page), w->p.size, &w->full_modulus);
    uint32_t kept = w->uksm.kept_of_page[page];

    if (kept)
        CHECK(pksm_uksm_sort_in(&w->table, &w->uksm, &kept, &sum, &full, 1, &w->work) == PKSM_OK);
}

static void make(world *w, input *in)
{
    pksm_uksm *u = &w->uksm;

    w->table = (pksm_table){.nodes = block(IDS * sizeof *w->table.nodes), .n_nodes = IDS};
    w->next = block(IDS * 4);
    w->before = block(IDS * 4);
    for (uint32_t which = 0; which < 4; which++)
        *buckets_of(w, which) = (pksm_buckets){block(HEADS * 4), HEADS, w->next, w->before, IDS, 0};
    u->permutation = block(ENTRIES * 4);
    u->item_at = block(ENTRIES * 4);
    u->n_entries = ENTRIES;
    u->slot = block(IDS * 4);
    u->index = block(IDS * 4);
    u->full = block(IDS * 4);
    u->node = block(IDS * 4);
    u->first = block(IDS * 4);
    u->count = block(IDS * 4);
    u->kept_of_page = block(w->p.n * 4);
    u->spare = block(IDS * 4);
    u->freed = block(IDS * 4);
    u->n_ids = u->n_room = IDS;
    u->n_pages = w->p.n;
    w->full_modulus = 1 + next_byte(in);
    for (uint32_t id = 1; id < IDS; id++)
        u->spare[w->work.n_spare++] = id;
    for (uint32_t i = 0; i < ENTRIES; i++) {
        u->permutation[i] = i;
        w->ptes[i] = i < w->p.n ? i : UINT32_MAX - 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    world w = {.p = next_pages(&in, PAGES)};
    uint32_t *arrays[9];

    make(&w, &in);
    while (in.left) {
        switch (next_below(&in, 16)) {
        case 0:
            drop(&w, &in);
            break;
        case 1:
        case 2:
            change(&w, &in);
            break;
        case 3:
            if (next_below(&in, 8) == 7)
                spoil(&w, &in);
            break;
        case 4:
            if (w.spoilt)
                sort_in(&w, &in);
            break;
        case 5:
            CHECK(pksm_uksm_empty(&w.table, &w.uksm, &w.work) == PKSM_OK || w.spoilt);
            give_back(&w);
            for (uint32_t page = 0; page < w.p.n; page++)
                if (!w.spoilt)
                    settle_in(&w, page);
            break;
        case 6:
            shuffle(&w, &in);
            break;
        default:
            visit(&w, &in);
        }
        if (!w.spoilt)
            check(&w);
    }
    by_item(&w, arrays);
    for (int i = 0; i < 9; i++)
        free(arrays[i]);
    for (uint32_t which = 0; which < 4; which++)
        free(buckets_of(&w, which)->heads);
    free(w.uksm.permutation);
    free(w.uksm.item_at);
    free(w.uksm.kept_of_page);
    free(w.uksm.spare);
    free(w.table.nodes);
    free_pages(&w.p);
    return 0;
}
