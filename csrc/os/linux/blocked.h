/*
 * Which threads block a signal.
 *
 * The kernel does not wait for a thread that blocks the signal of its own trap: it kills the process (force_sig() in
 * Linux kernel/signal.c). Threads that block every signal are common, libraries' workers above all (libuv, ZeroMQ,
 * jemalloc), and the kernel tells no other thread when one changes its mask. So the engine has to look: at every
 * thread's mask (thread_status.h), or only at those that have run since the last look (waiting_threads.h).
 *
 * Knows nothing of code, sites or traps.
 */
#ifndef JUMPLABEL_LINUX_BLOCKED_H
#define JUMPLABEL_LINUX_BLOCKED_H

#include <stdbool.h>
#include <sys/types.h>

/* 1: the thread of this process blocks the signal; 0: it does not. -ESRCH: there is no such thread (any more). */
int blocked_in(pid_t tid, int signal_number);

/*
 * Whether another thread of the process blocks the signal, or any may do so while it runs a handler. True, too, where
 * the kernel does not tell. The answer is as old as the look at each thread, some 20 µs a thread, and 5 for one that
 * waits: a thread that blocks the signal, or is made, meanwhile is missed. Asks no thread in a process that never had a
 * second one. The caller holds the text lock.
 */
bool blocked_elsewhere(int signal_number);

#endif
