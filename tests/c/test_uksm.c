/* uksm: one slot of few pages and few contents, visited in shuffled order; pages are written, unmapped and freed,
 * strengths change. After each call the trees, links and counts are those of a plain count. Then all of it is spoilt at
 * random: calls return an error or go on, and read nothing that is not there. */
#include "world.h"

enum { PAGES = 60, ENTRIES = 32, IDS = 400, HEADS = 8 };
#define NOBODY (UINT32_MAX - 1)
#define ZERO UINT32_MAX

typedef struct {
    world w;
    pksm_uksm uksm;
    pksm_uksm_rules rules;
    pksm_uksm_work work;
    uint32_t *next, *before;
    uint32_t ptes[ENTRIES];
    uint64_t full_modulus;
} uksm_world;

static void make_tree(uksm_world *k, pksm_uksm_tree *tree)
{
    tree->nodes = (pksm_buckets){block(HEADS * 4), HEADS, k->next, k->before, IDS, 0};
    tree->items = (pksm_buckets){block(HEADS * 4), HEADS, k->next, k->before, IDS, 0};
}

static void make(uksm_world *k)
{
    uint8_t *zero;

    memset(k, 0, sizeof *k);
    make_world(&k->w, PAGES, IDS - 1, 8u << below(4), 2 + below(6));
    zero = block(k->w.size);
    memset(k->w.table.nodes, 0, IDS * sizeof *k->w.table.nodes);
    k->next = block(IDS * 4);
    k->before = block(IDS * 4);
    make_tree(k, &k->uksm.unstable);
    make_tree(k, &k->uksm.stable);
    k->uksm.permutation = block(ENTRIES * 4);
    k->uksm.item_at = block(ENTRIES * 4);
    k->uksm.n_entries = ENTRIES;
    k->uksm.slot = block(IDS * 4);
    k->uksm.index = block(IDS * 4);
    k->uksm.full = block(IDS * 4);
    k->uksm.node = block(IDS * 4);
    k->uksm.first = block(IDS * 4);
    k->uksm.count = block(IDS * 4);
    k->uksm.kept_of_page = block(PAGES * 4);
    k->uksm.spare = block(IDS * 4);
    k->uksm.freed = block(IDS * 4);
    k->uksm.n_ids = k->uksm.n_room = IDS;
    k->uksm.n_pages = PAGES;
    for (uint32_t id = 1; id < IDS; id++)
        k->uksm.spare[k->work.n_spare++] = id;
    for (uint32_t i = 0; i < ENTRIES; i++) {
        k->uksm.permutation[i] = i;
        k->ptes[i] = one_in(6) ? NOBODY : i;
    }
    k->full_modulus = 1 + below(40);
    k->rules = (pksm_uksm_rules){.checksum = {weak_sum, &k->w.modulus, one_in(2) ? weak_sums : NULL},
                                 .full = {weak_sum, &k->full_modulus, NULL},
                                 .zero_checksum = weak_sum(zero, k->w.size, &k->w.modulus),
                                 .words = 2,
                                 .most_words = 10,
                                 .positive = 8,
                                 .compare_cost = 6,
                                 .counts_first = (uint8_t)below(2)};
    free(zero);
}

static void free_uksm(uksm_world *k)
{
    pksm_uksm *u = &k->uksm;
    uint32_t *blocks[] = {k->next, k->before, u->permutation, u->item_at,      u->slot,  u->index, u->full,
                          u->node, u->first,  u->count,       u->kept_of_page, u->spare, u->freed};

    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        free(blocks[i]);
    free(u->unstable.nodes.heads);
    free(u->unstable.items.heads);
    free(u->stable.nodes.heads);
    free(u->stable.items.heads);
    free_world(&k->w);
}

static uint64_t in_buckets(const uksm_world *k, const pksm_buckets *buckets)
{
    uint64_t n = 0;

    for (uint32_t head = 0; head < HEADS; head++)
        for (uint32_t id = buckets->heads[head], before = 0; id; before = id, id = k->next[id])
            CHECK(k->before[id] == before && (k->w.table.nodes[id].checksum & (HEADS - 1)) == head && ++n < IDS);
    CHECK(n == buckets->n_items);
    return n;
}

