/* The functions that threads call side by side: disjoint parts of one array, one store; also built with TSan. A mapped
 * file that shrinks shows that each thread jumps back to its own call: not under TSan, which blocks a signal while its
 * handler runs, and does not notice that it is left by a jump. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

enum { SIZE = 4096, N = 256, THREADS = 4, ROUNDS = 4, EACH = N / THREADS };

static uint8_t bytes[N * SIZE];
static uint64_t sections[N / 64];
static pksm_store store = {.sections = sections, .n_pages = N, .page_size = SIZE};
static uint32_t pages[N], words[] = {0, 7, 31, 900};
static uint64_t sums[N], expected[N];
static uint8_t zero[N];
static int8_t order[N];
static pksm_checksum checksum;

static void *sum_part(void *argument)
{
    size_t first = *(size_t *)argument;

    for (int round = 0; round < ROUNDS; round++) {
        CHECK(pksm_checksum_pages(&store, &checksum, pages + first, EACH, sums + first) == PKSM_OK);
        CHECK(pksm_pages_are_zero(&store, pages + first, EACH, zero + first) == PKSM_OK);
        CHECK(pksm_pages_compare(&store, pages, pages + first, EACH, order + first) == PKSM_OK);
    }
    return NULL;
}

static void in_threads(void *(*work)(void *))
{
    pthread_t threads[THREADS];
    size_t first[THREADS];

    for (size_t i = 0; i < THREADS; i++) {
        first[i] = i * EACH;
        CHECK(pthread_create(&threads[i], NULL, work, &first[i]) == 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

/* Every strategy at every level: the level is chosen once, before there are threads. */
static void test_parts_of_one_array(void)
{
    pksm_sample sample = {4, words, 1};

    AT_EVERY_LEVEL {
        size_t n;
        const pksm_strategy *strategies = pksm_strategies(&n);

        for (size_t i = 0; i < n; i++) {
            checksum = (pksm_checksum){strategies[i].sum, strategies[i].takes_sample ? &sample : NULL,
                                       strategies[i].many};
            CHECK(pksm_checksum_pages(&store, &checksum, pages, N, expected) == PKSM_OK);
            memset(sums, 0xA5, sizeof sums);
            in_threads(sum_part);
            CHECK(memcmp(sums, expected, sizeof sums) == 0);
        }
    }
}

/* ---- sums ahead of settling ---- */

typedef struct {
    pksm_node nodes[N + 1];
    pksm_trees trees;
    pksm_cost cost;
    uint32_t rows[8 * N], starts[PKSM_N_VERDICTS + 1];
    size_t n_revisit, done;
} settled;

static pksm_ahead ahead;

static void *sum_ahead(void *argument)
{
    (void)argument;
    CHECK(pksm_sum_ahead(&store, &checksum, &ahead) == PKSM_OK);
    return NULL;
}

/* Settles all pages, with sums of others or without. */
static void settle_all(settled *s, const pksm_rules *rules, pksm_ahead *with)
{
    pksm_table table = {.nodes = s->nodes, .n_nodes = N + 1};
    uint32_t ids[N];

    memset(s, 0, sizeof *s);
    for (uint32_t i = 0; i < N; i++) {
        ids[i] = i + 1;
        s->nodes[i + 1].page = pages[i];
        s->nodes[i + 1].flags = PKSM_INITCHECKSUM;
    }
    CHECK(pksm_settle_batch(&store, &table, &s->trees, rules, NULL, ids, N, with, s->rows, s->starts, &s->n_revisit,
                            &s->done, &s->cost) == PKSM_OK);
    CHECK(s->done == N);
}

