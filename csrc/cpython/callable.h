/*
 * The Python callable whose vectorcall pointer is a trampoline.
 *
 * Calling it runs the trampoline and nothing else of ours. Above entries (jump_entry.h).
 */
#ifndef JUMPLABEL_CALLABLE_H
#define JUMPLABEL_CALLABLE_H

#include <stdint.h>

/*
 * Publish the type (publish.h):
 *
 *     StaticCallable(kind, key, key_address, off, on, owner, calls_off=False)
 *
 * kind "gate":   a call returns `off` while the key is off, or with calls_off what `off` returns; on, it calls `on`
 * kind "switch": a call calls `off` or `on`
 */
int callable_type(uintptr_t list);

#endif
