#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "code_watch.h"
#include "publish.h"

#include <stddef.h>

static PyObject *replaced, *forget, *callbacks, *callback;
static PyInterpreterState *home; /* whose objects these are */
static PyGetSetDef watched;
static setter original; /* NULL: it is not replaced */
static bool (*has_sites)(PyObject *code);

static bool drop(PyObject *weak)
{
    int found = PyDict_Contains(replaced, weak);
    return found == 0 || (found > 0 && !PyDict_DelItem(replaced, weak));
}

/* Called when a function dies, with its weak reference, which kept its hash. It may not be there any more. */
static PyObject *dies(PyObject *self, PyObject *weak)
{
    (void)self;
    return drop(weak) ? Py_NewRef(Py_None) : NULL;
}

/* Whether a code object is another one, or within it. */
static bool is_within(PyObject *code, PyObject *other)
{
    if (code == other)
        return true;
    PyObject *constants = PyCode_Check(other) ? ((PyCodeObject *)other)->co_consts : NULL;
    for (Py_ssize_t i = 0; constants && i < PyTuple_GET_SIZE(constants); i++)
        if (PyCode_Check(PyTuple_GET_ITEM(constants, i)) && is_within(code, PyTuple_GET_ITEM(constants, i)))
            return true;
    return false;
}

/* Whether some code with sites, in what a function had, is not in what it has now. */
static bool leaves_sites(PyObject *old, PyObject *now)
{
    if (has_sites(old) && !is_within(old, now))
        return true;
    PyObject *constants = ((PyCodeObject *)old)->co_consts;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(constants); i++)
        if (PyCode_Check(PyTuple_GET_ITEM(constants, i)) && leaves_sites(PyTuple_GET_ITEM(constants, i), now))
            return true;
    return false;
}

/* The one that it had first is kept: a tool may replace its own copy. */
static bool remember(PyObject *function, PyObject *code)
{
    PyObject *weak = PyWeakref_NewRef(function, forget);
    bool done = weak && PyDict_SetDefault(replaced, weak, code) && !PyDict_SetItem(callbacks, callback, Py_None);
    Py_XDECREF(weak);
    return done;
}

static bool forget_if_back(PyObject *function, PyObject *now)
{
    PyObject *weak = PyDict_GET_SIZE(replaced) ? PyWeakref_NewRef(function, NULL) : NULL;
    if (!weak)
        return !PyErr_Occurred();
    PyObject *had = PyDict_GetItemWithError(replaced, weak);
    bool done = had ? leaves_sites(had, now) || drop(weak) : !PyErr_Occurred();
    Py_DECREF(weak);
    return done;
}

static int set_watched(PyObject *function, PyObject *code, void *closure)
{
    PyObject *old = Py_NewRef(((PyFunctionObject *)function)->func_code);
    int result = original(function, code, closure);
    if (!result && old != code && PyInterpreterState_Get() == home) {
        bool done = leaves_sites(old, code) ? remember(function, old) : forget_if_back(function, code);
        if (!done)
            PyErr_WriteUnraisable(function);
    }
    Py_DECREF(old);
    return result;
}

void code_watch_install(bool (*new_has_sites)(PyObject *code))
{
    if (original || !replaced || PyInterpreterState_Get() != home)
        return;
    has_sites = new_has_sites;
    PyObject *types = PyObject_GetAttrString((PyObject *)&PyFunction_Type, "__dict__");
    PyObject *found = types ? PyMapping_GetItemString(types, "__code__") : NULL;
    if (found && Py_IS_TYPE(found, &PyGetSetDescr_Type) && ((PyGetSetDescrObject *)found)->d_getset->set) {
        PyGetSetDescrObject *descriptor = (PyGetSetDescrObject *)found;
        watched = *descriptor->d_getset;
        original = watched.set;
        watched.set = set_watched;
        descriptor->d_getset = &watched;
    }
    Py_XDECREF(found);
    Py_XDECREF(types);
    PyErr_Clear(); /* then a replaced code is not noticed */
}

int code_watch_set(PyObject *function, PyObject *code)
{
    if (original && PyInterpreterState_Get() == home)
        return original(function, code, NULL);
    return PyObject_SetAttrString(function, "__code__", code);
}

static PyMethodDef death = {"dies", dies, METH_O, NULL};

static PyObject *watch_code(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *dict, *others, *function;
    if (!PyArg_ParseTuple(args, "O!O!O", &PyDict_Type, &dict, &PyDict_Type, &others, &function))
        return NULL;
    if (replaced)
        return Py_NewRef(Py_None); /* another interpreter's */
    forget = PyCFunction_New(&death, NULL);
    if (!forget)
        return NULL;
    replaced = Py_NewRef(dict);
    callbacks = Py_NewRef(others);
    callback = Py_NewRef(function);
    home = PyInterpreterState_Get();
    return Py_NewRef(Py_None);
}

static PyMethodDef watch = {"watch_code", watch_code, METH_VARARGS, NULL};

int code_watch_start(uintptr_t list) { return publish_functions(&watch, 1, list); }
