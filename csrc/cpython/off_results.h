/*
 * What a gate of a coroutine, generator or async generator function gives while it is off: a coroutine that returns the
 * default at once, a generator that yields nothing.
 *
 * Each call gets a fresh object, as each call of the function would: it can be used up, and be one of several in a set.
 * They run no Python, and have no code and no frame: to tools they are coroutines of C, as Cython's.
 *
 * Below function_like.h. This header is also for cffi, and so includes no Python.h.
 */
#ifndef JUMPLABEL_OFF_RESULTS_H
#define JUMPLABEL_OFF_RESULTS_H

#include <stdint.h>

/*
 * Append to the list at this address, as publish.h has it: the maker's type; the types that it makes: coroutine,
 * generator, generator that can be awaited, async generator; and those of the parts that the first and the last of them
 * hand out: the iterator of a coroutine, the steps of an async generator. 0, or -1 and then fewer were appended.
 *
 *     Maker(makes, parts, default, name, qualname)
 *
 * Called with any arguments it returns a new object of type `makes`, which returns `default` when it is run.
 */
int off_result_types(uintptr_t list);

/* What the vectorcall of a maker, a Python object, is and remains; NULL: the object is no maker. */
void *off_result_maker_entry(void *callable);

#endif
