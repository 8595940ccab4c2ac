/*
 * Threads that waited when they were looked at.
 *
 * Most of them still do. A thread that has not run since has its mask still, and is in the same system call: it need
 * not be asked again, which takes a quarter of the time. The caller holds the text lock.
 */
#ifndef JUMPLABEL_LINUX_WAITING_THREADS_H
#define JUMPLABEL_LINUX_WAITING_THREADS_H

#include <sys/types.h>

/* Whether a thread blocks the signal, or may do so while it waits: 1 or 0, or -errno. Looks at it now. */
int will_block(pid_t tid, int signal_number);

/* The same, from memory where the thread has not run since. `inode` is that of its folder in /proc/self/task. */
int will_block_since(pid_t tid, ino_t inode, int signal_number);

#endif
