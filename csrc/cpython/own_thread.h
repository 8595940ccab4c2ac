/*
 * Threads of the package, and forks that Python is not told of.
 *
 * Python makes its lock (the GIL) anew in the child of a fork that it makes itself. uWSGI and C libraries fork without
 * that. If another thread holds the lock then, or waits for it, the child has a lock that no thread will ever release,
 * or a condition variable whose waiters are gone: it hangs as soon as it has a second thread.
 *
 * So a thread of the package is either asleep in one of the two functions below, where it has nothing to do with the
 * lock, or awake. A fork waits until all of them are asleep, and keeps them asleep. It waits for a second at most: a
 * callback of the program's may run in such a thread for long.
 *
 * A thread is awake from before it is started, until it has ended and has let go of the GIL for good.
 */
#ifndef JUMPLABEL_OWN_THREAD_H
#define JUMPLABEL_OWN_THREAD_H

#include <poll.h>
#include <stdint.h>

/*
 * Append a function to a Python list: start(start_new_thread, function, arguments) starts such a thread, as
 * start_new_thread(function, arguments) does. Returns 0, or -1 for no memory.
 */
int own_thread_start_function(uintptr_t list);

/* The others are called without the GIL. */

/* The first thing that such a thread does. */
void own_thread_enters(void);

/* The calling thread, which Python has started, is such a thread from now on. */
void own_thread_joins(void);

/* poll(2). */
int own_thread_poll(struct pollfd *files, unsigned long n, int milliseconds);

/* How often own_thread_ring() has been called. */
unsigned long own_thread_rings(void);
void own_thread_ring(void);

/* Sleep until that time of clock_monotonic(), in ns, or until there are more rings than those that were heard. */
void own_thread_sleep(int64_t until, unsigned long heard);

/* Around a fork, in the thread that forks. `foreign`: Python is not told of it. */
void own_thread_before_fork(int foreign);
void own_thread_after_fork(int foreign);
void own_thread_in_child(void);

#endif
