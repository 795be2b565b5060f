/* Same-page merging in a program of one's own: an arena of frames, mappings onto them that write, and a daemon that
 * wakes up between the writes, visits what is new, and merges.
 *
 *   pksm amalgamate .
 *   cc -std=c11 -O2 -o own_ksm own_ksm.c pksm_all.c && ./own_ksm
 *
 * Units: pages are PAGE bytes; page numbers are those of frames, from 0; item ids are page numbers + 1, because id 0 is
 * nil; time is virtual, in milliseconds. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pksm.h"

enum { PAGE = 4096, MAPPINGS = 3000, FRAMES = MAPPINGS + 1, CONTENTS = 300 }; /* one frame more, to copy a page into */
enum { PAGES_TO_SCAN = 250, SLEEP_MS = 20, WRITES = 100, WAKES = 60, WRITING = 45, WORDS = PAGE / 8 };
#define ZERO_FRAME UINT32_MAX /* what zero pages are merged with; it is none of the arena */

static const uint8_t zeros[PAGE];
static uint8_t arena[FRAMES][PAGE];
static uint64_t sections[(FRAMES + 63) / 64];

/* Whose memory it is: each mapping has a frame; a frame that is not shared has one owner. */
static uint32_t frame_of[MAPPINGS], owner[FRAMES], users[FRAMES], content_of[MAPPINGS];
static uint32_t free_frames[FRAMES], n_free;

/* What the core works on: all of it is ours, and none of it is allocated by the core. */
static pksm_node nodes[FRAMES + 1];
static const pksm_store store = {.sections = sections, .n_pages = FRAMES, .page_size = PAGE};
static pksm_table table = {.nodes = nodes, .n_nodes = FRAMES + 1};
static pksm_trees trees;
static pksm_cost cost;
static pksm_rules rules;

/* Items to be visited, first in, first out; no item is in it twice. */
static uint32_t queue[FRAMES], queue_start, n_queued;

static void must(int status, const char *what)
{
    if (status != PKSM_OK) {
        fprintf(stderr, "own_ksm: %s: %s\n", what, pksm_status_text(status));
        exit(EXIT_FAILURE);
    }
}

static uint32_t below(uint32_t n)
{
    static uint64_t state = 1;

    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((state >> 33) % n);
}

static int holds(const uint8_t *page, uint64_t content)
{
    return !memcmp(page, &content, 8) && !memcmp(page, page + 8, PAGE - 8); /* all words are alike */
}

static void enqueue(uint32_t id)
{
    nodes[id].flags |= PKSM_INITCHECKSUM; /* its bytes are new: sum them at the visit */
    queue[(queue_start + n_queued++) % FRAMES] = id;
}

static void free_frame(uint32_t frame)
{
    uint32_t id = frame + 1;

    must(pksm_unlink(&table, &trees, &id, 1), "unlink"); /* nothing is done if it is in no tree */
    nodes[id] = (pksm_node){.page = frame};
    users[frame] = 0;
    free_frames[n_free++] = frame;
}

static void unmap(uint32_t mapping)
{
    uint32_t frame = frame_of[mapping];

    if (frame != ZERO_FRAME && --users[frame] == 0)
        free_frame(frame);
}

static void map(uint32_t mapping, uint32_t frame)
{
    frame_of[mapping] = frame;
    if (frame != ZERO_FRAME)
        users[frame]++;
}

/* The mapping writes a content's number into every word, into a new frame if the stable tree keeps the old one. */
static void write_page(uint32_t mapping, uint64_t content)
{
    uint32_t frame = frame_of[mapping], id;

    if (frame == ZERO_FRAME || nodes[frame + 1].flags & PKSM_STABLE) {
        unmap(mapping);
        frame = free_frames[--n_free];
        owner[frame] = mapping;
        map(mapping, frame);
        enqueue(frame + 1);
    } else if (!(nodes[frame + 1].flags & PKSM_INITCHECKSUM)) { /* else it is in the queue already */
        id = frame + 1;
        must(pksm_unlink(&table, &trees, &id, 1), "unlink"); /* trees hold pages as they were summed */
        enqueue(id);
    }
    for (size_t i = 0; i < WORDS; i++)
        memcpy(arena[frame] + 8 * i, &content, 8);
    content_of[mapping] = (uint32_t)content;
}

