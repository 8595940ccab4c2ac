#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "current_context.h"
#include "publish.h"

static PyObject *current_context(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    PyObject *context = PyThreadState_Get()->context;
    return Py_NewRef(context ? context : Py_None);
}

static PyMethodDef definition = {"current_context", current_context, METH_NOARGS, NULL};

int current_context_function(uintptr_t list) { return publish_functions(&definition, 1, list); }
