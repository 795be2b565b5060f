/* Preloaded into a Python process: makes the n-th call of some kind fail, stop short, or come with a signal.
 *
 * Nothing happens before inject_arm(), and nothing in other processes than the one that called it. The functions
 * that are wrapped are those that Python, numpy and ctypes call through the C library's symbols.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { ALLOC = 1, MAP = 2, READ = 4, WRITE = 8, OPEN = 16, START = 32 };
/* Bytes of an allocation that may fail: libraries overlook smaller ones, and die of it. */
#define LEAST_ALLOC 1024
enum action { COUNT, FAIL, SHORT, END, SIGNAL };

/* What is armed, and in memory that is shared with the parent: the calls so far, and how often something was done. */
static struct {
    int kinds, action, argument, lasting;
    long n;
    pid_t pid;
} armed;
struct report {
    long calls, done;
};
static struct report *report;

#define REAL(name)                 \
    static __typeof__(name) *real; \
    if (!real)                     \
    real = (__typeof__(name) *)(uintptr_t)dlsym(RTLD_NEXT, #name)

/* Where dlsym() itself allocates before malloc() is known. */
static char early[1 << 16];
static size_t early_used;

static void *from_early(size_t size)
{
    void *at = early + early_used;
    early_used += (size + 15) & ~(size_t)15;
    return early_used <= sizeof early ? at : NULL;
}

static int is_early(const void *at)
{
    return (const char *)at >= early && (const char *)at < early + sizeof early;
}

__attribute__((constructor)) static void start(void)
{
    report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (report == MAP_FAILED)
        abort();
}

/* From now on: the n-th call (from 1) of one of `kinds`, and all after it if `lasting`. argument: errno or signal. */
void inject_arm(int kinds, long n, int action, int argument, int lasting);
void inject_arm(int kinds, long n, int action, int argument, int lasting)
{
    armed.action = action, armed.argument = argument, armed.lasting = lasting, armed.n = n;
    report->calls = report->done = 0;
    armed.pid = getpid();
    armed.kinds = kinds;
}

/* Nothing more happens. */
void inject_disarm(void);
void inject_disarm(void)
{
    armed.kinds = 0;
}

/* Both numbers of the report, of whoever was armed last here or in a child. */
void inject_report(long *calls, long *done);
void inject_report(long *calls, long *done)
{
    *calls = report->calls, *done = report->done;
}

/* What is to be done at this call: COUNT for nothing; FAIL has set errno. */
static int at_call(enum kind kind)
{
    if (!(armed.kinds & kind) || getpid() != armed.pid)
        return COUNT;
    long call = __atomic_add_fetch(&report->calls, 1, __ATOMIC_RELAXED);
    if (armed.action == COUNT || (armed.lasting ? call < armed.n : call != armed.n))
        return COUNT;
    __atomic_add_fetch(&report->done, 1, __ATOMIC_RELAXED);
    if (armed.action == SIGNAL)
        kill(armed.pid, armed.argument);
    else if (armed.action == FAIL)
        errno = armed.argument;
    return armed.action;
}

void *malloc(size_t size)
{
    REAL(malloc);
    return size >= LEAST_ALLOC && at_call(ALLOC) == FAIL ? NULL : real(size);
}

void *calloc(size_t n, size_t size)
{
    static int looking;
    if (looking)
        return from_early(n * size);
    looking = 1;
    REAL(calloc);
    looking = 0;
    return n * size >= LEAST_ALLOC && at_call(ALLOC) == FAIL ? NULL : real(n, size);
}

void *realloc(void *at, size_t size)
{
    REAL(realloc);
    return size >= LEAST_ALLOC && at_call(ALLOC) == FAIL ? NULL : real(at, size);
}

void free(void *at)
{
    REAL(free);
    if (!is_early(at))
        real(at);
}

int posix_memalign(void **at, size_t alignment, size_t size)
{
    REAL(posix_memalign);
    return size >= LEAST_ALLOC && at_call(ALLOC) == FAIL ? ENOMEM : real(at, alignment, size);
}

void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
    /* In the first thread only: CPython waits for ever for a thread that gets no memory at its start. */
    if (gettid() == getpid() && at_call(MAP) == FAIL)
        return MAP_FAILED;
    /* dlsym() may map, too */
    return (void *)syscall(SYS_mmap, at, length, protection, flags, fd, offset);
}

void *mmap64(void *at, size_t length, int protection, int flags, int fd, off64_t offset)
{
    return mmap(at, length, protection, flags, fd, offset);
}

