/* What a program asks first: the version, a status in words, a strategy by name, rules to begin with. */
#include "check.h"

enum { N = 30, CONTENTS = 7, PAGE = 256 };

static void test_version_and_status(void)
{
    CHECK(!strcmp(pksm_version(), PKSM_VERSION));
    for (int a = PKSM_OK; a <= PKSM_ETREE; a++) {
        CHECK(strcmp(pksm_status_text(a), pksm_status_text(-1)));
        for (int b = PKSM_OK; b < a; b++)
            CHECK(strcmp(pksm_status_text(a), pksm_status_text(b)));
    }
    CHECK(!strcmp(pksm_status_text(PKSM_ETREE + 1), pksm_status_text(-1)));
}

static void test_strategies_by_name(void)
{
    size_t n;
    const pksm_strategy *table = pksm_strategies(&n);

    for (size_t i = 0; i < n; i++)
        CHECK(pksm_strategy_by_name(table[i].name) == &table[i]);
    CHECK(!pksm_strategy_by_name("xxh3"));
    CHECK(!pksm_strategy_by_name(""));
    CHECK(!pksm_strategy_by_name(NULL));
}

static void test_refused_rules(void)
{
    uint8_t *zeros = block(PAGE);
    pksm_rules rules, before;
    pksm_checksum checksum = {pksm_strategy_by_name("xxh3-64")->sum, NULL, NULL}, none = {NULL, NULL, NULL};

    memset(&rules, 0x5a, sizeof rules);
    before = rules;
    CHECK(pksm_rules_default(NULL, &checksum, zeros, PAGE) == PKSM_EINVAL);
    CHECK(pksm_rules_default(&rules, NULL, zeros, PAGE) == PKSM_EINVAL);
    CHECK(pksm_rules_default(&rules, &none, zeros, PAGE) == PKSM_EINVAL);
    CHECK(pksm_rules_default(&rules, &checksum, NULL, PAGE) == PKSM_EINVAL);
    CHECK(pksm_rules_default(&rules, &checksum, zeros, 4) == PKSM_EINVAL);
    CHECK(pksm_rules_default(&rules, &checksum, zeros, PAGE - 8) == PKSM_EINVAL);
    zeros[PAGE - 1] = 1;
    CHECK(pksm_rules_default(&rules, &checksum, zeros, PAGE) == PKSM_EINVAL);
    CHECK(!memcmp(&rules, &before, sizeof rules));
    free(zeros);
}

/* A checksum that says nothing: all pages have the same, that of a zero page. */
static uint64_t blind(const uint8_t *page, size_t size_bytes, const void *state)
{
    (void)page;
    (void)size_bytes;
    return *(const uint64_t *)state;
}

/* Pages of CONTENTS contents, one of them zero: all but one page of each other content are merged, and no two that
 * differ. */
static void test_default_rules(pksm_checksum checksum)
{
    uint8_t *memory = block(N * PAGE), *zeros = block(PAGE), verdicts[N];
    uint64_t section = (uint64_t)(uintptr_t)memory;
    pksm_node nodes[N + 1];
    pksm_store store = {.sections = &section, .n_pages = N, .page_size = PAGE};
    pksm_table table = {.nodes = nodes, .n_nodes = N + 1};
    pksm_trees trees = {0};
    pksm_cost cost = {0};
    pksm_rules rules;
    uint32_t ids[N], others[N], revisit[N];
    size_t n_revisit, done, merged = 0, zero = 0, zero_due = 0, kinds = 0;
    int seen[CONTENTS] = {0};

    memset(nodes, 0, sizeof nodes);
    for (uint32_t i = 0; i < N; i++) {
        int content = (int)below(CONTENTS);

        memory[i * PAGE + PAGE / 2] = (uint8_t)content;
        zero_due += !content;
        kinds += content && !seen[content];
        seen[content] = 1;
        ids[i] = i + 1;
        nodes[i + 1].page = i;
        nodes[i + 1].flags = PKSM_INITCHECKSUM;
    }
    CHECK(pksm_rules_default(&rules, &checksum, zeros, PAGE) == PKSM_OK);
    CHECK(rules.zero_checksum == checksum.sum(zeros, PAGE, checksum.state));
    CHECK(pksm_settle(&store, &table, &trees, &rules, NULL, ids, N, verdicts, others, revisit, &n_revisit, &done,
                      &cost) == PKSM_OK);
    CHECK(done == N && n_revisit == 0);
    for (uint32_t i = 0; i < N; i++) {
        zero += verdicts[i] == PKSM_ZERO;
        if (verdicts[i] == PKSM_JOINED || verdicts[i] == PKSM_PAIRED) {
            merged++;
            CHECK(!memcmp(memory + i * PAGE, memory + (others[i] - 1) * PAGE, PAGE));
        }
    }
    CHECK(zero == zero_due);
    CHECK(merged == N - zero_due - kinds);
    CHECK(pksm_trees_check(&store, &table, &trees, rules.order) == PKSM_OK);
    free(memory);
    free(zeros);
}

int main(int argc, char **argv)
{
    static const uint64_t same = 7;

    seed_from(argc, argv);
    test_version_and_status();
    AT_EVERY_LEVEL {
        const pksm_strategy *xxh3 = pksm_strategy_by_name("xxh3-64");

        test_strategies_by_name();
        test_refused_rules();
        for (int i = 0; i < 100; i++) {
            test_default_rules((pksm_checksum){xxh3->sum, NULL, xxh3->many});
            test_default_rules((pksm_checksum){blind, &same, NULL});
        }
    }
    printf("ok\n");
    return 0;
}
