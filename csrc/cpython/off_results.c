#include "off_results.h"
#include "function_like.h"

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
} Empty;

/*
 * What methods of it return: __await__() of a coroutine, and __anext__(), asend(), athrow() and aclose() of an async
 * generator, its steps.
 */
typedef struct {
    PyObject_HEAD
    Empty *generator;   /* or coroutine, and then there is nothing more */
    PyObject *argument; /* asend()'s value, athrow()'s arguments, NULL of aclose() */
    enum { ASEND, ATHROW, ACLOSE } operation;
    _Atomic char awaited;
} Step;

/* Relaxed: who shares one between threads must order its use anyway, as with any coroutine. */
#define GET(flag) atomic_load_explicit(&(flag), memory_order_relaxed)
#define SET(flag) atomic_store_explicit(&(flag), 1, memory_order_relaxed)

/* ---- the maker ---- */

static PyObject *make(PyObject *object, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    (void)args, (void)nargsf, (void)kwnames;
    Maker *maker = (Maker *)object;
    Empty *made = PyObject_GC_New(Empty, maker->makes);
    if (!made)
        return NULL;
    made->maker = (Maker *)Py_NewRef(maker);
    made->weakrefs = NULL;
    atomic_init(&made->finished, 0);
    if (PyObject_IS_GC(maker->value)) /* otherwise there is no cycle that it could be in */
        PyObject_GC_Track(made);
    return (PyObject *)made;
}

static PyObject *maker_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyTypeObject *makes, *parts;
    PyObject *value, *name, *qualname;
    static char *names[] = {"makes", "parts", "default", "name", "qualname", NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O!OUU:Maker", names, &PyType_Type, &makes, &PyType_Type, &parts,
                                     &value, &name, &qualname))
        return NULL;
    if (makes->tp_basicsize != sizeof(Empty) || parts->tp_basicsize != sizeof(Step)) {
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

void *empty_maker_entry(void *callable)
{
    return Py_TYPE((PyObject *)callable)->tp_new == maker_new ? (void *)make : NULL;
}

/* No tp_clear, here and below: a cycle runs through what was put into the default, or into a gate's attributes. */
static int maker_traverse(PyObject *object, visitproc visit, void *arg)
{
    Maker *self = (Maker *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->makes);
    Py_VISIT(self->parts);
    Py_VISIT(self->value);
    return 0;
}

static void maker_dealloc(PyObject *object)
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

static const char REUSED[] = "cannot reuse already awaited coroutine";

/* ---- running: each type has its am_send, and the rest follows from it ---- */

static PySendResult coroutine_advance(PyObject *object, PyObject *value, PyObject **result)
{
    Empty *self = (Empty *)object;
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

static PySendResult generator_advance(PyObject *object, PyObject *value, PyObject **result)
{
    Empty *self = (Empty *)object;
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

static PyObject *send(PyObject *self, PyObject *argument)
{
    PyObject *value;
    return Py_TYPE(self)->tp_as_async->am_send(self, argument, &value) == PYGEN_RETURN ? stop(value) : NULL;
}

/* As tp_iternext: NULL without an exception is the end, too. */
static PyObject *advance(PyObject *self)
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

static PyObject *generator_throw(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    if (raise_given(args, n))
        SET(((Empty *)self)->finished);
    return NULL;
}

static PyObject *coroutine_throw(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    int finished = GET(((Empty *)self)->finished);
    if (!raise_given(args, n))
        return NULL;
    if (finished) {
        PyErr_Clear();
        PyErr_SetString(PyExc_RuntimeError, REUSED);
    }
    SET(((Empty *)self)->finished);
    return NULL;
}

static PyObject *empty_close(PyObject *self, PyObject *unused)
{
    (void)unused;
    SET(((Empty *)self)->finished);
    Py_RETURN_NONE;
}

/* ---- what they have in common ---- */

static PyObject *empty_name(PyObject *self, void *unused)
{
    (void)unused;
    return Py_NewRef(((Empty *)self)->maker->name);
}

static PyObject *empty_qualname(PyObject *self, void *unused)
{
    (void)unused;
    return Py_NewRef(((Empty *)self)->maker->qualname);
}

static PyObject *empty_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<%s of %U, which is off, at %p>", Py_TYPE(self)->tp_name,
                                ((Empty *)self)->maker->qualname, self);
}

static int empty_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((Empty *)self)->maker);
    return 0;
}

