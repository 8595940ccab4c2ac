/*
 * A function without arguments, for Python: the running contextvars.Context itself, or None. `contextvars` only gives
 * copies away, and a copy is another context.
 */
#ifndef JUMPLABEL_CURRENT_CONTEXT_H
#define JUMPLABEL_CURRENT_CONTEXT_H

#include <stdint.h>

/* Append it to a Python list. 0, or -1 for no memory. */
int current_context_function(uintptr_t list);

#endif
