#include "waiting_threads.h"
#include "thread_status.h"

#include <string.h>

static int look(pid_t tid, int signal_number, bool *waits)
{
    char state;
    *waits = false;
    int blocked = thread_blocks(tid, signal_number, &state);
    return blocked ? blocked : thread_waits_with_another_mask(tid, waits);
}

int will_block(pid_t tid, int signal_number)
{
    bool waits;
    return look(tid, signal_number, &waits);
}

/*
 * To write down how often a thread has run takes longer than to ask it, so that is done when it waits the second time.
 * A thread that a tracer has stopped is asked every time: it may be given another mask meanwhile (PTRACE_SETSIGMASK, as
 * CRIU does).
 */
static struct seen {
    ino_t inode; /* another thread that has this thread's number later has another one */
    int signal_number;
    bool waited;
    char runs[RUNS_ROOM]; /* from before the look at its mask; empty: not read */
} seen[256];

int will_block_since(pid_t tid, ino_t inode, int signal_number)
{
    struct seen *last = &seen[(size_t)tid % (sizeof(seen) / sizeof(seen[0]))];
    bool waited = last->inode == inode && last->signal_number == signal_number && last->waited;
    struct seen now = {.inode = inode, .signal_number = signal_number};
    bool counted = waited && thread_runs(tid, now.runs);
    if (counted && !strcmp(now.runs, last->runs))
        return 0;
    int blocked = look(tid, signal_number, &now.waited);
    /* Only now it is sure that the mask is the one with which it waits: if it has not run since `runs` was read. */
    if (counted && !blocked && now.waited) {
        char state = 0;
        blocked = thread_blocks(tid, signal_number, &state);
        now.waited = state != 't';
    }
    if (!blocked)
        *last = now;
    return blocked;
}
