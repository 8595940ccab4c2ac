/*
 * ProcessLock: a reentrant lock of real threads, as threading.RLock without patches. gevent and eventlet replace RLock,
 * and eventlet replaces even existing locks.
 *
 * **Never run code of the program while you hold one.** If a greenlet switches there, another greenlet of the same
 * thread can take the lock: both are the same thread.
 *
 * In the child of a fork the locks of all other threads are free, because the child has none of the parent's threads.
 * The forking thread still holds its locks, because it still has to release them. It settles all locks before it goes
 * on, by fork_notice.c. After a raw clone or _Fork, the first thread that uses one of the locks does that.
 */
#ifndef JUMPLABEL_PROCESS_LOCK_H
#define JUMPLABEL_PROCESS_LOCK_H

#include <stdint.h>

/* Settle the locks in the child. The forking thread calls this while it is the only one. Further calls do nothing. */
void process_lock_in_child(void);

/* The same, if there may be other threads by now. Takes the GIL. */
void process_lock_notice(void);

/* Append the type to a Python list. Returns 0, or -1 for no memory. */
int process_lock_type(uintptr_t list);

#endif
