#define _GNU_SOURCE
#include "blocked.h"
#include "lock.h"
#include "os.h"
#include "thread_status.h"
#include "waiting_threads.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int blocked_in(pid_t tid, int signal_number)
{
    char state;
    return thread_blocks(tid, signal_number, &state);
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
    static pid_t last; /* a thread that blocks it usually goes on doing so */
    if (last && will_block(last, signal_number) == 1)
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
