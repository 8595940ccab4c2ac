#include "follow.h"
#include "code_object.h"
#include "publish.h"
#include "unseen.h"

typedef struct {
    PyObject_HEAD
    PyObject *codes, *logger_class, *make;
} Follow;

/* The value of a variable of the closure, borrowed from the cell. NULL: it has none yet. */
static PyObject *held(PyObject *closure, PyObject *variable)
{
    Py_ssize_t i = PyLong_AsSsize_t(variable);
    PyObject *cell = i >= 0 && i < PyTuple_GET_SIZE(closure) ? PyTuple_GET_ITEM(closure, i) : NULL;
    return cell && PyCell_Check(cell) ? PyCell_GET(cell) : NULL;
}

static bool refers_to(PyObject *reference, PyObject *object)
{
    if (!object || !PyWeakref_Check(reference))
        return false;
#if PY_VERSION_HEX >= 0x030d0000
    PyObject *found;
    if (PyWeakref_GetRef(reference, &found) < 0)
        PyErr_Clear();
    Py_XDECREF(found); /* if it is that object, the closure keeps it alive */
    return found == object;
#else
    return PyWeakref_GET_OBJECT(reference) == object;
#endif
}

static bool globals_are(PyObject *globals, PyObject *expected)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(expected); i++) {
        PyObject *pair = PyTuple_GET_ITEM(expected, i);
        PyObject *value = PyDict_GetItemWithError(globals, PyTuple_GET_ITEM(pair, 0));
        if (!value || value != PyTuple_GET_ITEM(pair, 1))
            return false;
    }
    return true;
}

/* A new reference to the code that was made for such a closure. NULL: there is none. */
static PyObject *found(PyObject *made, PyObject *variables, PyObject *closure)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(made); i++) {
        PyObject *entry = PyList_GET_ITEM(made, i);
        Py_ssize_t n = PyTuple_GET_SIZE(variables), same = 0;
        while (same < n &&
               refers_to(PyTuple_GET_ITEM(entry, same + 1), held(closure, PyTuple_GET_ITEM(variables, same))))
            same++;
        if (same == n)
            return Py_NewRef(PyTuple_GET_ITEM(entry, 0));
    }
    return NULL;
}

static bool may_hold_a_logger(PyObject *variables, PyObject *closure, PyObject *logger_class)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(variables); i++) {
        PyObject *object = held(closure, PyTuple_GET_ITEM(variables, i));
        if (object && (PyType_Check(object) || PyModule_Check(object) ||
                       PyType_IsSubtype(Py_TYPE(object), (PyTypeObject *)logger_class)))
            return true;
    }
    return false;
}

static bool is_for_want_of_room(void)
{
    return PyErr_ExceptionMatches(PyExc_MemoryError) || PyErr_ExceptionMatches(PyExc_RecursionError);
}

/* The program only defines a function here, so it gets no error of ours. */
static void set_code(PyObject *function, PyObject *code)
{
    if (function_set_code(function, code) && PyErr_ExceptionMatches(PyExc_Exception))
        PyErr_Clear(); /* an audit hook raised it */
}

static void follow_known(Follow *self, PyObject *function, PyObject *closure, PyObject *known)
{
    PyObject *variables = PyTuple_GET_ITEM(known, 0), *globals = PyFunction_GET_GLOBALS(function), *code = NULL;
    if (PyDict_CheckExact(globals) && globals_are(globals, PyTuple_GET_ITEM(known, 1)))
        code = found(PyTuple_GET_ITEM(known, 2), variables, closure);
    if (code)
        set_code(function, code);
    else if (may_hold_a_logger(variables, closure, self->logger_class))
        Py_XDECREF(unseen_call(self->make, &function, 1, NULL));
    Py_XDECREF(code);
}

static PyObject *compare(PyObject *object, PyObject *function, int operation)
{
    if (operation != Py_LT)
        Py_RETURN_NOTIMPLEMENTED;
    if (!PyFunction_Check(function) || !PyFunction_GET_CLOSURE(function) || unseen_is_ending())
        return Py_NewRef(function);
    Follow *self = (Follow *)object;
    PyObject *number = PyLong_FromVoidPtr(PyFunction_GET_CODE(function));
    PyObject *known = number ? Py_XNewRef(PyDict_GetItemWithError(self->codes, number)) : NULL;
    if (known)
        follow_known(self, function, PyFunction_GET_CLOSURE(function), known);
    Py_XDECREF(known);
    Py_XDECREF(number);
    if (PyErr_Occurred() && is_for_want_of_room())
        PyErr_Clear();
    return PyErr_Occurred() ? NULL : Py_NewRef(function);
}

/* On 3.11 a comparison counts against the recursion limit, and may fail where the program's own statement would not. So
 * the code has `follow | function` there. */
static PyObject *combine(PyObject *object, PyObject *function)
{
    if (Py_TYPE(object)->tp_richcompare != compare)
        Py_RETURN_NOTIMPLEMENTED;
    return compare(object, function, Py_LT);
}

static Py_hash_t hash(PyObject *object) { return (Py_hash_t)((uintptr_t)object >> 4); }

/* Some tools pickle code that has this object as a constant. The pickle has this name only. */
static PyObject *reduce(PyObject *object, PyObject *unused)
{
    (void)object, (void)unused;
    return PyUnicode_FromString("follow");
}

static PyObject *follow_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"codes", "logger_class", "make", NULL};
    PyObject *codes, *logger_class, *make;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O!O:Follow", names, &PyDict_Type, &codes, &PyType_Type,
                                     &logger_class, &make))
        return NULL;
    Follow *self = (Follow *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->codes = Py_NewRef(codes);
    self->logger_class = Py_NewRef(logger_class);
    self->make = Py_NewRef(make);
    return (PyObject *)self;
}

static int traverse(PyObject *object, visitproc visit, void *arg)
{
    Follow *self = (Follow *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->codes);
    Py_VISIT(self->logger_class);
    Py_VISIT(self->make);
    return 0;
}

static void dealloc(PyObject *object)
{
    Follow *self = (Follow *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    Py_XDECREF(self->codes);
    Py_XDECREF(self->logger_class);
    Py_XDECREF(self->make);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {{"__reduce__", reduce, METH_NOARGS, NULL}, {NULL}};

static PyType_Slot slots[] = {
    {Py_tp_new, follow_new}, {Py_tp_dealloc, dealloc},   {Py_tp_traverse, traverse}, {Py_tp_richcompare, compare},
    {Py_nb_or, combine},     {Py_tp_hash, (void *)hash}, {Py_tp_methods, methods},   {0, NULL},
};

static PyType_Spec spec = {
    .name = "jumplabel._instrument.closures.Follow",
    .basicsize = sizeof(Follow),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int follow_type(uintptr_t list) { return publish_types(&spec, 1, list); }
