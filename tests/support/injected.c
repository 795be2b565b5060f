// A process for calls to be injected into: it ends with an error if anything of its state is lost.
// injected MODE FILE: MODE is compute, sleep, signals, threads, vfork or exec; FILE of 8 bytes counts its rounds.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static _Atomic uint64_t *rounds;
static volatile sig_atomic_t caught;

typedef double vector __attribute__((vector_size(32)));

static uint64_t whole_numbers(void)
{
    uint64_t a = 1, b = 2, c = 3, d = 4;
    for (int i = 0; i < 20000; i++) {
        a = a * 6364136223846793005u + b, b ^= a >> 17, c += b * 31, d = (d << 5 | d >> 59) ^ c;
    }
    return a ^ b ^ c ^ d;
}

static double floating(void)
{
    vector sum = {0, 1, 2, 3}, step = {1e-3, 2e-3, 3e-3, 5e-3};
    for (int i = 1; i < 20000; i++) {
        sum = sum * (1 - step) + step * i;
    }
    return sum[0] + sum[1] + sum[2] + sum[3];
}

static void must(int holds, int code)
{
    if (!holds) {
        _exit(code);
    }
}

static void *compute(void *unused)
{
    uint64_t whole = whole_numbers();
    double real = floating();
    for (;;) {
        must(whole_numbers() == whole, 11);
        must(floating() == real, 12);
        atomic_fetch_add(rounds, 1);
    }
    return unused;
}

static void sleep_a_little(long ms)
{
    struct timespec before, after, time = {0, ms * 1000000};
    clock_gettime(CLOCK_MONOTONIC, &before);
    must(nanosleep(&time, NULL) == 0, 13);
    clock_gettime(CLOCK_MONOTONIC, &after);
    must((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec >= ms * 1000000, 14);
    atomic_fetch_add(rounds, 1);
}

static void on_alarm(int number)
{
    caught += number == SIGALRM;
}

static void signals(void)
{
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval every = {{0, 3000}, {0, 3000}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
    for (;;) {
        sig_atomic_t before = caught;
        must(pause() == -1 && errno == EINTR, 15);
        must(caught != before, 16);
        atomic_fetch_add(rounds, 1);
    }
}

int main(int n, char **words)
{
    must(n == 3, 2);
    int fd = open(words[2], O_RDWR | O_CLOEXEC);
    must(fd >= 0, 3);
    rounds = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must(rounds != MAP_FAILED, 4);
    const char *mode = words[1];
    pthread_t thread;
    if (strcmp(mode, "compute") == 0) {
        compute(NULL);
    } else if (strcmp(mode, "signals") == 0) {
        signals();
    } else if (strcmp(mode, "threads") == 0) {
        pthread_create(&thread, NULL, compute, NULL);
        pthread_create(&thread, NULL, compute, NULL);
    }
    for (int i = 0;; i++) {
        sleep_a_little(strcmp(mode, "sleep") == 0 ? 20 : 2);
        if (strcmp(mode, "vfork") == 0) {
            pid_t child = vfork();
            if (child == 0) {
                _exit(7);
            }
            int status;
            must(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7, 17);
        } else if (strcmp(mode, "exec") == 0 && i == 10) {
            execv("/proc/self/exe", words);
            _exit(18);
        }
    }
}
