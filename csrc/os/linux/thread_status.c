#define _GNU_SOURCE
#include "thread_status.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* From Linux 5.1 and 5.11; since then a new system call has the same number on every processor. */
#ifndef SYS_io_uring_enter
#define SYS_io_uring_enter 426
#endif
#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

/* Read a file of a thread, all of it in one read, which is one moment. 0, or -ESRCH where the thread has ended, or
 * -errno. */
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
static int blocks_by_status(pid_t tid, int signal_number, char *state)
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
static int blocks_by_stat(pid_t tid, int signal_number, char *state)
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
int thread_blocks(pid_t tid, int signal_number, char *state)
{
    return (signal_number < 32 ? blocks_by_stat : blocks_by_status)(tid, signal_number, state);
}

/* See proc_pid_syscall(5). The arguments looked at point to the other mask. */
int thread_waits_with_another_mask(pid_t tid, bool *waits)
{
    char text[256], state;
    *waits = false;
    int error = read_of(tid, "syscall", text, sizeof(text));
    if (error) /* where the thread is there and the file is not, the kernel has no such files */
        return error == -ESRCH && !thread_blocks(tid, SIGKILL, &state) ? -ENOTSUP : error;
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
    case SYS_io_uring_enter:
    case SYS_epoll_pwait2:
        return a[4] != 0;
    case SYS_pselect6:
    case SYS_io_pgetevents:
        return a[5] != 0;
    default:
        return 0;
    }
}

/*
 * `schedstat` is a short file: "RAN WAITED TIMES", where a thread that is let run is counted in TIMES, first
 * (Documentation/scheduler/sched-stats.rst). Without CONFIG_SCHED_INFO they are all 0.
 */
bool thread_runs(pid_t tid, char runs[RUNS_ROOM])
{
    return !read_of(tid, "schedstat", runs, RUNS_ROOM) && runs[0] && !strstr(runs, " 0\n");
}
