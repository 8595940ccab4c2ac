/*
 * Functions that another tool gives other code: `function.__code__ = ...`, away from code with sites of ours.
 *
 * Profilers and debuggers do so, with a copy in which they have changed something. The sites of a copy stay as they
 * were. PyFunction_AddWatcher() (3.12) would tell of it too, but is called for every function that is made or dies. So
 * the setter of the attribute is ours, from the first site on: it costs nothing until a tool uses it.
 */
#ifndef JUMPLABEL_CODE_WATCH_H
#define JUMPLABEL_CODE_WATCH_H

#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

/*
 * Publish a function (publish.h):
 *
 *     watch_code(replaced, callbacks, callback)
 *
 * replaced: a dict, {weak reference to a function: the code with sites that it had}, which holds from now on what has
 * been replaced, until the function has that code again, or dies. callbacks: another dict, which is given the
 * callback as a key when there is something in the first one. Both are changed in the middle of the program's own
 * statement: no Python code runs.
 */
int code_watch_start(uintptr_t list);

/*
 * Take the place of the attribute's setter, if it has not been done, and watch_code() was called. has_sites() tells
 * whether an object is a code object with sites, and sets no error.
 */
void code_watch_install(bool (*has_sites)(PyObject *code));

/* Set function.__code__ without being noticed. Returns 0; -1 with an error set. */
int code_watch_set(PyObject *function, PyObject *code);

#endif
