/*
 * ProcessLock: a lock that a thread may take again, as threading.RLock. It stays a lock of real threads: gevent and
 * eventlet replace RLock, and eventlet even the locks that there are. In the child of a fork it is new: the child has
 * none of the threads that held it. The child sees that by its pid, also where the fork was made past Python's hooks.
 *
 * Never hold one across anything that runs code of the program's: a greenlet that switches there would let others of
 * its thread in, as they are the same thread.
 */
#ifndef JUMPLABEL_PROCESS_LOCK_H
#define JUMPLABEL_PROCESS_LOCK_H

#include <stdint.h>

/* Append the type to a Python list. 0, or -1 for no memory. */
int process_lock_type(uintptr_t list);

#endif
