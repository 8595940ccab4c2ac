#define _GNU_SOURCE
#include "blocked.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of /proc/PID/task/TID/status, see proc(5): "State:\tS (sleeping)" and "SigBlk:\t0000000000000010". */
int blocked_in(pid_t tid, int signal_number)
{
    char text[4096];
    snprintf(text, sizeof(text), "/proc/self/task/%d/status", tid);
    int fd = open(text, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    ssize_t size = read(fd, text, sizeof(text) - 1); /* one read is one moment */
    int error = size < 0 ? -errno : 0;
    close(fd);
    if (error)
        return error;
    text[size] = 0;
    const char *state = strstr(text, "\nState:\t"), *mask = strstr(text, "\nSigBlk:\t");
    if (state && strchr("ZX", state[8])) /* has ended */
        return -ESRCH;
    return mask ? (int)(strtoull(mask + 9, NULL, 16) >> (signal_number - 1) & 1) : -ENOTSUP;
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

static bool blocked_by_another(int signal_number)
{
    static pid_t last; /* who blocks it usually goes on doing so */
    if (last && blocked_in(last, signal_number) == 1)
        return true;
    last = 0;
    DIR *directory = opendir("/proc/self/task");
    if (!directory)
        return true;
    pid_t self = (pid_t)syscall(SYS_gettid);
    bool found = false, complete = false;
    struct dirent *entry;
    while (!found && (errno = 0, entry = readdir(directory))) {
        pid_t tid = atoi(entry->d_name);
        complete |= tid == self;
        if (tid <= 0 || tid == self)
            continue;
        int blocked = blocked_in(tid, signal_number);
        found = blocked && blocked != -ESRCH;
        if (blocked == 1)
            last = tid;
    }
    complete &= !errno;
    closedir(directory);
    return found || !complete;
}

bool blocked_anywhere(int signal_number)
{
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    if (sigismember(&mask, signal_number))
        return true;
    return may_have_threads() && (blocked_by_a_handler(signal_number) || blocked_by_another(signal_number));
}
