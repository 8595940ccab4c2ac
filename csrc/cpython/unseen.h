/*
 * Calls of the library's own functions that tracers and profilers do not see: sys.settrace(), sys.setprofile() and
 * sys.monitoring report nothing between PyThreadState_EnterTracing() and PyThreadState_LeaveTracing().
 *
 * The library needs such calls where the program does something else: it sets an attribute, or defines a function.
 * The interpreter may run code of the program's within them: signal handlers and finalizers, which are then not seen
 * either.
 */
#ifndef JUMPLABEL_UNSEEN_H
#define JUMPLABEL_UNSEEN_H

#include <stdint.h>

/*
 * Publish a type and a function (publish.h):
 *
 *     Unseen(function, at_end=None, without_stack=None)
 *
 * A callable. A call of it calls the function, unseen. In a class it binds to instances as a function does. While the
 * interpreter ends, which empties the library's modules, a call calls `at_end` instead; None: it does nothing. Where
 * the function raises RecursionError it calls `without_stack`, which should be a function in C; None: it raises that.
 *
 *     seen(callable, *args)
 *
 * Calls something of the program's within an unseen call. Tracers and profilers see it as ever.
 */
int unseen_types(uintptr_t list);

/* 1: calls are seen after all. For tests, which force interleavings by tracers. */
extern int unseen_is_shown;

#ifdef Py_PYTHON_H
#include <stdbool.h>

bool unseen_is_ending(void);
PyObject *unseen_call(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames);
#endif

#endif
