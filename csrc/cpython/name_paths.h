/*
 * The paths by which keys of sites were found: ("global", "shop", "tracing") of `if shop.tracing:`.
 *
 * Very many sites are tests of few names. So each path is kept once, and a site has its number, four bytes. The path
 * goes when the last site with its number goes.
 *
 * Knows tuples of strings and numbers; no dict that is watched, no code object. Runs no Python code. The caller has the
 * GIL, or on a free-threaded build an attached thread.
 */
#ifndef JUMPLABEL_NAME_PATHS_H
#define JUMPLABEL_NAME_PATHS_H

#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

/*
 * The number of a path, for one more site. From now on name_filter_has() each of its names. 0 with an error set: it is
 * no tuple of at least two exact strings, or there is no memory.
 */
uint32_t name_path_take(PyObject *path);

/* One site less has this number. 0 is no number, and may be given. Leaves a set error as it is. */
void name_path_drop(uint32_t number);

/* A new reference to the path that a site has. */
PyObject *name_path(uint32_t number);

/* Whether a dict is asked for this name on the way; any name is, for NULL. */
bool name_path_asks(uint32_t number, PyObject *name);

/* How many there are; and were, at most, since it began. */
void name_paths_count(size_t *now, size_t *most);

#endif
