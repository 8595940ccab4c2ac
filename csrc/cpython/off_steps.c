#include "off_objects.h"

static PyObject *step(PyObject *generator, int operation, PyObject *argument)
{
    Step *made = PyObject_GC_New(Step, ((OffObject *)generator)->maker->parts);
    if (!made)
        return NULL;
    made->generator = (OffObject *)Py_NewRef(generator);
    made->argument = Py_XNewRef(argument);
    made->operation = operation;
    atomic_init(&made->awaited, 0);
    PyObject_GC_Track(made);
    return (PyObject *)made;
}

PyObject *async_next(PyObject *self) { return step(self, ASEND, Py_None); }
PyObject *async_send(PyObject *self, PyObject *value) { return step(self, ASEND, value); }
PyObject *async_throw(PyObject *self, PyObject *args) { return step(self, ATHROW, args); }

PyObject *async_close(PyObject *self, PyObject *unused)
{
    (void)unused;
    return step(self, ACLOSE, NULL);
}

static int step_begin(Step *self)
{
    if (GET(self->awaited)) {
        PyErr_Format(PyExc_RuntimeError, "cannot reuse already awaited %s",
                     self->operation == ASEND ? "__anext__()/asend()" : "aclose()/athrow()");
        return 0;
    }
    SET(self->awaited);
    return 1;
}

PySendResult step_advance(PyObject *object, PyObject *value, PyObject **result)
{
    Step *self = (Step *)object;
    *result = NULL;
    int finished = GET(self->generator->finished);
    if (self->operation != ASEND && !GET(self->awaited) && !finished && value != Py_None) {
        PyErr_SetString(PyExc_RuntimeError, "can't send non-None value to a just-started coroutine");
        return PYGEN_ERROR;
    }
    if (!step_begin(self))
        return PYGEN_ERROR;
    if (self->operation == ASEND) {
        if (!finished && (value != Py_None || self->argument != Py_None)) { /* it may still be begun */
            PyErr_SetString(PyExc_TypeError, "can't send non-None value to a just-started async generator");
            return PYGEN_ERROR;
        }
        SET(self->generator->finished);
        PyErr_SetNone(PyExc_StopAsyncIteration);
        return PYGEN_ERROR;
    }
    if (self->operation == ATHROW && !finished) {
        generator_throw((PyObject *)self->generator, PySequence_Fast_ITEMS(self->argument),
                        PyTuple_GET_SIZE(self->argument));
        return PYGEN_ERROR;
    }
    SET(self->generator->finished);
    *result = Py_NewRef(Py_None);
    return PYGEN_RETURN;
}

PyObject *step_throw(PyObject *object, PyObject *const *args, Py_ssize_t n)
{
    Step *self = (Step *)object;
    if (!step_begin(self))
        return NULL;
    generator_throw((PyObject *)self->generator, args, n);
    if (self->operation == ACLOSE &&
        (PyErr_ExceptionMatches(PyExc_GeneratorExit) || PyErr_ExceptionMatches(PyExc_StopAsyncIteration))) {
        PyErr_Clear();
        PyErr_SetNone(PyExc_StopIteration); /* it is closed, as was asked */
    }
    return NULL;
}

/* From 3.13 on, to close a step is to throw GeneratorExit into it. The ways of 3.11 and 3.12 are not kept. */
PyObject *step_close(PyObject *object, PyObject *unused)
{
    (void)unused;
    Step *self = (Step *)object;
    if (!GET(self->awaited))
        SET(self->generator->finished);
    SET(self->awaited);
    Py_RETURN_NONE;
}

int step_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((Step *)self)->generator);
    Py_VISIT(((Step *)self)->argument);
    return 0;
}

void step_dealloc(PyObject *object)
{
    Step *self = (Step *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    Py_DECREF(self->generator);
    Py_XDECREF(self->argument);
    PyObject_GC_Del(object);
    Py_DECREF(type);
}

/* ---- the iterator of a coroutine ---- */

PyObject *coroutine_await(PyObject *self, PyObject *unused)
{
    (void)unused;
    return step(self, ASEND, NULL);
}

PySendResult await_advance(PyObject *self, PyObject *value, PyObject **result)
{
    return coroutine_advance((PyObject *)((Step *)self)->generator, value, result);
}

PyObject *await_throw(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    return coroutine_throw((PyObject *)((Step *)self)->generator, args, n);
}

PyObject *await_close(PyObject *self, PyObject *unused)
{
    return off_close((PyObject *)((Step *)self)->generator, unused);
}