/* Reading and writing: FAIL, half of what was asked for, or an end that comes early. */
#define TRANSFER(kind, name, parameters, whole, half) \
    ssize_t name parameters                           \
    {                                                 \
        REAL(name);                                   \
        switch (at_call(kind)) {                      \
        case FAIL:                                    \
            return -1;                                \
        case SHORT:                                   \
            return half;                              \
        case END:                                     \
            return 0;                                 \
        }                                             \
        return whole;                                 \
    }
/* Half, in words of eight bytes: the kernel reads page maps in no other way. */
#define HALF(size) ((size) > 15 ? (size) / 16 * 8 : (size))
#define HALF_OF(count) ((count) > 1 ? (count) / 2 : (count))

TRANSFER(READ, read, (int fd, void *to, size_t size), real(fd, to, size), real(fd, to, HALF(size)))
TRANSFER(READ, pread, (int fd, void *to, size_t size, off_t at), real(fd, to, size, at), real(fd, to, HALF(size), at))
TRANSFER(READ, pread64, (int fd, void *to, size_t size, off64_t at), real(fd, to, size, at),
         real(fd, to, HALF(size), at))
TRANSFER(READ, preadv, (int fd, const struct iovec *to, int count, off_t at), real(fd, to, count, at),
         real(fd, to, HALF_OF(count), at))
TRANSFER(READ, preadv64, (int fd, const struct iovec *to, int count, off64_t at), real(fd, to, count, at),
         real(fd, to, HALF_OF(count), at))
TRANSFER(READ, preadv64v2, (int fd, const struct iovec *to, int count, off64_t at, int flags),
         real(fd, to, count, at, flags), real(fd, to, HALF_OF(count), at, flags))
TRANSFER(READ, process_vm_readv,
         (pid_t pid, const struct iovec *to, unsigned long n_to, const struct iovec *from, unsigned long n_from,
          unsigned long flags),
         real(pid, to, n_to, from, n_from, flags), real(pid, to, n_to, from, HALF_OF(n_from), flags))
TRANSFER(WRITE, write, (int fd, const void *from, size_t size), real(fd, from, size), real(fd, from, HALF(size)))
TRANSFER(WRITE, writev, (int fd, const struct iovec *from, int count), real(fd, from, count),
         real(fd, from, HALF_OF(count)))
TRANSFER(WRITE, pwrite64, (int fd, const void *from, size_t size, off64_t at), real(fd, from, size, at),
         real(fd, from, HALF(size), at))

int ftruncate64(int fd, off64_t length)
{
    REAL(ftruncate64);
    return at_call(WRITE) == FAIL ? -1 : real(fd, length);
}

int fsync(int fd)
{
    REAL(fsync);
    return at_call(WRITE) == FAIL ? -1 : real(fd);
}

int linkat(int from, const char *old, int to, const char *new, int flags)
{
    REAL(linkat);
    return at_call(WRITE) == FAIL ? -1 : real(from, old, to, new, flags);
}

int renameat(int from, const char *old, int to, const char *new)
{
    REAL(renameat);
    return at_call(WRITE) == FAIL ? -1 : real(from, old, to, new);
}

#define MODE_OF(flags)                       \
    mode_t mode = 0;                         \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { \
        va_list rest;                        \
        va_start(rest, flags);               \
        mode = (mode_t)va_arg(rest, int);    \
        va_end(rest);                        \
    }

int open64(const char *path, int flags, ...)
{
    MODE_OF(flags)
    return at_call(OPEN) == FAIL ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    MODE_OF(flags)
    return at_call(OPEN) == FAIL ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...)
{
    MODE_OF(flags)
    return at_call(OPEN) == FAIL ? -1 : (int)syscall(SYS_openat, folder, path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    MODE_OF(flags)
    return at_call(OPEN) == FAIL ? -1 : (int)syscall(SYS_openat, folder, path, flags, mode);
}

int pipe2(int ends[2], int flags)
{
    return at_call(OPEN) == FAIL ? -1 : (int)syscall(SYS_pipe2, ends, flags);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *), void *with)
{
    REAL(pthread_create);
    return at_call(START) == FAIL ? EAGAIN : real(thread, how, run, with);
}

/* vfork() can't be wrapped: its caller's frame is used twice. Starting a process begins with it or with fork(). */
pid_t fork(void)
{
    REAL(fork);
    return at_call(START) == FAIL ? -1 : real();
}