static void empty_dealloc(PyObject *object)
{
    Empty *self = (Empty *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (self->weakrefs)
        PyObject_ClearWeakRefs(object);
    Py_DECREF(self->maker);
    PyObject_GC_Del(object);
    Py_DECREF(type);
}

static PyMemberDef empty_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Empty, weakrefs), READONLY, NULL},
    {0},
};

/* asyncio names tasks and coroutines after these. */
static PyGetSetDef empty_getset[] = {
    {"__name__", empty_name, NULL, NULL, NULL},
    {"__qualname__", empty_qualname, NULL, NULL, NULL},
    {0},
};

#define FASTCALL(function) ((PyCFunction)(void (*)(void))(function))

/* ---- steps of an async generator ---- */

static PyObject *step(PyObject *generator, int operation, PyObject *argument)
{
    Step *made = PyObject_GC_New(Step, ((Empty *)generator)->maker->parts);
    if (!made)
        return NULL;
    made->generator = (Empty *)Py_NewRef(generator);
    made->argument = Py_XNewRef(argument);
    made->operation = operation;
    atomic_init(&made->awaited, 0);
    PyObject_GC_Track(made);
    return (PyObject *)made;
}

static PyObject *async_next(PyObject *self) { return step(self, ASEND, Py_None); }
static PyObject *async_send(PyObject *self, PyObject *value) { return step(self, ASEND, value); }
static PyObject *async_throw(PyObject *self, PyObject *args) { return step(self, ATHROW, args); }

static PyObject *async_close(PyObject *self, PyObject *unused)
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

static PySendResult step_advance(PyObject *object, PyObject *value, PyObject **result)
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

static PyObject *step_throw(PyObject *object, PyObject *const *args, Py_ssize_t n)
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

/* From 3.13 on, to close a step is to throw GeneratorExit into it. Nobody needs what was before. */
static PyObject *step_close(PyObject *object, PyObject *unused)
{
    (void)unused;
    Step *self = (Step *)object;
    if (!GET(self->awaited))
        SET(self->generator->finished);
    SET(self->awaited);
    Py_RETURN_NONE;
}

static int step_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((Step *)self)->generator);
    Py_VISIT(((Step *)self)->argument);
    return 0;
}

static void step_dealloc(PyObject *object)
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

static PyObject *coroutine_await(PyObject *self, PyObject *unused)
{
    (void)unused;
    return step(self, ASEND, NULL);
}

static PySendResult await_advance(PyObject *self, PyObject *value, PyObject **result)
{
    return coroutine_advance((PyObject *)((Step *)self)->generator, value, result);
}

static PyObject *await_throw(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    return coroutine_throw((PyObject *)((Step *)self)->generator, args, n);
}

static PyObject *await_close(PyObject *self, PyObject *unused)
{
    return empty_close((PyObject *)((Step *)self)->generator, unused);
}

/* ---- the types ---- */

static PyMemberDef maker_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Maker, vectorcall), READONLY, NULL},
    {0},
};

static PyMethodDef coroutine_methods[] = {
    {"send", send, METH_O, NULL},
    {"throw", FASTCALL(coroutine_throw), METH_FASTCALL, NULL},
    {"close", empty_close, METH_NOARGS, NULL},
    {"__await__", coroutine_await, METH_NOARGS | METH_COEXIST, NULL},
    {0},
};

static PyMethodDef await_methods[] = {
    {"send", send, METH_O, NULL},
    {"throw", FASTCALL(await_throw), METH_FASTCALL, NULL},
    {"close", await_close, METH_NOARGS, NULL},
    {0},
};

static PyMethodDef generator_methods[] = {
    {"send", send, METH_O, NULL},
    {"throw", FASTCALL(generator_throw), METH_FASTCALL, NULL},
    {"close", empty_close, METH_NOARGS, NULL},
    {0},
};