/* Whoever has summed a page, and whenever: nodes, verdicts, costs are the same. */
static void test_sums_ahead(void)
{
    static settled alone, together;
    static uint64_t made[N];
    static uint8_t zeros[N], ready[N / PKSM_AHEAD_BLOCK];
    static const uint8_t no_bytes[SIZE];
    static uint32_t asked[N];
    pthread_t threads[THREADS];
    pksm_rules rules;
    size_t n;
    const pksm_strategy *strategies = pksm_strategies(&n);

    for (size_t round = 0; round < 3 * n; round++) {
        const pksm_strategy *strategy = &strategies[round / 3];
        pksm_sample sample = {4, words, 1};
        int before = round % 3 == 0; /* all that is asked is there before settling begins */

        checksum = (pksm_checksum){strategy->sum, strategy->takes_sample ? &sample : NULL, strategy->many};
        CHECK(pksm_rules_default(&rules, &checksum, no_bytes, SIZE) == PKSM_OK);
        settle_all(&alone, &rules, NULL);
        for (uint32_t i = 0; i < N; i++)
            asked[i] = one_in(5) ? UINT32_MAX : pages[i];
        memset(ready, 0, sizeof ready);
        ahead = (pksm_ahead){
            .pages = asked, .n = N, .lead = before ? N : below(N), .sums = made, .zero = zeros, .ready = ready};
        if (before) {
            sum_ahead(NULL);
            for (size_t block = 0; block < sizeof ready; block++)
                CHECK(ready[block]);
            settle_all(&together, &rules, &ahead);
        } else {
            for (size_t i = 0; i < THREADS; i++)
                CHECK(pthread_create(&threads[i], NULL, sum_ahead, NULL) == 0);
            settle_all(&together, &rules, &ahead);
            for (size_t i = 0; i < THREADS; i++)
                CHECK(pthread_join(threads[i], NULL) == 0);
        }
        CHECK(ahead.at == UINT64_MAX);
        CHECK(memcmp(alone.nodes, together.nodes, sizeof alone.nodes) == 0);
        CHECK(memcmp(&alone.trees, &together.trees, sizeof alone.trees) == 0);
        CHECK(memcmp(&alone.cost, &together.cost, sizeof alone.cost) == 0);
        CHECK(memcmp(alone.rows, together.rows, sizeof alone.rows) == 0);
        CHECK(memcmp(alone.starts, together.starts, sizeof alone.starts) == 0);
    }
    ahead.n = (uint64_t)UINT32_MAX + 1;
    CHECK(pksm_sum_ahead(&store, &checksum, &ahead) == PKSM_EINVAL);
    CHECK(pksm_sum_ahead(&store, NULL, &ahead) == PKSM_EINVAL);
}

/* Let the store's pages lie at an address. */
static void place(const uint8_t *at)
{
    for (size_t i = 0; i < N / 64; i++)
        sections[i] = (uintptr_t)at + i * 64 * SIZE;
}

#if defined(__has_feature) && !defined(__SANITIZE_THREAD__) /* clang */
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__
#endif
#endif

#ifndef __SANITIZE_THREAD__
static int n_faults;

/* Thread 0 reads pages that are there; the others read behind the end of the file. */
static void *read_behind_the_end(void *argument)
{
    size_t first = *(size_t *)argument;

    for (int round = 0; round < ROUNDS; round++) {
        int said = pksm_checksum_pages(&store, &checksum, pages + first, EACH, sums + first);

        CHECK(said == (first ? PKSM_EBUS : PKSM_OK));
        if (said == PKSM_EBUS)
            __atomic_add_fetch(&n_faults, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void test_a_file_that_shrinks(void)
{
    char name[] = "/tmp/pksm-test-threads-XXXXXX";
    int file = mkstemp(name);
    size_t n;
    const pksm_strategy *strategies = pksm_strategies(&n);
    void *mapped;

    CHECK(file >= 0 && unlink(name) == 0 && ftruncate(file, N * SIZE) == 0);
    mapped = mmap(NULL, N * SIZE, PROT_READ, MAP_PRIVATE, file, 0);
    CHECK(mapped != MAP_FAILED && ftruncate(file, EACH * SIZE) == 0);
    place(mapped);
    checksum = (pksm_checksum){strategies[0].sum, NULL, strategies[0].many};
    in_threads(read_behind_the_end);
    CHECK(n_faults == (THREADS - 1) * ROUNDS);
    munmap(mapped, N * SIZE);
    close(file);
}
#endif

/* What Python never does: all threads write the same part. */
static void *sum_the_same(void *argument)
{
    (void)argument;
    CHECK(pksm_checksum_pages(&store, &checksum, pages, EACH, sums) == PKSM_OK);
    return NULL;
}

/* With `race` behind the seed it does what has to be found. */
int main(int argc, char **argv)
{
    seed_from(argc, argv);
    for (uint32_t i = 0; i < N; i++)
        pages[i] = i;
    place(bytes);
    fill_random(bytes, sizeof bytes / 2);
    if (argc > 2 && strcmp(argv[2], "race") == 0) {
        size_t n;

        checksum.sum = pksm_strategies(&n)->sum;
        in_threads(sum_the_same);
        return 0;
    }
    memcpy(bytes + N * SIZE / 4, bytes, N * SIZE / 8); /* some are equal; the second half is zero */
    test_parts_of_one_array();
    test_sums_ahead();
#ifndef __SANITIZE_THREAD__
    CHECK(pksm_catch_bus_errors() == PKSM_OK);
    test_a_file_that_shrinks();
#endif
    return 0;
}
