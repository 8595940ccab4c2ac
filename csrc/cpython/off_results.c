#include "off_results.h"
#include "off_objects.h"
#include "publish.h"

#include <structmember.h>

/* ---- what they have in common ---- */

static PyObject *off_name(PyObject *self, void *unused)
{
    (void)unused;
    return Py_NewRef(((OffObject *)self)->maker->name);
}

static PyObject *off_qualname(PyObject *self, void *unused)
{
    (void)unused;
    return Py_NewRef(((OffObject *)self)->maker->qualname);
}

static PyObject *off_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<%s of %U, which is off, at %p>", Py_TYPE(self)->tp_name,
                                ((OffObject *)self)->maker->qualname, self);
}

static int off_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((OffObject *)self)->maker);
    return 0;
}

static void off_dealloc(PyObject *object)
{
    OffObject *self = (OffObject *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (self->weakrefs)
        PyObject_ClearWeakRefs(object);
    Py_DECREF(self->maker);
    PyObject_GC_Del(object);
    Py_DECREF(type);
}

static PyMemberDef off_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(OffObject, weakrefs), READONLY, NULL},
    {0},
};

/* asyncio names tasks and coroutines after these. */
static PyGetSetDef off_getset[] = {
    {"__name__", off_name, NULL, NULL, NULL},
    {"__qualname__", off_qualname, NULL, NULL, NULL},
    {0},
};

/* ---- the types ---- */

#define FASTCALL(function) ((PyCFunction)(void (*)(void))(function))

static PyMemberDef maker_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Maker, vectorcall), READONLY, NULL},
    {0},
};

static PyMethodDef coroutine_methods[] = {
    {"send", off_send, METH_O, NULL},
    {"throw", FASTCALL(coroutine_throw), METH_FASTCALL, NULL},
    {"close", off_close, METH_NOARGS, NULL},
    {"__await__", coroutine_await, METH_NOARGS | METH_COEXIST, NULL},
    {0},
};

static PyMethodDef await_methods[] = {
    {"send", off_send, METH_O, NULL},
    {"throw", FASTCALL(await_throw), METH_FASTCALL, NULL},
    {"close", await_close, METH_NOARGS, NULL},
    {0},
};

static PyMethodDef generator_methods[] = {
    {"send", off_send, METH_O, NULL},
    {"throw", FASTCALL(generator_throw), METH_FASTCALL, NULL},
    {"close", off_close, METH_NOARGS, NULL},
    {0},
};

static PyMethodDef async_generator_methods[] = {
    {"asend", async_send, METH_O, NULL},
    {"athrow", async_throw, METH_VARARGS, NULL},
    {"aclose", async_close, METH_NOARGS, NULL},
    {0},
};

static PyMethodDef step_methods[] = {
    {"send", off_send, METH_O, NULL},
    {"throw", FASTCALL(step_throw), METH_FASTCALL, NULL},
    {"close", step_close, METH_NOARGS, NULL},
    {0},
};

static PyType_Slot maker_slots[] = {
    {Py_tp_new, maker_new},          {Py_tp_dealloc, maker_dealloc}, {Py_tp_traverse, maker_traverse},
    {Py_tp_call, PyVectorcall_Call}, {Py_tp_members, maker_members}, {0},
};

#define OFF_SLOTS                                                                         \
    {Py_tp_dealloc, off_dealloc}, {Py_tp_traverse, off_traverse}, {Py_tp_repr, off_repr}, \
        {Py_tp_members, off_members},                                                     \
    {                                                                                     \
        Py_tp_getset, off_getset                                                          \
    }

/*
 * An await runs what am_await gives by its am_send, or from 3.12 on by tp_iternext. The coroutine has them itself,
 * which saves an object. A caller of __await__() gets an object of its own: it must have an __iter__, and a coroutine
 * must not, or it would be a generator to collections.abc.
 */
static PyType_Slot coroutine_slots[] = {
    OFF_SLOTS,
    {Py_tp_methods, coroutine_methods},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, coroutine_advance},
    {Py_tp_iternext, off_next},
    {0},
};

static PyType_Slot await_slots[] = {
    {Py_tp_dealloc, step_dealloc},
    {Py_tp_traverse, step_traverse},
    {Py_tp_methods, await_methods},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_am_send, await_advance},
    {Py_tp_iternext, off_next},
    {0},
};

static PyType_Slot generator_slots[] = {
    OFF_SLOTS,
    {Py_tp_methods, generator_methods},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_am_send, generator_advance},
    {Py_tp_iternext, off_next},
    {0},
};

static PyType_Slot awaitable_generator_slots[] = {
    OFF_SLOTS,
    {Py_tp_methods, generator_methods},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, generator_advance},
    {Py_tp_iternext, off_next},
    {0},
};

static PyType_Slot async_generator_slots[] = {
    OFF_SLOTS, {Py_tp_methods, async_generator_methods}, {Py_am_aiter, PyObject_SelfIter}, {Py_am_anext, async_next},
    {0},
};

static PyType_Slot step_slots[] = {
    {Py_tp_dealloc, step_dealloc},    {Py_tp_traverse, step_traverse},
    {Py_tp_methods, step_methods},    {Py_tp_iter, PyObject_SelfIter},
    {Py_am_await, PyObject_SelfIter}, {Py_am_send, step_advance},
    {Py_tp_iternext, off_next},       {0},
};

#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE)
#define MADE (FLAGS | Py_TPFLAGS_DISALLOW_INSTANTIATION)

static PyType_Spec specs[] = {
    {"jumplabel.Maker", sizeof(Maker), 0, FLAGS | Py_TPFLAGS_HAVE_VECTORCALL, maker_slots},
    {"jumplabel.EmptyCoroutine", sizeof(OffObject), 0, MADE, coroutine_slots},
    {"jumplabel.EmptyGenerator", sizeof(OffObject), 0, MADE, generator_slots},
    {"jumplabel.EmptyAwaitableGenerator", sizeof(OffObject), 0, MADE, awaitable_generator_slots},
    {"jumplabel.EmptyAsyncGenerator", sizeof(OffObject), 0, MADE, async_generator_slots},
    {"jumplabel.EmptyCoroutineIterator", sizeof(Step), 0, MADE, await_slots},
    {"jumplabel.EmptyAsyncGeneratorStep", sizeof(Step), 0, MADE, step_slots},
};

int off_result_types(uintptr_t list) { return publish_types(specs, sizeof(specs) / sizeof(specs[0]), list); }