static PyMethodDef async_generator_methods[] = {
    {"asend", async_send, METH_O, NULL},
    {"athrow", async_throw, METH_VARARGS, NULL},
    {"aclose", async_close, METH_NOARGS, NULL},
    {0},
};

static PyMethodDef step_methods[] = {
    {"send", send, METH_O, NULL},
    {"throw", FASTCALL(step_throw), METH_FASTCALL, NULL},
    {"close", step_close, METH_NOARGS, NULL},
    {0},
};

static PyType_Slot maker_slots[] = {
    {Py_tp_new, maker_new},          {Py_tp_dealloc, maker_dealloc}, {Py_tp_traverse, maker_traverse},
    {Py_tp_call, PyVectorcall_Call}, {Py_tp_members, maker_members}, {0},
};

#define EMPTY_SLOTS                                                                             \
    {Py_tp_dealloc, empty_dealloc}, {Py_tp_traverse, empty_traverse}, {Py_tp_repr, empty_repr}, \
        {Py_tp_members, empty_members},                                                         \
    {                                                                                           \
        Py_tp_getset, empty_getset                                                              \
    }

/*
 * An await runs what am_await gives by its am_send, or from 3.12 on by tp_iternext. The coroutine has them itself,
 * which saves an object. Who calls __await__() gets one: it must have an __iter__, and a coroutine must not, or it
 * would be a generator to collections.abc.
 */
static PyType_Slot coroutine_slots[] = {
    EMPTY_SLOTS,
    {Py_tp_methods, coroutine_methods},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, coroutine_advance},
    {Py_tp_iternext, advance},
    {0},
};

static PyType_Slot await_slots[] = {
    {Py_tp_dealloc, step_dealloc},
    {Py_tp_traverse, step_traverse},
    {Py_tp_methods, await_methods},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_am_send, await_advance},
    {Py_tp_iternext, advance},
    {0},
};

static PyType_Slot generator_slots[] = {
    EMPTY_SLOTS,
    {Py_tp_methods, generator_methods},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_am_send, generator_advance},
    {Py_tp_iternext, advance},
    {0},
};

static PyType_Slot awaitable_generator_slots[] = {
    EMPTY_SLOTS,
    {Py_tp_methods, generator_methods},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, generator_advance},
    {Py_tp_iternext, advance},
    {0},
};

static PyType_Slot async_generator_slots[] = {
    EMPTY_SLOTS, {Py_tp_methods, async_generator_methods}, {Py_am_aiter, PyObject_SelfIter}, {Py_am_anext, async_next},
    {0},
};

static PyType_Slot step_slots[] = {
    {Py_tp_dealloc, step_dealloc},    {Py_tp_traverse, step_traverse},
    {Py_tp_methods, step_methods},    {Py_tp_iter, PyObject_SelfIter},
    {Py_am_await, PyObject_SelfIter}, {Py_am_send, step_advance},
    {Py_tp_iternext, advance},        {0},
};

#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE)
#define MADE (FLAGS | Py_TPFLAGS_DISALLOW_INSTANTIATION)

static PyType_Spec specs[] = {
    {"jumplabel.Maker", sizeof(Maker), 0, FLAGS | Py_TPFLAGS_HAVE_VECTORCALL, maker_slots},
    {"jumplabel.EmptyCoroutine", sizeof(Empty), 0, MADE, coroutine_slots},
    {"jumplabel.EmptyGenerator", sizeof(Empty), 0, MADE, generator_slots},
    {"jumplabel.EmptyAwaitableGenerator", sizeof(Empty), 0, MADE, awaitable_generator_slots},
    {"jumplabel.EmptyAsyncGenerator", sizeof(Empty), 0, MADE, async_generator_slots},
    {"jumplabel.EmptyCoroutineIterator", sizeof(Step), 0, MADE, await_slots},
    {"jumplabel.EmptyAsyncGeneratorStep", sizeof(Step), 0, MADE, step_slots},
};

int empty_types(uintptr_t list) { return function_like_publish(specs, sizeof(specs) / sizeof(specs[0]), list); }
