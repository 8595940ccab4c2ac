/*
 * How C objects come to Python: they are appended to a list whose address, a Python object's id(), the caller gives.
 * cffi cannot return objects, and calls C without the caller's thread state.
 *
 * Both return 0, or -1 for no memory, with fewer appended and no exception set. They take the GIL themselves.
 */
#ifndef JUMPLABEL_PUBLISH_H
#define JUMPLABEL_PUBLISH_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>

int publish_types(PyType_Spec *specs, size_t n, uintptr_t list);
int publish_functions(PyMethodDef *methods, size_t n, uintptr_t list);

#endif
