/*
 * A toggle as Python calls it: without cffi, which takes as long as a system call, and where that is safe without
 * letting go of the GIL, which takes several times as long as the whole patch when other threads want it.
 *
 * Above transactions (transaction.h).
 */
#ifndef JUMPLABEL_KEY_TOGGLE_H
#define JUMPLABEL_KEY_TOGGLE_H

#include <stdint.h>

/*
 * Publish a function (publish.h):
 *
 *     toggle(key_address, operation) -> error
 *
 * static_key_toggle() of a key that the caller keeps alive. Raises TypeError, OverflowError for what are no integers of
 * such a size, and nothing else.
 */
int key_toggle_function(uintptr_t list);

#endif
