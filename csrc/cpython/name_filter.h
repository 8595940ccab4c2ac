/*
 * A filter for changes of watched dicts. Most changes are of names that no key and no site depends on.
 *
 * It is a Bloom filter with one bit a name. It only grows. It says yes to every name that was added, and to some
 * others. Names are exact strings. Any thread may call both functions. Neither runs Python code or sets an error.
 */
#ifndef JUMPLABEL_NAME_FILTER_H
#define JUMPLABEL_NAME_FILTER_H

#include <Python.h>

#include <stdbool.h>

void name_filter_add(PyObject *name);
bool name_filter_has(PyObject *name);

#endif