/* Counts what stands in which node, and hangs on what, from the links alone. */
static void check_all(const uksm_world *k)
{
    const pksm_node *nodes = k->w.table.nodes;
    uint32_t hang[IDS] = {0}, inside[IDS] = {0}, n_nodes = 0, firsts = 0;
    int64_t shared = 0, sharing = 0, unshared = 0;

    for (uint32_t i = 0; i < ENTRIES; i++) {
        uint32_t id = k->uksm.item_at[i];

        if (!id)
            continue;
        CHECK(k->uksm.index[id] == k->uksm.permutation[i] && !k->uksm.count[id]);
        hang[nodes[id].link]++;
        unshared += !!(nodes[id].flags & (PKSM_UNSTABLE | PKSM_PASSED));
        CHECK(!(nodes[id].flags & PKSM_UNSTABLE) == !k->uksm.node[id]);
    }
    for (uint32_t id = 1; id < IDS; id++)
        inside[k->uksm.node[id]]++;
    for (uint32_t id = 1; id < IDS; id++) {
        int is_stable = !!(nodes[id].flags & PKSM_STABLE), is_buried = is_stable && nodes[id].flags & PKSM_DELLIST;

        if (is_stable) /* stays while its page lives, also when nothing hangs on it; buried, while anything does */
            CHECK((k->uksm.kept_of_page[nodes[id].page] == id) == !is_buried && !inside[id] &&
                  k->uksm.count[id] == hang[id] && (hang[id] || !is_buried));
        if (hang[id]) { /* but for stable nodes that were let go of */
            shared += is_stable;
            sharing += is_stable * (hang[id] - 1);
            CHECK(k->uksm.count[id] == hang[id]);
        } else if (inside[id]) {
            n_nodes++;
            firsts += k->uksm.first[id] != 0;
            CHECK(k->uksm.count[id] == inside[id]);
        }
    }
    CHECK(k->work.shared == shared && k->work.sharing == sharing && k->work.unshared == unshared);
    CHECK(in_buckets(k, &k->uksm.unstable.nodes) + in_buckets(k, &k->uksm.stable.nodes) == n_nodes);
    CHECK(in_buckets(k, &k->uksm.unstable.items) + in_buckets(k, &k->uksm.stable.items) + firsts + inside[0] ==
          IDS - 1);
}

static void give_back(uksm_world *k)
{
    for (uint64_t i = 0; i < k->work.n_freed && k->work.n_spare < IDS; i++)
        k->uksm.spare[k->work.n_spare++] = k->uksm.freed[i];
    k->work.n_freed = 0;
}

static int maps(const uksm_world *k, uint32_t page)
{
    for (uint32_t i = 0; i < ENTRIES; i++)
        if (k->ptes[i] == page)
            return 1;
    return 0;
}

/* Pages that nobody maps are freed. */
static void bury_some(uksm_world *k)
{
    for (uint32_t page = 0; page < PAGES; page++)
        if (!maps(k, page))
            CHECK(pksm_uksm_bury(&k->w.table, &k->uksm, &page, 1, &k->work) == PKSM_OK);
    give_back(k);
}

static int visit(uksm_world *k, uint32_t first, uint32_t n, uint8_t *outs, uint32_t *others)
{
    uint32_t *pages = block(n * 4);
    uint8_t *own = block(n);
    int status;

    for (uint32_t i = 0; i < n; i++) {
        pages[i] = k->ptes[k->uksm.permutation[first + i] % ENTRIES];
        own[i] = !one_in(5);
    }
    status = pksm_uksm_visit(&k->w.store, &k->w.table, &k->uksm, &k->rules, NULL, first, pages, own, n, outs, others,
                             &k->work);
    CHECK(k->work.done <= n);
    free(pages);
    free(own);
    return status;
}

