/* instructions.c: runs each kernel of the core once over the same bytes, for callgrind to count.
 *
 * `instructions LEVEL` works at that level of enum pksm_cpu (exit code 77 if this machine has no such level), calls
 * measured() once a kernel, and prints the kernels' names in that order. ci/instructions.py builds and runs it. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pksm.h"

enum { PAGES = 1024, SIZE = 4096, WORDS = 64, UNAVAILABLE = 77 };

static _Alignas(64) uint8_t bytes[PAGES * SIZE];
static uint64_t sections[PAGES / 64], sums[PAGES];
static uint32_t pages[PAGES], others[PAGES], ids[PAGES], revisit[PAGES], words[WORDS];
static uint8_t zero[PAGES], verdicts[PAGES];
static int8_t order[PAGES];
static pksm_node nodes[PAGES + 1];
static pksm_store store = {.sections = sections, .n_pages = PAGES, .page_size = SIZE};
static pksm_sample sample = {WORDS, words, 1};

/* What one measurement is about. */
typedef struct {
    pksm_checksum checksum;
    pksm_rules rules;
    const uint32_t *left, *right;
} subject;

static uint64_t random64(void)
{
    static uint64_t state = 1;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void need(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "instructions: %s failed\n", what);
        exit(1);
    }
}

/* An eighth zero, a quarter copies, a quarter behind a zero prefix, the rest random. */
static void make_pages(void)
{
    for (uint32_t page = 0; page < PAGES; page++) {
        uint8_t *at = bytes + (size_t)page * SIZE;
        size_t from = page % 8 < 2 ? random64() % (SIZE - 8) : 0;

        pages[page] = page;
        ids[page] = page + 1;
        if (page % 64 == 0)
            sections[page / 64] = (uintptr_t)at;
        if (page % 8 == 7)
            continue;
        if (page % 8 > 4 && page > 64) {
            memcpy(at, bytes + (page - 8 * (1 + random64() % 7) - 4) / 8 * 8 * SIZE, SIZE);
            continue;
        }
        for (size_t i = from; i < SIZE; i++)
            at[i] = (uint8_t)(random64() >> 32);
    }
    for (uint32_t i = 0; i < WORDS; i++)
        words[i] = (uint32_t)(random64() % (SIZE / 4));
}

/* gcc makes copies of functions, which callgrind would not find by name */
#ifdef __clang__
#define ALONE __attribute__((noinline))
#else
#define ALONE __attribute__((noinline, noclone))
#endif

/* callgrind counts what happens in here, and writes it down when it is left */
ALONE void measured(void (*work)(const subject *), const subject *of)
{
    work(of);
}

static void do_sum(const subject *of)
{
    need(pksm_checksum_pages(&store, &of->checksum, pages, PAGES, sums) == PKSM_OK, "pksm_checksum_pages");
}

static void do_zero(const subject *of)
{
    need(pksm_pages_are_zero(&store, of->left, PAGES, zero) == PKSM_OK, "pksm_pages_are_zero");
}

static void do_compare(const subject *of)
{
    need(pksm_pages_compare(&store, of->left, of->right, PAGES, order) == PKSM_OK, "pksm_pages_compare");
}

static void do_settle(const subject *of)
{
    pksm_table table = {.nodes = nodes, .n_nodes = PAGES + 1};
    pksm_trees trees = {0};
    pksm_cost cost = {0};
    size_t n_revisit, done;
    int status = pksm_settle(&store, &table, &trees, &of->rules, NULL, ids, PAGES, verdicts, others, revisit,
                             &n_revisit, &done, &cost);

    need(status == PKSM_OK && done == PAGES && trees.n_stable && trees.n_unstable, "pksm_settle");
}

/* Items whose checksum column is filled already: searches and trees are to be counted, not sums. */
static void make_items(const pksm_checksum *checksum)
{
    need(pksm_checksum_pages(&store, checksum, pages, PAGES, sums) == PKSM_OK, "pksm_checksum_pages");
    memset(nodes, 0, sizeof nodes);
    for (uint32_t page = 0; page < PAGES; page++) {
        nodes[page + 1].page = page;
        nodes[page + 1].checksum = sums[page];
    }
}

static void measure_settle(const char *name, int tree_order, int window, const pksm_checksum *checksum)
{
    static const uint8_t no_bytes[SIZE];
    subject of = {.rules = {.stages = {PKSM_STAGE_ZERO, PKSM_STAGE_STABLE, PKSM_STAGE_UNSTABLE},
                            .order = (uint8_t)tree_order,
                            .window = (uint8_t)window,
                            .distrust = tree_order != PKSM_CONTENT,
                            .zero_checksum = checksum->sum(no_bytes, SIZE, checksum->state),
                            .checksum = *checksum}};

    make_items(checksum);
    puts(name);
    measured(do_settle, &of);
}

int main(int argc, char **argv)
{
    size_t n;
    const pksm_strategy *strategies;
    subject of;
    pksm_checksum first = {0};
    static uint32_t zero_pages[PAGES], last[PAGES];

    if (argc != 2 || pksm_cpu_select(atoi(argv[1])))
        return UNAVAILABLE;
    make_pages();
    strategies = pksm_strategies(&n);
    for (size_t i = 0; i < n; i++) {
        const pksm_strategy *s = &strategies[i];

        of = (subject){.checksum = {s->sum, s->takes_sample ? &sample : NULL, s->many}};
        if (!i)
            first = of.checksum;
        printf("checksum %s\n", s->name);
        measured(do_sum, &of);
    }
    for (uint32_t i = 0; i < PAGES; i++) {
        zero_pages[i] = i / 8 * 8 + 7;
        last[i] = i / 8 * 8;
    }
    puts("zero test, zero pages");
    of = (subject){.left = zero_pages};
    measured(do_zero, &of);
    puts("zero test, pages behind a zero prefix");
    of = (subject){.left = last};
    measured(do_zero, &of);
    puts("compare, equal pages");
    of = (subject){.left = zero_pages, .right = zero_pages};
    measured(do_compare, &of);
    puts("compare, pages behind a zero prefix with zero pages");
    of = (subject){.left = last, .right = zero_pages};
    measured(do_compare, &of);
    measure_settle("settle, order checksum-content", PKSM_CHECKSUM_CONTENT, 32, &first);
    measure_settle("settle, order checksum-content, one by one", PKSM_CHECKSUM_CONTENT, 1, &first);
    measure_settle("settle, order checksum", PKSM_CHECKSUM, 32, &first);
    measure_settle("settle, order content", PKSM_CONTENT, 32, &first);
    measure_settle("settle, order content, one by one", PKSM_CONTENT, 1, &first);
    return 0;
}
