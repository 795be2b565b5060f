/* A parent with many forks: fork_family CHILDREN PAGES OWN

   Of the parent's pages the last eighth is equal to the first one. Each child writes OWN of them: all but the last one
   are like no other page, the last one is the same in every child. Prints the ids of all processes, the parent's first, and
   ends with its input. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define WORDS 512

static void pause_for_ever(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
        pause();
}

int main(int count, char **arguments)
{
    if (count < 4)
        return 2;
    size_t children = strtoul(arguments[1], NULL, 10), pages = strtoul(arguments[2], NULL, 10);
    size_t own = strtoul(arguments[3], NULL, 10), different = pages - pages / 8;
    size_t bytes = pages * WORDS * sizeof(uint64_t);
    uint64_t *words = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (words == MAP_FAILED || own > pages)
        return 1;
    madvise(words, bytes, MADV_NOHUGEPAGE);
    for (size_t page = 0; page < pages; page++)
        for (size_t word = 0; word < WORDS; word++)
            words[page * WORDS + word] = (page % different) * WORDS + word + 1;
    setvbuf(stdout, NULL, _IONBF, 0);
    printf("%d", (int)getpid());
    for (size_t child = 1; child <= children; child++) {
        pid_t pid = fork();
        if (pid < 0)
            return 1;
        if (pid == 0) {
            for (size_t page = 0; page < own; page++)
                words[page * WORDS] = page + 1 < own ? (uint64_t)child << 40 | page : UINT64_MAX;
            pause_for_ever();
        }
        printf(" %d", (int)pid);
    }
    printf("\n");
    while (getchar() != EOF)
        ;
    return 0;
}
