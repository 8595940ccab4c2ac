/*
 * A strong reference to an object that is borrowed, and that may be on its way out: in its deallocation, which may let
 * go of the GIL. The caller promises that its memory is still there.
 */
#ifndef JUMPLABEL_HOLD_H
#define JUMPLABEL_HOLD_H

#include <Python.h>

#include <stdbool.h>

/* To be called first, while the caller has a reference: on a free-threaded build another thread may hold it then. */
static inline void hold_later(PyObject *object)
{
#ifdef Py_GIL_DISABLED
    PyUnstable_EnableTryIncRef(object);
#else
    (void)object;
#endif
}

/* False, and nothing is taken: the object is going. */
static inline bool hold(void *object)
{
#ifdef Py_GIL_DISABLED
    return PyUnstable_TryIncRef(object);
#else
    if (Py_REFCNT((PyObject *)object) == 0)
        return false;
    Py_INCREF(object);
    return true;
#endif
}

#endif
