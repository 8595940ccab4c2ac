#include "off_objects.h"
#include "off_results.h"

static PyObject *make(PyObject *object, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    (void)args, (void)nargsf, (void)kwnames;
    Maker *maker = (Maker *)object;
    OffObject *made = PyObject_GC_New(OffObject, maker->makes);
    if (!made)
        return NULL;
    made->maker = (Maker *)Py_NewRef(maker);
    made->weakrefs = NULL;
    atomic_init(&made->finished, 0);
    if (PyObject_IS_GC(maker->value)) /* otherwise there is no cycle that it could be in */
        PyObject_GC_Track(made);
    return (PyObject *)made;
}

PyObject *maker_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyTypeObject *makes, *parts;
    PyObject *value, *name, *qualname;
    static char *names[] = {"makes", "parts", "default", "name", "qualname", NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O!OUU:Maker", names, &PyType_Type, &makes, &PyType_Type, &parts,
                                     &value, &name, &qualname))
        return NULL;
    if (makes->tp_basicsize != sizeof(OffObject) || parts->tp_basicsize != sizeof(Step)) {
        PyErr_SetString(PyExc_TypeError, "a Maker makes what was published with it");
        return NULL;
    }
    Maker *self = (Maker *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->vectorcall = make;
    self->makes = (PyTypeObject *)Py_NewRef(makes);
    self->parts = (PyTypeObject *)Py_NewRef(parts);
    self->value = Py_NewRef(value);
    self->name = Py_NewRef(name);
    self->qualname = Py_NewRef(qualname);
    return (PyObject *)self;
}

void *off_result_maker_entry(void *callable)
{
    return Py_TYPE((PyObject *)callable)->tp_new == maker_new ? (void *)make : NULL;
}

/* No tp_clear, here and below: a cycle runs through what was put into the default, or into a gate's attributes. */
int maker_traverse(PyObject *object, visitproc visit, void *arg)
{
    Maker *self = (Maker *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->makes);
    Py_VISIT(self->parts);
    Py_VISIT(self->value);
    return 0;
}

void maker_dealloc(PyObject *object)
{
    Maker *self = (Maker *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    Py_XDECREF(self->makes);
    Py_XDECREF(self->parts);
    Py_XDECREF(self->value);
    Py_XDECREF(self->name);
    Py_XDECREF(self->qualname);
    type->tp_free(object);
    Py_DECREF(type);
}
