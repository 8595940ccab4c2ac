#define _GNU_SOURCE
#include "os.h"
#include "arch_cpu.h"
#include "blocked.h"

#include <dirent.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static enum sync_method method = SYNC_NONE;
static enum sync_method allowed = SYNC_NONE;
static bool caller_left_out; /* by membarrier(2) of this kernel */
static uint64_t count;

/* ---- membarrier ---- */

static int membarrier(int command) { return syscall(SYS_membarrier, command, 0, 0) < 0 ? -errno : 0; }

/* Linux 5.11 made the command include the calling thread ("membarrier: Execute SYNC_CORE on the calling thread"). */
static bool kernel_skips_caller(void)
{
    struct utsname name;
    int major = 0, minor = 0;
    if (uname(&name) || sscanf(name.release, "%d.%d", &major, &minor) != 2)
        return true;
    return major < 5 || (major == 5 && minor < 11);
}

static int membarrier_start(void)
{
    int error = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE);
    if (!error)
        error = membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE);
    if (!error)
        caller_left_out = kernel_skips_caller();
    return error;
}

static int membarrier_sync(void)
{
    int error = membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE);
    if (!error && caller_left_out)
        arch_serialize();
    return error;
}

/* ---- the signal ---- */

/*
 * Threads are signalled a group at a time. A signal carries its place in the group and the number of the group;
 * the answer is that number, written to that place. A thread that ran late finds a newer number there and leaves it.
 */
#define GROUP 64

static int sync_signal; /* 0: none taken yet */
static _Atomic uint32_t answers[GROUP];
static uint32_t group_number;

static void answer(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number, (void)context;
    if (info->si_code != SI_QUEUE || info->si_pid != getpid())
        return; /* another process or library sent it: it asks nothing */
    arch_serialize();
    uint64_t value = (uint64_t)(uintptr_t)info->si_value.sival_ptr;
    uint32_t number = (uint32_t)(value >> 32);
    _Atomic uint32_t *place = &answers[(uint32_t)value % GROUP];
    uint32_t old = atomic_load(place);
    while ((int32_t)(number - old) > 0 && !atomic_compare_exchange_weak(place, &old, number))
        ;
}

/* Signal number 0 asks nothing, but of the kernel: whether we could. */
static int ask(pid_t tid, unsigned place, int signal_number)
{
    siginfo_t info;
    memset(&info, 0, sizeof(info));
    info.si_signo = signal_number;
    info.si_code = SI_QUEUE;
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_ptr = (void *)(uintptr_t)((uint64_t)group_number << 32 | place);
    return syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, signal_number, &info) ? -errno : 0;
}

/* Whether a thread will never answer: -ESRCH it is gone, -EDEADLK it blocks the signal; 0 while it still may. */
static int why_silent(pid_t tid)
{
    int blocked = blocked_in(tid, sync_signal);
    return blocked == 1 ? -EDEADLK : blocked;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/*
 * A thread may block every signal for a moment: in a handler, or while it is being made (pthread_create). One that
 * is found so for PATIENCE seconds on end is taken to mean it, and after that sooner: a module may make many sites.
 */
#define PATIENCE 1.0
#define PATIENCE_WITH_DEAF 0.01
static pid_t deaf;

static int wait_for(pid_t tid, unsigned place)
{
    double blocked_since = 0;
    for (unsigned turn = 1; atomic_load(&answers[place]) != group_number; turn++) {
        if (turn % 64) {
            sched_yield();
            continue;
        }
        int error = why_silent(tid);
        if (error == -ESRCH)
            return 0;
        if (error && error != -EDEADLK)
            return error;
        if (!error) {
            blocked_since = 0;
        } else if (!blocked_since) {
            blocked_since = seconds();
        } else if (seconds() - blocked_since > (tid == deaf ? PATIENCE_WITH_DEAF : PATIENCE)) {
            deaf = tid;
            return error;
        }
        nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    }
    if (tid == deaf)
        deaf = 0;
    return 0;
}

static int ask_group(const pid_t *tids, unsigned n)
{
    int result = 0;
    bool asked[GROUP];
    group_number++;
    for (unsigned i = 0; i < n; i++) {
        int error = ask(tids[i], i, sync_signal);
        asked[i] = !error;
        if (error && error != -ESRCH && !result)
            result = error;
    }
    for (unsigned i = 0; i < n && !result; i++)
        result = asked[i] ? wait_for(tids[i], i) : 0;
    return result;
}

struct threads {
    pid_t *ids;
    size_t n, room;
};

static bool contains(const struct threads *threads, pid_t tid)
{
    for (size_t i = 0; i < threads->n; i++)
        if (threads->ids[i] == tid)
            return true;
    return false;
}

static int add_new_threads(struct threads *threads)
{
    DIR *directory = opendir("/proc/self/task");
    if (!directory)
        return -errno;
    pid_t self = (pid_t)syscall(SYS_gettid);
    int error = 0;
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(directory);
        if (!entry) {
            error = -errno; /* a thread that is not listed is not asked */
            break;
        }
        pid_t tid = atoi(entry->d_name);
        if (tid <= 0 || tid == self || contains(threads, tid))
            continue;
        if (threads->n == threads->room) {
            size_t room = threads->room + GROUP;
            pid_t *ids = realloc(threads->ids, room * sizeof(*ids));
            if (!ids) {
                error = -ENOMEM;
                break;
            }
            threads->ids = ids;
            threads->room = room;
        }
        threads->ids[threads->n++] = tid;
    }
    closedir(directory);
    return error;
}

