#define _GNU_SOURCE
#include "blocked.h"
#include "lock.h"
#include "os.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* All of a file of a thread, in one read, which is one moment. 0, or -ESRCH where the thread has ended, or -errno. */
static int read_of(pid_t tid, const char *file, char *text, size_t room)
{
    snprintf(text, room, "/proc/self/task/%d/%s", tid, file);
    int fd = open(text, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    ssize_t size = read(fd, text, room - 1);
    int error = size < 0 ? -errno : 0;
    close(fd);
    text[error ? 0 : size] = 0;
    return error;
}

static bool has_ended(char state) { return state == 'Z' || state == 'X'; }

/* See proc_pid_status(5): "State:\tS (sleeping)" and "SigBlk:\t0000000000000010". */
static int blocked_by_status(pid_t tid, int signal_number, char *state)
{
    char text[4096];
    int error = read_of(tid, "status", text, sizeof(text));
    if (error)
        return error;
    const char *letter = strstr(text, "\nState:\t"), *mask = strstr(text, "\nSigBlk:\t");
    *state = letter ? letter[8] : 0;
    if (has_ended(*state))
        return -ESRCH;
    return mask ? (int)(strtoull(mask + 9, NULL, 16) >> (signal_number - 1) & 1) : -ENOTSUP;
}

/* See proc_pid_stat(5): behind the name the state, field 3, and the mask, field 32, without the real-time signals. */
static int blocked_by_stat(pid_t tid, int signal_number, char *state)
{
    char text[1024];
    int error = read_of(tid, "stat", text, sizeof(text));
    if (error)
        return error;
    const char *field = strrchr(text, ')'), *letter = field ? strchr(field, ' ') : NULL;
    for (int number = 2; field && number < 32; number++)
        field = strchr(field + 1, ' ');
    if (!field)
        return -ENOTSUP;
    *state = letter[1];
    return has_ended(*state) ? -ESRCH : (int)(strtoull(field, NULL, 10) >> (signal_number - 1) & 1);
}

/* The kernel makes `stat` in less than half of the time. */
static int blocked_in_state(pid_t tid, int signal_number, char *state)
{
    return (signal_number < 32 ? blocked_by_stat : blocked_by_status)(tid, signal_number, state);
}

int blocked_in(pid_t tid, int signal_number)
{
    char state;
    return blocked_in_state(tid, signal_number, &state);
}

/*
 * Whether a thread waits in a system call that gives it another mask meanwhile: the one that was read is that one, and
 * the thread has its own again by the time it meets a site. See proc_pid_syscall(5); the arguments looked at point to
 * the other mask. *waits: whether the thread did not run.
 */
static int waits_with_another_mask(pid_t tid, bool *waits)
{
    char text[256];
    *waits = false;
    int error = read_of(tid, "syscall", text, sizeof(text));
    if (error)
        return error == -ESRCH && !blocked_in(tid, SIGKILL) ? -ENOTSUP : error; /* there is the thread, but no file */
    long number;
    unsigned long long a[6];
    if (sscanf(text, "%ld %llx %llx %llx %llx %llx %llx", &number, &a[0], &a[1], &a[2], &a[3], &a[4], &a[5]) != 7)
        return 0; /* "running" */
    *waits = true;
    switch (number) {
    case SYS_rt_sigsuspend:
    case SYS_rt_sigtimedwait:
        return 1;
    case SYS_ppoll:
        return a[3] != 0;
    case SYS_epoll_pwait:
    case 426: /* io_uring_enter */
    case 441: /* epoll_pwait2 */
        return a[4] != 0;
    case SYS_pselect6:
    case 333: /* io_pgetevents */
        return a[5] != 0;
    default:
        return 0;
    }
}

static int will_block(pid_t tid, int signal_number, bool *waits)
{
    int blocked = blocked_in(tid, signal_number);
    return blocked ? blocked : waits_with_another_mask(tid, waits);
}

/*
 * Threads that waited when they were looked at. Most of them still do, and one that has not run since has its mask
 * still, and is in the same system call: then it need not be asked again. Whether it has run, `schedstat` says, a short
 * file: "RAN WAITED TIMES", and a thread that is let run is counted in TIMES, first (Documentation/scheduler/
 * sched-stats.rst). To write it down takes longer, so that is done when a thread waits the second time. One that a
 * tracer has stopped is asked every time: it may be given another mask meanwhile (PTRACE_SETSIGMASK, as CRIU does).
 */
static struct seen {
    ino_t inode; /* of its folder: another thread that has its number later has another one */
    int signal_number;
    bool waited;
    char schedstat[64]; /* from before the look at its mask; empty: not read */
} seen[256];

/* Without CONFIG_SCHED_INFO they are all 0. */
static bool read_schedstat(pid_t tid, char schedstat[64])
{
    return !read_of(tid, "schedstat", schedstat, 64) && schedstat[0] && !strstr(schedstat, " 0\n");
}

static int will_block_since(pid_t tid, ino_t inode, int signal_number)
{
    struct seen *last = &seen[(size_t)tid % (sizeof(seen) / sizeof(seen[0]))];
    bool waited = last->inode == inode && last->signal_number == signal_number && last->waited;
    struct seen now = {.inode = inode, .signal_number = signal_number};
    bool counted = waited && read_schedstat(tid, now.schedstat);
    if (counted && !strcmp(now.schedstat, last->schedstat))
        return 0;
    int blocked = will_block(tid, signal_number, &now.waited);
    /* Only now it is sure that the mask is the one with which it waits: if it has not run since `schedstat`. */
    if (counted && !blocked && now.waited) {
        char state = 0;
        blocked = blocked_in_state(tid, signal_number, &state);
        now.waited = state != 't';
    }
    if (!blocked)
        *last = now;
    return blocked;
}

/* False only where the C library says so: <sys/single_threaded.h>, from glibc 2.32 on. */
static bool may_have_threads(void)
{
    static const char *single_threaded;
    if (!single_threaded)
        single_threaded = dlsym(RTLD_DEFAULT, "__libc_single_threaded");
    return !single_threaded || !*single_threaded;
}

static bool blocked_by_a_handler(int signal_number)
{
    for (int number = 1; number <= SIGRTMAX; number++) {
        struct sigaction action;
        if (!sigaction(number, NULL, &action) && action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN &&
            sigismember(&action.sa_mask, signal_number))
            return true;
    }
    return false;
}

static _Atomic size_t last_asked;

size_t os_threads_asked(void) { return atomic_load_explicit(&last_asked, memory_order_relaxed); }

static bool blocked_by_another(int signal_number)
{
    static pid_t last; /* who blocks it usually goes on doing so */
    bool waits;
    if (last && will_block(last, signal_number, &waits) == 1)
        return true;
    last = 0;
    DIR *directory = opendir("/proc/self/task");
    if (!directory)
        return true;
    pid_t self = (pid_t)syscall(SYS_gettid);
    bool found = false, complete = false;
    size_t asked = 0;
    struct dirent *entry;
    while (!found && (errno = 0, entry = readdir(directory))) {
        pid_t tid = atoi(entry->d_name);
        complete |= tid == self;
        if (tid <= 0 || tid == self)
            continue;
        asked++;
        int blocked = will_block_since(tid, entry->d_ino, signal_number);
        found = blocked && blocked != -ESRCH;
        if (blocked == 1)
            last = tid;
    }
    complete &= !errno;
    closedir(directory);
    atomic_store_explicit(&last_asked, asked, memory_order_relaxed);
    return found || !complete;
}

bool blocked_elsewhere(int signal_number)
{
    return may_have_threads() && (blocked_by_a_handler(signal_number) || blocked_by_another(signal_number));
}

bool os_trap_blocked(void) { return lock_holder_blocks(SIGTRAP) || blocked_elsewhere(SIGTRAP); }