static void merge_some(uksm_world *k)
{
    uint32_t first = below(ENTRIES), n = below(ENTRIES - first + 1), others[ENTRIES];
    uint64_t partners[ENTRIES];
    uint8_t outs[ENTRIES];
    const pksm_node *nodes = k->w.table.nodes;

    for (uint32_t i = 0; i < n; i++)
        partners[i] = first + i + below(ENTRIES - first - i);
    CHECK(pksm_uksm_shuffle(&k->uksm, 0, first, partners, n, ENTRIES) == PKSM_OK);
    CHECK(visit(k, first, n, outs, others) == PKSM_OK && k->work.done == n);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t mine = k->uksm.item_at[first + i], index = k->uksm.permutation[first + i], moving, target;

        if (outs[i] == PKSM_UKSM_ZEROED) {
            CHECK(pksm_page_is_zero(page_at(&k->w, k->ptes[index]), k->w.size));
            k->ptes[index] = ZERO;
        }
        if (outs[i] != PKSM_UKSM_KEPT && outs[i] != PKSM_UKSM_PAIR)
            continue;
        moving = outs[i] == PKSM_UKSM_PAIR ? others[i] : mine;
        target = nodes[nodes[moving].link].page;
        CHECK(memcmp(page_of(&k->w, moving), page_at(&k->w, target), k->w.size) == 0);
        k->w.table.nodes[moving].page = target;
        k->ptes[k->uksm.index[moving]] = target;
    }
    give_back(k);
}

/* Items that wait know the pages that they map now, or that they have none. */
static void refresh(uksm_world *k)
{
    for (uint32_t i = 0; i < ENTRIES; i++) {
        pksm_node *item = &k->w.table.nodes[k->uksm.item_at[i]];
        uint32_t page = k->ptes[k->uksm.permutation[i]];

        if (!(item->flags & PKSM_UNSTABLE))
            continue;
        item->flags &= (uint16_t)~PKSM_DELLIST;
        if (page < PAGES)
            item->page = page;
        else
            item->flags |= PKSM_DELLIST;
    }
}

/* Ptes get a page that nobody maps, with new contents, or none. */
static void write_some(uksm_world *k)
{
    for (uint32_t i = 0; i < ENTRIES; i++) {
        uint32_t page = below(PAGES);

        if (!one_in(6))
            continue;
        k->ptes[i] = NOBODY;
        if (one_in(4) || maps(k, page))
            continue;
        CHECK(pksm_uksm_bury(&k->w.table, &k->uksm, &page, 1, &k->work) == PKSM_OK);
        write_page(&k->w, page);
        k->ptes[i] = page;
    }
    refresh(k);
    bury_some(k);
}

static void drop_some(uksm_world *k)
{
    for (uint32_t i = 0; i < ENTRIES; i++) {
        uint32_t id = k->uksm.item_at[i];
        int for_good = one_in(2);

        if (!id || !one_in(8))
            continue;
        CHECK(pksm_uksm_drop(&k->w.table, &k->uksm, &id, 1, for_good, &k->work) == PKSM_OK);
        CHECK(!k->w.table.nodes[id].link && !(k->w.table.nodes[id].flags & PKSM_UNSTABLE));
        if (for_good)
            k->uksm.item_at[i] = 0;
    }
    give_back(k);
}

/* Another strength: nothing waits any more, and stable nodes are sorted in by other hashes. */
static void hash_anew(uksm_world *k)
{
    CHECK(pksm_uksm_empty(&k->w.table, &k->uksm, &k->work) == PKSM_OK);
    give_back(k);
    CHECK(!k->uksm.unstable.nodes.n_items && !k->uksm.unstable.items.n_items && !k->uksm.stable.nodes.n_items);
    k->w.modulus = 1 + below(6);
    k->rules.zero_checksum = 0;
    for (uint32_t page = 0; page < PAGES; page++) {
        uint32_t kept = k->uksm.kept_of_page[page];
        uint64_t sum = weak_sum(page_at(&k->w, page), k->w.size, &k->w.modulus);
        uint64_t full = weak_sum(page_at(&k->w, page), k->w.size, &k->full_modulus);

        if (kept)
            CHECK(pksm_uksm_sort_in(&k->w.table, &k->uksm, &kept, &sum, &full, 1, &k->work) == PKSM_OK);
    }
}

