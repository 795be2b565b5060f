/* A mapped file that shrinks: calls say PKSM_EBUS, trees stay whole; without a call under way the process ends. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

enum { SIZE = 4096, N = 64 };

static uint64_t first_word(const uint8_t *page, size_t size_bytes, const void *state)
{
    uint64_t word;

    (void)size_bytes;
    (void)state;
    memcpy(&word, page, sizeof word);
    return word % 5;
}

/* A private mapping of a file of N pages, each with its number in front. */
static uint8_t *map_file(int *file)
{
    char name[] = "/tmp/pksm-test-bus-XXXXXX";
    uint8_t page[SIZE] = {0}, *mapped;

    *file = mkstemp(name);
    CHECK(*file >= 0 && unlink(name) == 0);
    for (uint64_t i = 0; i < N; i++) {
        memcpy(page, &i, sizeof i);
        CHECK(write(*file, page, SIZE) == SIZE);
    }
    mapped = mmap(NULL, N * SIZE, PROT_READ, MAP_PRIVATE, *file, 0);
    CHECK(mapped != MAP_FAILED);
    return mapped;
}

static void test_batches(void)
{
    int file, status;
    uint8_t *mapped = map_file(&file), *out = block(N * SIZE), zero[N];
    uint64_t sections[1] = {(uintptr_t)mapped}, sums[N];
    uint32_t pages[N], keep = below(N);
    int8_t order[N];
    pksm_store store = {.sections = sections, .n_pages = N, .page_size = SIZE};
    pksm_checksum checksum = {.sum = first_word};

    for (uint32_t i = 0; i < N; i++)
        pages[i] = i;
    CHECK(pksm_pages_copy(&store, pages, N, out) == PKSM_OK);
    CHECK(ftruncate(file, keep * SIZE) == 0);
    for (int again = 0; again < 2; again++) { /* the way back works more than once */
        CHECK(pksm_pages_copy(&store, pages, N, out) == PKSM_EBUS);
        CHECK(pksm_pages_are_zero(&store, pages, N, zero) == PKSM_EBUS);
        CHECK(pksm_pages_compare(&store, pages, pages, N, order) == PKSM_EBUS);
        CHECK(pksm_checksum_pages(&store, &checksum, pages, N, sums) == PKSM_EBUS);
        CHECK(pksm_checksum_pages(&store, &checksum, pages, keep, sums) == PKSM_OK);
    }
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        /* not a read of the core: the default treatment */
        _exit(*(volatile uint8_t *)(mapped + (N - 1) * SIZE) + 1);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    CHECK(munmap(mapped, N * SIZE) == 0);
    close(file);
    free(out);
}

/* A window of searches, or one at a time; items out of the trees (so that many may fly) or in them. */
static void test_settle(int order, uint8_t window, int unlinked)
{
    int file;
    uint8_t *mapped = map_file(&file), verdicts[N];
    uint64_t sections[1] = {(uintptr_t)mapped};
    pksm_store store = {.sections = sections, .n_pages = N, .page_size = SIZE};
    pksm_table table = {.nodes = block((N + 1) * sizeof *table.nodes), .n_nodes = N + 1};
    pksm_trees trees = {0};
    pksm_cost cost = {0};
    pksm_rules rules = {.stages = {PKSM_STAGE_ZERO, PKSM_STAGE_STABLE, PKSM_STAGE_UNSTABLE},
                        .order = (uint8_t)order,
                        .window = window,
                        .zero_checksum = 0,
                        .checksum = {first_word, NULL, NULL}};
    uint32_t ids[N], others[N], revisit[N], left = 0;
    size_t n_revisit = 0, done = 0;

    for (uint32_t i = 0; i < N; i++) {
        ids[i] = i + 1;
        table.nodes[i + 1].page = i;
        table.nodes[i + 1].flags = PKSM_INITCHECKSUM;
    }
    CHECK(pksm_settle(&store, &table, &trees, &rules, NULL, ids, N, verdicts, others, revisit, &n_revisit, &done,
                      &cost) == PKSM_OK);
    CHECK(done == N);
    CHECK(ftruncate(file, (N / 2) * SIZE) == 0);
    if (unlinked)
        CHECK(pksm_unlink(&table, &trees, ids, N) == PKSM_OK);
    for (uint32_t i = 0; i < N; i++)
        table.nodes[i + 1].flags |= one_in(2) ? PKSM_INITCHECKSUM : 0;
    pksm_node before[N + 1];
    memcpy(before, table.nodes, sizeof before);
    done = 0;
    CHECK(pksm_settle(&store, &table, &trees, &rules, NULL, ids, N, verdicts, others, revisit, &n_revisit, &done,
                      &cost) == PKSM_EBUS);
    CHECK(done < N);
    CHECK(pksm_trees_check(NULL, &table, &trees, order) == PKSM_OK);
    for (size_t i = 0; i < N; i++) {
        const pksm_node *now = &table.nodes[ids[i]], *was = &before[ids[i]];
        if (i > done)
            CHECK((now->flags | PKSM_INITCHECKSUM) == (was->flags | PKSM_INITCHECKSUM) && now->page == was->page);
        else if (i == done)
            CHECK(!(now->flags & (PKSM_UNSTABLE | PKSM_STABLE)));
        left += now->flags & PKSM_UNSTABLE ? 1 : 0;
    }
    CHECK(left == trees.n_unstable);
    if (!unlinked && order != PKSM_CHECKSUM) /* pages that are gone stand in the tree, and their bytes count */
        CHECK(pksm_trees_check(&store, &table, &trees, order) == PKSM_EBUS);
    CHECK(munmap(mapped, N * SIZE) == 0);
    close(file);
    free(table.nodes);
}

static volatile sig_atomic_t others;

static void exit_with_5(int signum)
{
    (void)signum;
    others = 1;
    _exit(5);
}

/* What is not ours goes to whoever had the signal before, read or sent, however often we ask for it. */
static void test_handler_before(int sent)
{
    int file, status;
    uint8_t *mapped = map_file(&file);

    CHECK(ftruncate(file, 0) == 0);
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        signal(SIGBUS, exit_with_5);
        if (pksm_catch_bus_errors() != PKSM_OK || pksm_catch_bus_errors() != PKSM_OK)
            _exit(1);
        if (sent)
            raise(SIGBUS);
        else
            others = *(volatile uint8_t *)mapped;
        _exit(2);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
    CHECK(munmap(mapped, N * SIZE) == 0);
    close(file);
}

int main(int argc, char **argv)
{
    seed_from(argc, argv);
    CHECK(sysconf(_SC_PAGESIZE) <= SIZE);
    CHECK(signal(SIGBUS, SIG_DFL) != SIG_ERR); /* the sanitizer has one of its own */
    CHECK(pksm_catch_bus_errors() == PKSM_OK);
    test_handler_before(0);
    test_handler_before(1);
    for (int i = 0; i < 5; i++)
        AT_EVERY_LEVEL
            test_batches();
    for (int i = 0; i < 10; i++)
        for (int order = PKSM_CONTENT; order <= PKSM_CHECKSUM_CONTENT; order++)
            for (int unlinked = 0; unlinked < 2; unlinked++)
                test_settle(order, one_in(2) ? 1 : 1 + (uint8_t)below(PKSM_MAX_WINDOW), unlinked);
    printf("ok\n");
    return 0;
}