/* Lets the only mapping of a frame map another one, and frees the frame. */
static void merge(uint32_t frame, uint32_t into)
{
    unmap(owner[frame]);
    map(owner[frame], into);
}

/* What settle has said of an item is carried out here. */
static void carry_out(uint32_t id, uint8_t verdict, uint32_t other)
{
    switch (verdict) {
    case PKSM_ZERO:
        merge(nodes[id].page, ZERO_FRAME);
        break;
    case PKSM_JOINED: /* into the page of a stable item */
        merge(nodes[id].page, nodes[other].page);
        break;
    case PKSM_PAIRED: /* the other one was waiting; this one is stable from now on: nobody may write it */
        merge(nodes[other].page, nodes[id].page);
        break;
    case PKSM_WAITING: /* in the unstable tree, until its equal comes or it is written */
        break;
    default: /* no page is busy or written while it is visited: the others can't come */
        must(PKSM_EINVAL, "verdict");
    }
}

/* One wake-up: visits so many items at most. */
static void wake(void)
{
    static uint32_t ids[PAGES_TO_SCAN], others[PAGES_TO_SCAN], revisit[PAGES_TO_SCAN];
    static uint8_t verdicts[PAGES_TO_SCAN];
    size_t n = n_queued < PAGES_TO_SCAN ? n_queued : PAGES_TO_SCAN, n_revisit, done;

    for (size_t i = 0; i < n; i++, n_queued--, queue_start = (queue_start + 1) % FRAMES)
        ids[i] = queue[queue_start];
    for (size_t start = 0; start < n; start += done) {
        must(pksm_settle(&store, &table, &trees, &rules, NULL, ids + start, n - start, verdicts, others, revisit,
                         &n_revisit, &done, &cost),
             "settle");
        for (size_t i = 0; i < done; i++)
            carry_out(ids[start + i], verdicts[i], others[i]);
        while (n_revisit) /* changed while they waited: never here, since write_page unlinks */
            enqueue(revisit[--n_revisit]);
    }
}

int main(void)
{
    uint32_t distinct = 0, n_zero = 0;
    static uint8_t seen[CONTENTS];

    must(pksm_cpu_select(pksm_cpu_best()), "cpu"); /* once, before any thread calls the core */
    const pksm_strategy *strategy = pksm_strategy_by_name("xxh3-64");
    pksm_checksum checksum = {strategy->sum, NULL, strategy->many};
    must(pksm_rules_default(&rules, &checksum, zeros, PAGE), "rules");
    for (size_t s = 0; s < sizeof sections / sizeof sections[0]; s++)
        sections[s] = (uint64_t)(uintptr_t)arena[64 * s];
    for (uint32_t frame = 0; frame < FRAMES; frame++) {
        nodes[frame + 1].page = frame;
        free_frames[n_free++] = frame;
    }
    for (uint32_t mapping = 0; mapping < MAPPINGS; mapping++) {
        frame_of[mapping] = ZERO_FRAME; /* as fresh memory is */
        write_page(mapping, below(CONTENTS));
    }
    for (int n = 1; n <= WAKES; n++) {
        wake();
        for (int i = 0; i < WRITES && n < WRITING; i++) {
            uint32_t mapping = below(MAPPINGS);
            write_page(mapping, below(CONTENTS));
        }
        if (n % 10 == 0)
            printf("%4d ms: %u of %d pages need a frame\n", n * SLEEP_MS, FRAMES - n_free, MAPPINGS);
    }

    for (uint32_t mapping = 0; mapping < MAPPINGS; mapping++) { /* every mapping still reads what it wrote */
        const uint8_t *page = frame_of[mapping] == ZERO_FRAME ? zeros : arena[frame_of[mapping]];
        if (!holds(page, content_of[mapping]))
            must(PKSM_ETREE, "a mapping lost what it wrote");
        n_zero += !content_of[mapping];
        distinct += content_of[mapping] && !seen[content_of[mapping]];
        seen[content_of[mapping]] = 1;
    }
    must(pksm_trees_check(&store, &table, &trees, rules.order), "trees");
    printf("%u frames for %u contents, and %u zero pages; %.1f MB compared\n", FRAMES - n_free, distinct, n_zero,
           (double)cost.bytes_compared / 1e6);
    return FRAMES - n_free == distinct && n_queued == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
