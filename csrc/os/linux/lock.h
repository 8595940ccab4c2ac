/*
 * What other files of this system ask of the lock; the rest is in os.h.
 */
#ifndef JUMPLABEL_LINUX_LOCK_H
#define JUMPLABEL_LINUX_LOCK_H

#include <stdbool.h>

/* Whether the thread that holds the lock blocked this signal before it took the lock, which itself blocks others. */
bool lock_holder_blocks(int signal_number);

#endif
