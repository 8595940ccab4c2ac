/*
 * Threads of the package during foreign forks (fork_notice.h).
 *
 * After its own forks, Python makes a new GIL in the child. uWSGI and C libraries fork without that. If another thread
 * holds the GIL during such a fork, the child's GIL is never released. If another thread waits for it, the child has a
 * condition variable with waiters that are gone. Either way the child hangs as soon as it has a second thread.
 *
 * So a thread of the package is either awake, or asleep in own_thread_poll() or own_thread_sleep(). A sleeping thread
 * does not touch the GIL. A fork waits until all these threads are asleep, and keeps them asleep. It waits one second
 * at most, because a callback of the program may run for long in such a thread.
 *
 * A thread counts as awake from before its start until it has ended and has released the GIL for good.
 */
#ifndef JUMPLABEL_OWN_THREAD_H
#define JUMPLABEL_OWN_THREAD_H

#include <poll.h>
#include <stdint.h>

/*
 * Append a function to a Python list: start_own_thread(start_new_thread, function, arguments) starts such a thread by
 * start_new_thread(function, arguments). Returns 0, or -1 for no memory.
 */
int own_thread_start_function(uintptr_t list);

/* The caller of the other functions does not hold the GIL. */

/* Such a thread calls this first. */
void own_thread_enters(void);

/* Make the calling thread, which Python has started, such a thread. */
void own_thread_joins(void);

/* poll(2). The thread is asleep meanwhile. */
int own_thread_poll(struct pollfd *files, unsigned long n, int milliseconds);

/* The number of calls of own_thread_ring() so far. */
unsigned long own_thread_rings(void);
/* Wake the threads in own_thread_sleep(). */
void own_thread_ring(void);

/* Sleep until this time of CLOCK_MONOTONIC, in ns, or until the number of rings is no longer `heard`. */
void own_thread_sleep(int64_t until, unsigned long heard);

/* Called around a fork, in the forking thread. foreign: Python does not notice the fork. */
void own_thread_before_fork(int foreign);
void own_thread_after_fork(int foreign);
void own_thread_in_child(void);

#endif
