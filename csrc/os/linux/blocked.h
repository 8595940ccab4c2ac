/*
 * Which threads block a signal.
 *
 * The kernel does not wait for a thread that blocks the signal of its own trap: it kills the process (force_sig() in
 * Linux kernel/signal.c). Threads that block every signal are common, libraries' workers above all (libuv, ZeroMQ,
 * jemalloc), and nobody is told when a thread changes its mask. So one has to look.
 *
 * Beside the first layer: knows nothing of code, sites or traps.
 */
#ifndef JUMPLABEL_BLOCKED_H
#define JUMPLABEL_BLOCKED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* 1: the thread of this process blocks the signal; 0: it does not. -ESRCH: there is no such thread (any more). */
int blocked_in(pid_t tid, int signal_number);

/*
 * Whether another thread of the process blocks the signal, or any may do so while it runs a handler; true, too, where
 * nobody can tell. The answer is as old as the look at each thread, some 20 µs a thread, and 5 for one that waits: who
 * blocks it, or is made, meanwhile is missed. Asks nobody in a process that never had a second thread. The caller holds
 * the text mutex.
 */
bool blocked_elsewhere(int signal_number);

#endif
