/*
 * ProcessLock: a lock that a thread may take again, as threading.RLock. It stays a lock of real threads: gevent and
 * eventlet replace RLock, and eventlet even the locks that there are.
 *
 * In the child of a fork, what another thread held is free: the child has none of the parent's threads. The thread that
 * has forked goes on holding what it held, as it still has to release it. It settles all locks before it goes on, by
 * fork_notice.c. Where even the C library is not told of the fork, the first thread does that uses one of the locks.
 *
 * Never hold one across anything that runs code of the program's: a greenlet that switches there would let others of
 * its thread in, as they are the same thread.
 */
#ifndef JUMPLABEL_PROCESS_LOCK_H
#define JUMPLABEL_PROCESS_LOCK_H

#include <stdint.h>

/* In the child, in the thread that has forked, where it is the only one; again: nothing. */
void process_lock_in_child(void);

/* The same, where there may be other threads by now. Takes the GIL. */
void process_lock_notice(void);

/* Append the type to a Python list. 0, or -1 for no memory. */
int process_lock_type(uintptr_t list);

#endif
