/*
 * Calls that the engine makes, and that are refused: the n-th, or all from the n-th on.
 *
 * A program that includes this is linked with --wrap for every name in a WRAP() below. Between arm() and disarm() the
 * thread is in the engine.
 */
#ifndef REFUSED_CALLS_H
#define REFUSED_CALLS_H

#include "expect.h"
#include "arena.h"
#include "jump_label.h"
#include "text_poke.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* ---- the n-th call ---- */

static int refused_call; /* 1 is the first, 0 none */
static bool and_all_after;
static int calls;       /* of this process, with those of its parent before the fork */
static int *most;       /* of all processes of a life; shared by them */
static bool given[200]; /* the errnos that the engine got since arm() */

static _Thread_local bool armed; /* while this thread is in the engine */

/* A sanitizer may call them too, before it is ready for its own instructions in them. */
#if __has_attribute(disable_sanitizer_instrumentation)
#define UNWATCHED __attribute__((disable_sanitizer_instrumentation))
#else
#define UNWATCHED
#endif

UNWATCHED static bool refuse(int error)
{
    if (!armed)
        return false;
    calls++;
    if (*most < calls)
        *most = calls;
    if (!refused_call || (and_all_after ? calls < refused_call : calls != refused_call))
        return false;
    errno = error;
    given[error] = true;
    return true;
}

/* ---- the calls ---- */

#define WRAP(type, name, parameters, arguments, refusal, error) \
    type __real_##name parameters;                              \
    type __wrap_##name parameters;                              \
    UNWATCHED type __wrap_##name parameters { return refuse(error) ? refusal : __real_##name arguments; }

WRAP(void *, malloc, (size_t size), (size), NULL, ENOMEM)
WRAP(void *, calloc, (size_t n, size_t size), (n, size), NULL, ENOMEM)
WRAP(void *, realloc, (void *old, size_t size), (old, size), NULL, ENOMEM)
WRAP(int, pthread_atfork, (void (*a)(void), void (*b)(void), void (*c)(void)), (a, b, c), ENOMEM, ENOMEM)
WRAP(void *, mmap, (void *p, size_t n, int a, int b, int fd, off_t o), (p, n, a, b, fd, o), MAP_FAILED, EPERM)
WRAP(void *, mremap, (void *p, size_t n, size_t m, int a, void *q), (p, n, m, a, q), MAP_FAILED, EFAULT)
WRAP(int, mprotect, (void *p, size_t n, int protection), (p, n, protection), -1, EACCES)
WRAP(int, memfd_create, (const char *name, unsigned flags), (name, flags), -1, ENFILE)
WRAP(int, ftruncate, (int fd, off_t size), (fd, size), -1, EFBIG)
WRAP(int, sigaction, (int n, const struct sigaction *to, struct sigaction *was), (n, to, was), -1, ENOSYS)
WRAP(DIR *, opendir, (const char *name), (name), NULL, EMFILE)
WRAP(struct dirent *, readdir, (DIR * directory), (directory), NULL, EIO)
WRAP(int, open, (const char *name, int flags, mode_t mode), (name, flags, mode), -1, EMFILE)
WRAP(ssize_t, read, (int fd, void *text, size_t size), (fd, text, size), -1, EIO)
WRAP(int, madvise, (void *p, size_t n, int advice), (p, n, advice), -1, EINVAL)

static pid_t other_thread;
static int asked; /* how often it was, to synchronize */

long __real_syscall(long number, ...);
long __wrap_syscall(long number, long a, long b, long c, long d);
UNWATCHED long __wrap_syscall(long number, long a, long b, long c, long d)
{
    if (number != SYS_gettid && refuse(number == SYS_membarrier ? EPERM : EAGAIN))
        return -1;
    asked += number == SYS_rt_tgsigqueueinfo && b == other_thread && c;
    return __real_syscall(number, a, b, c, d);
}

/* The file is closed whatever it answers: close(2). */
int __real_close(int fd);
int __wrap_close(int fd);
UNWATCHED int __wrap_close(int fd) { return refuse(EIO) ? __real_close(fd), -1 : __real_close(fd); }

/* The mapping stays: not the engine's fault, so it goes when the engine has returned. */
static struct {
    void *address;
    size_t size;
} left;
int __real_munmap(void *address, size_t size);
int __wrap_munmap(void *address, size_t size);
UNWATCHED int __wrap_munmap(void *address, size_t size)
{
    if (!refuse(ENOBUFS))
        return __real_munmap(address, size);
    if (left.address)
        __real_munmap(left.address, left.size);
    left.address = address;
    left.size = size;
    return -1;
}

/* A synchronization by the signal has asked the other thread, and no other handler had SIGTRAP during a patch. */
static int asked_before;
static uint64_t synchronized_before, batches_before;
static enum sync_method method_before;

static int traps, traps_seen;

static void note(int number) { traps_seen += number == SIGTRAP; }

static void arm(void)
{
    memset(given, 0, sizeof(given));
    asked_before = asked;
    synchronized_before = sync_core_count();
    batches_before = text_poke_counts().batches;
    method_before = sync_core_method();
    armed = true;
}

static void disarm(void)
{
    struct sigaction now;
    armed = false;
    EXPECT(!sigaction(SIGTRAP, NULL, &now));
    EXPECT(text_poke_counts().batches == batches_before || (now.sa_handler != note && now.sa_handler != SIG_DFL));
    if (other_thread && method_before == SYNC_SIGNAL && sync_core_method() == SYNC_SIGNAL)
        EXPECT(asked - asked_before >= (int)(sync_core_count() - synchronized_before));
    if (left.address)
        munmap(left.address, left.size);
    left.address = NULL;
}

/* Whether this is an error, of a refused call then, and the last one. */
static bool failed(int error)
{
    disarm();
    if (!error)
        return false;
    EXPECT(error < 0 && given[-error]);
    refused_call = 0;
    return true;
}

#endif
