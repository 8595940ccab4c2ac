/*
 * Threads of the package, and forks that Python is not told of.
 *
 * Python makes its lock (the GIL) anew in the child of a fork that it makes itself. uWSGI and C libraries fork without
 * that. If another thread holds the lock then, or waits for it, the child has a lock that no thread will ever release,
 * or a condition variable whose waiters are gone: it hangs as soon as it has a second thread.
 *
 * So a thread of the package is either asleep in own_thread_poll(), where it has nothing to do with the lock, or awake.
 * A fork waits until all of them are asleep, and keeps them asleep. It waits for a second at most: a callback of the
 * program's may run in such a thread for long.
 */
#ifndef JUMPLABEL_OWN_THREAD_H
#define JUMPLABEL_OWN_THREAD_H

#include <poll.h>

/* All of these are called without the GIL. The first one counts a thread as awake, before another thread starts it. */
void own_thread_begins(void);

/* The calling thread is such a thread. */
void own_thread_enters(void);

/* The calling thread ends, or one that was counted could not be started. */
void own_thread_ends(void);

/* poll(2). */
int own_thread_poll(struct pollfd *files, unsigned long n, int milliseconds);

/* Around a fork, in the thread that forks. `foreign`: Python is not told of it. */
void own_thread_before_fork(int foreign);
void own_thread_after_fork(int foreign);
void own_thread_in_child(void);

#endif