static void live(uksm_world *k)
{
    for (int step = 0; step < 60; step++) {
        switch (below(6)) {
        case 0:
            write_some(k);
            break;
        case 1:
            drop_some(k);
            break;
        case 2:
            if (one_in(3))
                hash_anew(k);
            break;
        default:
            merge_some(k);
        }
        check_all(k);
    }
}

static void spoil_word(uint32_t *words, uint32_t n)
{
    words[below(n)] = one_in(4) ? (uint32_t)random64() : below(IDS + 3);
}

/* Whatever links, counts, flags and pages say, calls come back, with a status that is one. */
static void spoil(uksm_world *k)
{
    pksm_uksm *u = &k->uksm;
    pksm_buckets *tables[] = {&u->unstable.nodes, &u->unstable.items, &u->stable.nodes, &u->stable.items};
    uint32_t *by_item[] = {k->next, k->before, u->full, u->node, u->first, u->count, u->spare, u->freed};

    for (int step = 0; step < 60; step++) {
        uint32_t id = below(IDS), first = below(ENTRIES), others[ENTRIES];
        uint64_t sums[1] = {below(5)}, fulls[1] = {below(5)};
        uint8_t outs[ENTRIES];
        int status;

        for (int times = 0; times < 3; times++) {
            spoil_word(by_item[below(8)], IDS);
            spoil_word(tables[below(4)]->heads, HEADS);
        }
        spoil_word(one_in(2) ? u->item_at : u->permutation, ENTRIES);
        spoil_word(u->kept_of_page, PAGES);
        spoil_word(one_in(2) ? &k->w.table.nodes[id].page : &k->w.table.nodes[id].link, 1);
        k->w.table.nodes[id].flags ^= (uint16_t)(1 << below(9));
        if (one_in(4))
            tables[below(4)]->n_items = one_in(4) ? random64() : below(IDS);
        if (one_in(4))
            k->work.n_spare = one_in(4) ? random64() : below(IDS + 1);
        if (one_in(4))
            k->work.n_freed = one_in(4) ? random64() : below(IDS + 1);
        switch (below(6)) {
        case 0:
            status = pksm_uksm_drop(&k->w.table, u, &id, 1, (int)below(2), &k->work);
            break;
        case 1:
            status = pksm_uksm_bury(&k->w.table, u, &id, 1, &k->work);
            break;
        case 2:
            status = pksm_uksm_sort_in(&k->w.table, u, &id, sums, fulls, 1, &k->work);
            break;
        case 3:
            status = pksm_uksm_empty(&k->w.table, u, &k->work);
            break;
        default:
            status = visit(k, first, 1 + below(ENTRIES - first), outs, others);
        }
        CHECK(status >= PKSM_OK && status <= PKSM_ETREE && status != PKSM_EBUS);
    }
}