/*
 * Take the highest real-time signal without a handler: C libraries and runtimes take theirs from the low end. Called
 * before each question, as another library may have taken the signal since: no thread would answer, and the caller
 * would wait for ever.
 */
static int take_signal(void)
{
    struct sigaction now;
    if (sync_signal && sigaction(sync_signal, NULL, &now))
        return -errno;
    if (sync_signal && now.sa_flags & SA_SIGINFO && now.sa_sigaction == answer)
        return 0;
    sync_signal = 0; /* the library that has taken it since keeps it */
    for (int number = SIGRTMAX; number >= SIGRTMIN; number--) {
        if (sigaction(number, NULL, &now)) {
            if (errno == EINVAL) /* valgrind keeps the last one to itself */
                continue;
            return -errno;
        }
        if (now.sa_handler != SIG_DFL)
            continue;
        /*
         * Not SA_NODEFER: a thread that has blocked it for long gets all that are pending at once, each on top of the
         * one before, and its stack ends. Within answer() it looks like one that blocks it, but not for long.
         */
        struct sigaction action = {.sa_sigaction = answer, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
        if (sigaction(number, &action, NULL))
            return -errno;
        sync_signal = number;
        return 0;
    }
    return -EBUSY;
}

/* Ask every thread; then those that have appeared since, for a thread not yet asked may have made them. */
static int signal_sync(void)
{
    struct threads threads = {0};
    size_t asked;
    int error = take_signal();
    if (error)
        return error;
    arch_serialize();
    do {
        asked = threads.n;
        error = add_new_threads(&threads);
        for (size_t i = asked; i < threads.n && !error; i += GROUP)
            error = ask_group(threads.ids + i, threads.n - i < GROUP ? threads.n - i : GROUP);
    } while (!error && threads.n > asked);
    free(threads.ids);
    return error;
}

static void signal_stop(void)
{
    if (!sync_signal)
        return;
    /* A thread that blocks it may have it pending, and by default it kills; to ignore it discards it (signal(7)). */
    signal(sync_signal, SIG_IGN);
    signal(sync_signal, SIG_DFL);
    sync_signal = 0;
}

static int signal_start(void)
{
    int error = ask((pid_t)syscall(SYS_gettid), 0, 0); /* there may be no other thread yet to try it on */
    if (!error)
        error = signal_sync();
    if (error)
        signal_stop();
    return error;
}

/* ---- either ---- */

int sync_core_start(enum sync_method wanted)
{
    if (method != SYNC_NONE)
        return 0;
    int error = -ENOSYS;
    if (wanted != SYNC_SIGNAL && !(error = membarrier_start()))
        method = SYNC_MEMBARRIER;
    else if (wanted != SYNC_MEMBARRIER && !(error = signal_start()))
        method = SYNC_SIGNAL;
    allowed = wanted;
    return error;
}

int sync_core(void)
{
    int error = method == SYNC_MEMBARRIER ? membarrier_sync() : -EPERM;
    /* -EPERM: not registered, in the child of a fork on some kernels; or a filter that came later refuses it. */
    if (error && method == SYNC_MEMBARRIER)
        error = membarrier_start();
    if (error && allowed != SYNC_MEMBARRIER) {
        error = method == SYNC_SIGNAL ? signal_sync() : signal_start();
        if (!error)
            method = SYNC_SIGNAL;
    }
    if (!error)
        count++;
    return error;
}

void sync_core_stop(void)
{
    signal_stop();
    method = SYNC_NONE;
}

void sync_core_forked(void)
{
    count = 0;
    deaf = 0;
}

enum sync_method sync_core_method(void) { return __atomic_load_n(&method, __ATOMIC_RELAXED); }

void os_unblock_signals(void)
{
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGTRAP);
    text_lock();
    if (sync_signal)
        sigaddset(&ours, sync_signal);
    text_unlock();
    pthread_sigmask(SIG_UNBLOCK, &ours, NULL);
}

uint64_t sync_core_count(void) { return count; }
