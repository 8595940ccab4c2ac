/*
 * The objects of off_results.h: what they hold, and the functions that off_results.c puts into their types.
 *
 * off_maker.c makes coroutines and generators, off_running.c runs them, off_steps.c has the objects that their methods
 * hand out.
 */
#ifndef JUMPLABEL_OFF_OBJECTS_H
#define JUMPLABEL_OFF_OBJECTS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdatomic.h>

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyTypeObject *makes, *parts;
    PyObject *value, *name, *qualname; /* of what it makes */
} Maker;

typedef struct {
    PyObject_HEAD
    Maker *maker;
    PyObject *weakrefs;
    _Atomic char finished;
} OffObject;

/*
 * What methods of an OffObject return: __await__() of a coroutine, and __anext__(), asend(), athrow() and aclose() of
 * an async generator, its steps.
 */
typedef struct {
    PyObject_HEAD
    OffObject *generator; /* or coroutine, and then there is nothing more */
    PyObject *argument;   /* asend()'s value, athrow()'s arguments, NULL of aclose() */
    enum { ASEND, ATHROW, ACLOSE } operation;
    _Atomic char awaited;
} Step;

/* Relaxed: threads that share one must order its use anyway, as with any coroutine. */
#define GET(flag) atomic_load_explicit(&(flag), memory_order_relaxed)
#define SET(flag) atomic_store_explicit(&(flag), 1, memory_order_relaxed)

/* ---- off_maker.c ---- */

PyObject *maker_new(PyTypeObject *type, PyObject *args, PyObject *kwargs);
int maker_traverse(PyObject *object, visitproc visit, void *arg);
void maker_dealloc(PyObject *object);

/* ---- off_running.c: each type has its am_send, and the rest follows from it ---- */

PySendResult coroutine_advance(PyObject *object, PyObject *value, PyObject **result);
PySendResult generator_advance(PyObject *object, PyObject *value, PyObject **result);

/* send() of them all; and tp_iternext, where NULL without an exception is the end, too. */
PyObject *off_send(PyObject *self, PyObject *argument);
PyObject *off_next(PyObject *self);

PyObject *generator_throw(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *coroutine_throw(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *off_close(PyObject *self, PyObject *unused);

/* ---- off_steps.c ---- */

PyObject *async_next(PyObject *self);
PyObject *async_send(PyObject *self, PyObject *value);
PyObject *async_throw(PyObject *self, PyObject *args);
PyObject *async_close(PyObject *self, PyObject *unused);
PySendResult step_advance(PyObject *object, PyObject *value, PyObject **result);
PyObject *step_throw(PyObject *object, PyObject *const *args, Py_ssize_t n);
PyObject *step_close(PyObject *object, PyObject *unused);

PyObject *coroutine_await(PyObject *self, PyObject *unused);
PySendResult await_advance(PyObject *self, PyObject *value, PyObject **result);
PyObject *await_throw(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *await_close(PyObject *self, PyObject *unused);

int step_traverse(PyObject *self, visitproc visit, void *arg);
void step_dealloc(PyObject *object);

#endif
