#include "off_objects.h"

static const char REUSED[] = "cannot reuse already awaited coroutine";

PySendResult coroutine_advance(PyObject *object, PyObject *value, PyObject **result)
{
    OffObject *self = (OffObject *)object;
    *result = NULL;
    if (GET(self->finished)) {
        PyErr_SetString(PyExc_RuntimeError, REUSED);
        return PYGEN_ERROR;
    }
    if (value != Py_None) {
        PyErr_SetString(PyExc_TypeError, "can't send non-None value to a just-started coroutine");
        return PYGEN_ERROR;
    }
    SET(self->finished);
    *result = Py_NewRef(self->maker->value);
    return PYGEN_RETURN;
}

PySendResult generator_advance(PyObject *object, PyObject *value, PyObject **result)
{
    OffObject *self = (OffObject *)object;
    *result = NULL;
    int finished = GET(self->finished);
    if (!finished && value != Py_None) {
        PyErr_SetString(PyExc_TypeError, "can't send non-None value to a just-started generator");
        return PYGEN_ERROR;
    }
    SET(self->finished);
    *result = Py_NewRef(finished ? Py_None : self->maker->value);
    return PYGEN_RETURN;
}

static PyObject *stop(PyObject *value)
{
    /* Made here: PyErr_SetObject() would take a tuple for the arguments, and an exception for the instance. */
    PyObject *error =
        value == Py_None ? PyObject_CallNoArgs(PyExc_StopIteration) : PyObject_CallOneArg(PyExc_StopIteration, value);
    if (error)
        PyErr_SetObject(PyExc_StopIteration, error);
    Py_XDECREF(error);
    Py_DECREF(value);
    return NULL;
}

PyObject *off_send(PyObject *self, PyObject *argument)
{
    PyObject *value;
    return Py_TYPE(self)->tp_as_async->am_send(self, argument, &value) == PYGEN_RETURN ? stop(value) : NULL;
}

PyObject *off_next(PyObject *self)
{
    PyObject *value;
    if (Py_TYPE(self)->tp_as_async->am_send(self, Py_None, &value) != PYGEN_RETURN)
        return NULL;
    if (value != Py_None)
        return stop(value);
    Py_DECREF(value);
    return NULL;
}

/* Raises what throw() was given, and returns 1; 0: it raised what is wrong with that. */
static int raise_given(PyObject *const *args, Py_ssize_t n)
{
    if (n < 1 || n > 3) {
        PyErr_Format(PyExc_TypeError, "throw expected at %s, got %zd", n ? "most 3 arguments" : "least 1 argument", n);
        return 0;
    }
    PyObject *type = args[0], *value = n > 1 && args[1] != Py_None ? args[1] : NULL;
    PyObject *traceback = n > 2 && args[2] != Py_None ? args[2] : NULL;
    if (traceback && !PyTraceBack_Check(traceback)) {
        PyErr_SetString(PyExc_TypeError, "throw() third argument must be a traceback object");
        return 0;
    }
    Py_XINCREF(traceback);
    if (PyExceptionInstance_Check(type)) {
        if (value) {
            Py_XDECREF(traceback);
            PyErr_SetString(PyExc_TypeError, "instance exception may not have a separate value");
            return 0;
        }
        value = type;
        type = (PyObject *)Py_TYPE(value);
        if (!traceback)
            traceback = PyException_GetTraceback(value);
    } else if (!PyExceptionClass_Check(type)) {
        Py_XDECREF(traceback);
        PyErr_Format(PyExc_TypeError, "exceptions must be classes or instances deriving from BaseException, not %s",
                     Py_TYPE(type)->tp_name);
        return 0;
    }
    PyErr_Restore(Py_NewRef(type), Py_XNewRef(value), traceback);
    return 1;
}

PyObject *generator_throw(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    if (raise_given(args, n))
        SET(((OffObject *)self)->finished);
    return NULL;
}

PyObject *coroutine_throw(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    int finished = GET(((OffObject *)self)->finished);
    if (!raise_given(args, n))
        return NULL;
    if (finished) {
        PyErr_Clear();
        PyErr_SetString(PyExc_RuntimeError, REUSED);
    }
    SET(((OffObject *)self)->finished);
    return NULL;
}

PyObject *off_close(PyObject *self, PyObject *unused)
{
    (void)unused;
    SET(((OffObject *)self)->finished);
    Py_RETURN_NONE;
}
