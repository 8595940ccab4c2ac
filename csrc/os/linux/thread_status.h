/*
 * What the kernel tells of one thread of this process, in /proc/self/task.
 *
 * Reads and parses files, and decides nothing. Every function returns -ESRCH where the thread has ended.
 */
#ifndef JUMPLABEL_LINUX_THREAD_STATUS_H
#define JUMPLABEL_LINUX_THREAD_STATUS_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Whether the thread blocks the signal: 1 or 0, or -errno. *state is the kernel's letter for what the thread does, such
 * as 'S' for one that sleeps.
 */
int thread_blocks(pid_t tid, int signal_number, char *state);

/*
 * Whether the thread waits in a system call that gives it another mask meanwhile: 1 or 0, or -errno. Then the mask that
 * thread_blocks() reads is that other one, and the thread has its own again by the time it meets a site. *waits:
 * whether the thread did not run.
 */
int thread_waits_with_another_mask(pid_t tid, bool *waits);

/* How often the thread has run, as text that changes with that; false: the kernel does not tell. */
#define RUNS_ROOM 64
bool thread_runs(pid_t tid, char runs[RUNS_ROOM]);

#endif
