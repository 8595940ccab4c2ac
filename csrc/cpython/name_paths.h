/*
 * The paths by which keys of sites were found: ("global", "shop", "tracing") of `if shop.tracing:`.
 *
 * Very many sites are tests of few names. So each path is kept once, and a site has the path's number in four bytes.
 * The path goes with the last site that has its number.
 *
 * This file knows tuples of strings and numbers, but no watched dicts and no code objects. It runs no Python code. The
 * caller holds the GIL. On a free-threaded build the calling thread is attached.
 */
#ifndef JUMPLABEL_NAME_PATHS_H
#define JUMPLABEL_NAME_PATHS_H

#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

/*
 * The number of a path, for one more site. Adds each of the path's names to the name filter. 0 with an error set: the
 * path is no tuple of at least two exact strings, or there is no memory.
 */
uint32_t name_path_take(PyObject *path);

/* One site less has this number. Does nothing for 0, which is no number. Leaves a set error as it is. */
void name_path_drop(uint32_t number);

/* A new reference to the path with this number. */
PyObject *name_path(uint32_t number);

/* Whether the path looks this name up in a dict. True for NULL, which stands for any name. */
bool name_path_asks(uint32_t number, PyObject *name);

/* The number of paths, and the highest number so far in this process. */
void name_paths_count(size_t *now, size_t *most);

#endif