static void test_refused_arguments(void)
{
    uint32_t page = 0, other, id = 1;
    uint64_t partner = 0;
    uint8_t own = 1, out;
    uksm_world k, sound;

    make(&k);
    sound = k;
#define REFUSED(change, first, n, error)                                                                       \
    do {                                                                                                       \
        pksm_table *table = &k.w.table;                                                                        \
        change;                                                                                                \
        CHECK(pksm_uksm_visit(&k.w.store, table, &k.uksm, &k.rules, NULL, first, &page, &own, n, &out, &other, \
                              &k.work) == (error));                                                            \
        CHECK(!k.work.done && !k.work.hashed);                                                                 \
        k = sound;                                                                                             \
    } while (0)
    REFUSED(table = NULL, 0, 1, PKSM_EINVAL);
    REFUSED(k.w.table.nodes = NULL, 0, 1, PKSM_EINVAL);
    REFUSED(k.w.store.page_size = 0, 0, 1, PKSM_EINVAL);
    REFUSED((void)table, ENTRIES, 1, PKSM_EINVAL);
    REFUSED((void)table, 1, SIZE_MAX, PKSM_EINVAL); /* their sum is 0 */
    REFUSED((void)table, UINT64_MAX, 1, PKSM_EINVAL);
    REFUSED(k.work.n_spare = 3, 0, 1, PKSM_EINVAL);
    REFUSED(k.work.n_spare = IDS + 1, 0, 1, PKSM_EINVAL);
    REFUSED(k.uksm.n_pages = PAGES - 1, 0, 1, PKSM_EINVAL);
    REFUSED(k.uksm.n_ids = IDS - 1, 0, 1, PKSM_EINVAL);
    REFUSED(k.uksm.full = NULL, 0, 1, PKSM_EINVAL);
    REFUSED(k.uksm.kept_of_page = NULL, 0, 1, PKSM_EINVAL);
    REFUSED(k.uksm.stable.items.next = NULL, 0, 1, PKSM_EINVAL);
    REFUSED(k.uksm.unstable.nodes.n_heads = 0, 0, 1, PKSM_EINVAL);
    REFUSED(k.rules.full.sum = NULL, 0, 1, PKSM_EINVAL);
    k.uksm.item_at[0] = IDS;
    REFUSED((void)table, 0, 1, PKSM_EITEM);
    k.uksm.item_at[0] = 0;
#undef REFUSED
    CHECK(pksm_uksm_drop(NULL, &k.uksm, &id, 1, 0, &k.work) == PKSM_EINVAL);
    CHECK(pksm_uksm_empty(NULL, &k.uksm, &k.work) == PKSM_EINVAL);
    CHECK(pksm_uksm_bury(NULL, &k.uksm, &page, 1, &k.work) == PKSM_EINVAL);
    id = IDS;
    CHECK(pksm_uksm_drop(&k.w.table, &k.uksm, &id, 1, 0, &k.work) == PKSM_EITEM);
    CHECK(pksm_uksm_sort_in(&k.w.table, &k.uksm, &id, &partner, &partner, 1, &k.work) == PKSM_EITEM);
    CHECK(pksm_uksm_shuffle(&k.uksm, 0, 0, &partner, 1, ENTRIES + 1) == PKSM_EINVAL);
    CHECK(pksm_uksm_shuffle(&k.uksm, 0, 1, &partner, SIZE_MAX, ENTRIES) == PKSM_EINVAL);
    CHECK(pksm_uksm_shuffle(&k.uksm, 0, 1, &partner, 1, ENTRIES) == PKSM_EINVAL);
    k.uksm.spare[IDS - 2] = IDS; /* the next that is taken */
    CHECK(pksm_uksm_visit(&k.w.store, &k.w.table, &k.uksm, &k.rules, NULL, 0, &page, &own, 1, &out, &other, &k.work) ==
          (pksm_page_is_zero(page_at(&k.w, 0), k.w.size) ? PKSM_OK : PKSM_ETREE));
    free_uksm(&k);
}

/* The last of a node's chain leads to its first: a search ends, and so does its visit. */
static void test_a_circle(void)
{
    uint32_t others[ENTRIES];
    uint8_t outs[ENTRIES];
    uksm_world k;

    make(&k);
    k.w.modulus = 1;
    k.rules.zero_checksum = 1;
    for (uint32_t head = 0; head < HEADS; head++)
        k.uksm.stable.nodes.heads[head] = 7;
    k.w.table.nodes[7].checksum = k.w.table.nodes[8].checksum = 1;
    k.next[7] = 8;
    k.next[8] = 7;
    k.ptes[0] = 0;
    CHECK(visit(&k, 0, 1, outs, others) == PKSM_ETREE && !k.work.done);
    free_uksm(&k);
}

int main(int argc, char **argv)
{
    seed_from(argc, argv);
    for (int round = 0; round < 300; round++) {
        uksm_world k;

        make(&k);
        live(&k);
        spoil(&k);
        free_uksm(&k);
    }
    test_refused_arguments();
    test_a_circle();
    printf("ok\n");
    return 0;
}
