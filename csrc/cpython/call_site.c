#include "call_site.h"
#include "function_like.h"
#include "jump_label.h"
#include "publish.h"
#include "trampoline.h"

/*
 * A thread is in the trampoline, or in one that it leads to, while it calls the object, up to where the target takes a
 * reference to itself. It has the GIL all the way. So a thread that has replaced a target, and has the GIL again, may
 * let go of the old one: no thread is on the way to it. (Without a GIL this cannot be known: the old target is kept as
 * long as the object.)
 */
typedef struct {
    FunctionLike function; /* whose vectorcall is the trampoline, or call_plain */
    struct static_call *call;
    const char *kind;
    enum { OFF_RESULT, OFF_CALLABLE, OFF_MAKER } off_is;
    PyObject *off, *keys;
    PyObject **kept; /* what targets of the call lead to. The collector sees it change only with the GIL */
    size_t n_kept, room;
} CallSite;

static const char CALL[] = "call", TRACEPOINT[] = "tracepoint", SNAPSHOT[] = "snapshot";
static const char *const kinds[] = {CALL, TRACEPOINT, SNAPSHOT};
static const char *const off_kinds[] = {[OFF_RESULT] = "result", [OFF_CALLABLE] = "callable", [OFF_MAKER] = "maker"};

/* ---- how targets are called ---- */

/* A target may be the object itself, or lead back to it. Nothing else on the way looks how deep this goes. */
static PyObject *call_deeper(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    if (Py_EnterRecursiveCall(" while calling a target"))
        return NULL;
    PyObject *result = PyObject_Vectorcall(callable, args, nargsf, kwnames);
    Py_LeaveRecursiveCall();
    return result;
}

/* Not a Python function, whose frame holds it: it may be replaced while it runs. */
static PyObject *call_held(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    Py_INCREF(callable);
    PyObject *result = call_deeper(callable, args, nargsf, kwnames);
    Py_DECREF(callable);
    return result;
}

static _Thread_local int within_probes; /* of this thread */

/*
 * What is no Exception (KeyboardInterrupt, SystemExit) is not the probe's, but meant for the program. And where probes
 * lead to probes without end, the last one has no stack left to report it on: the first one does.
 */
static bool call_one(PyObject *probe, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    within_probes++;
    PyObject *result = call_deeper(probe, args, nargsf, kwnames);
    within_probes--;
    if (!result &&
        (!PyErr_ExceptionMatches(PyExc_Exception) || (within_probes && PyErr_ExceptionMatches(PyExc_RecursionError))))
        return false;
    if (!result)
        PyErr_WriteUnraisable(probe);
    Py_XDECREF(result);
    return true;
}

static PyObject *call_probe(PyObject *probe, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    Py_INCREF(probe);
    bool called = call_one(probe, args, nargsf, kwnames);
    Py_DECREF(probe);
    return called ? Py_NewRef(Py_None) : NULL;
}

static PyObject *call_probes(PyObject *probes, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    bool called = true;
    Py_INCREF(probes);
    for (Py_ssize_t i = 0; called && i < PyTuple_GET_SIZE(probes); i++)
        called = call_one(PyTuple_GET_ITEM(probes, i), args, nargsf, kwnames);
    Py_DECREF(probes);
    return called ? Py_NewRef(Py_None) : NULL;
}

static struct trampoline_target target_of(const CallSite *self, PyObject *target)
{
    if (target == Py_None)
        return (struct trampoline_target){0};
    if (self->kind == TRACEPOINT && PyTuple_GET_SIZE(target) == 1)
        return (struct trampoline_target){(void *)call_probe, PyTuple_GET_ITEM(target, 0)};
    if (self->kind == TRACEPOINT)
        return (struct trampoline_target){(void *)call_probes, target};
    if (PyFunction_Check(target))
        return function_like_target(Py_TYPE(self), target);
    return (struct trampoline_target){(void *)call_held, target};
}

/* The other way; a reference. */
static PyObject *object_of(const struct call_target *target)
{
    if (!target)
        return Py_NewRef(Py_None);
    bool one_probe = target->to.entry == (void *)call_probe;
    PyObject *object = Py_NewRef(target->to.argument); /* the collector may run, and change the target */
    PyObject *probes = one_probe ? PyTuple_Pack(1, object) : Py_NewRef(object);
    Py_DECREF(object);
    return probes;
}

static PyObject *make_and_call(CallSite *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    PyObject *state = PyLong_FromUnsignedLongLong(atomic_load(&self->call->state));
    PyThreadState_EnterTracing(PyThreadState_Get()); /* a tracer sees the call, and not how it came about */
    PyObject *made = state ? PyObject_CallFunctionObjArgs(self->off, self, state, NULL) : NULL;
    PyThreadState_LeaveTracing(PyThreadState_Get());
    PyObject *result = made ? PyObject_Vectorcall(made, args, nargsf, kwnames) : NULL;
    Py_XDECREF(state);
    Py_XDECREF(made);
    return result;
}

/* What the trampoline does, for an object that got none; and its off path where that is more than to return. */
static PyObject *call_plain(PyObject *object, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    CallSite *self = (CallSite *)object;
    const struct call_target *target = atomic_load(&self->call->current);
    if (target)
        return ((vectorcallfunc)target->to.entry)(target->to.argument, args, nargsf, kwnames);
    if (self->off_is == OFF_RESULT)
        return Py_NewRef(self->off);
    if (self->off_is == OFF_CALLABLE)
        return PyObject_Vectorcall(self->off, args, nargsf, kwnames);
    return make_and_call(self, args, nargsf, kwnames);
}

/* ---- the object ---- */

static int index_of(const char *name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(name, names[i]))
            return (int)i;
    PyErr_Format(PyExc_ValueError, "CallSite: %s", name);
    return -1;
}

static bool key_addresses(PyObject *tuple, struct static_key **keys)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); i++)
        keys[i] = PyLong_AsVoidPtr(PyTuple_GET_ITEM(tuple, i));
    return !PyErr_Occurred();
}

static PyObject *site_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    const char *kind, *owner, *off_is;
    PyObject *kept_keys, *addresses, *off, *wrapped;
    struct static_key *keys[CALL_KEYS];
    static char *names[] = {"kind", "keys", "key_addresses", "off", "off_is", "owner", "wrapped", NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "sO!O!OssO:CallSite", names, &kind, &PyTuple_Type, &kept_keys,
                                     &PyTuple_Type, &addresses, &off, &off_is, &owner, &wrapped))
        return NULL;
    int kind_index = index_of(kind, kinds, sizeof(kinds) / sizeof(kinds[0]));
    int off_index = index_of(off_is, off_kinds, sizeof(off_kinds) / sizeof(off_kinds[0]));
    size_t n = PyTuple_GET_SIZE(addresses);
    if (kind_index < 0 || off_index < 0 || n > CALL_KEYS || !key_addresses(addresses, keys))
        return NULL;
    struct trampoline_target off_target = {(void *)call_plain, NULL};
    enum trampoline_kind trampoline = TRAMPOLINE_SWITCH;
    if (off_index == OFF_RESULT)
        trampoline = function_like_return(off, &off_target);
    else if (off_index == OFF_CALLABLE)
        off_target = function_like_target(type, off);
    struct static_call *call;
    /* Not with the GIL, and not with the object made already: see callable_new(). */
    Py_BEGIN_ALLOW_THREADS
    call = static_call_new(keys, n, kinds[kind_index], owner, trampoline, off_target);
    Py_END_ALLOW_THREADS
    if (!call)
        return PyErr_NoMemory();
    CallSite *self = (CallSite *)type->tp_alloc(type, 0);
    if (!self) {
        static_call_retire(call);
        return NULL;
    }
    self->call = call;
    self->kind = kinds[kind_index];
    self->off_is = off_index;
    self->off = Py_NewRef(off);
    self->keys = Py_NewRef(kept_keys);
    self->function.wrapped = wrapped == Py_None ? NULL : Py_NewRef(wrapped);
    self->function.vectorcall = call_plain;
    if (call->slot) {
        if (off_index == OFF_MAKER)
            trampoline_set_off_argument(call->slot, self);
        self->function.vectorcall = (vectorcallfunc)(void *)call->slot->exec;
    }
    return (PyObject *)self;
}

static bool keep(CallSite *self, PyObject *object)
{
    if (self->n_kept == self->room) {
        size_t room = self->room + 4;
        PyObject **kept = PyMem_Realloc(self->kept, room * sizeof(*kept)); /* PyMem_Resize() would lose them */
        if (!kept)
            return false;
        self->kept = kept;
        self->room = room;
    }
    self->kept[self->n_kept++] = Py_NewRef(object);
    return true;
}

static void let_go(CallSite *self, PyObject *object)
{
    size_t i = 0;
    while (self->kept[i] != object)
        i++;
    self->kept[i] = self->kept[--self->n_kept];
    Py_DECREF(object);
}

/* A target that the call does not have any more, or did not get; with the GIL. */
static void dispose(CallSite *self, struct call_target *left)
{
#ifdef Py_GIL_DISABLED
    (void)self, (void)left;
#else
    PyObject *object = left->to.argument;
    call_target_retire(left);
    let_go(self, object);
#endif
}

static PyObject *site_lead(PyObject *object, PyObject *args)
{
    CallSite *self = (CallSite *)object;
    unsigned long long state, report = 0;
    PyObject *target, *expected = NULL;
    int follows;
    if (!PyArg_ParseTuple(args, "KOp|OK:__lead__", &state, &target, &follows, &expected, &report))
        return NULL;
    for (int i = 1; self->kind == TRACEPOINT && i < PyTuple_GET_SIZE(args) && i <= 3; i += 2) /* target, expected */
        if (PyTuple_GET_ITEM(args, i) != Py_None && !PyTuple_CheckExact(PyTuple_GET_ITEM(args, i)))
            return PyErr_Format(PyExc_TypeError, "__lead__: a tracepoint leads to a tuple of probes, or None");
    struct call_update update = {
        .state = state,
        .to = target_of(self, target),
        .conditional = expected != NULL,
        .expected = expected ? target_of(self, expected).argument : NULL,
        .follows = follows,
    };
    if (update.to.entry && !keep(self, update.to.argument))
        return PyErr_NoMemory();
    struct call_target *left;
    int error;
    Py_BEGIN_ALLOW_THREADS
    error = static_call_update(self->call, &update, &left, (struct key_report *)(uintptr_t)report);
    Py_END_ALLOW_THREADS
    if (left)
        dispose(self, left);
    else if (error && update.to.entry)
        let_go(self, update.to.argument);
    return PyLong_FromLong(error);
}

static PyObject *site_target(PyObject *object, PyObject *argument)
{
    unsigned long long state = PyLong_AsUnsignedLongLong(argument);
    if (PyErr_Occurred())
        return NULL;
    return object_of(static_call_find(((CallSite *)object)->call, state));
}

static PyObject *site_state(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(atomic_load(&((CallSite *)object)->call->state));
}

static PyObject *site_address(PyObject *object, PyObject *unused)
{
    (void)unused;
    return PyLong_FromVoidPtr(jump_entry_address(((CallSite *)object)->call->entries[0]));
}

static int site_traverse(PyObject *object, visitproc visit, void *arg)
{
    CallSite *self = (CallSite *)object;
    Py_VISIT(self->off);
    Py_VISIT(self->keys);
    for (size_t i = 0; i < self->n_kept; i++)
        Py_VISIT(self->kept[i]);
    return function_like_traverse(object, visit, arg);
}

static void site_let_go(PyObject *object)
{
    CallSite *self = (CallSite *)object;
    static_call_retire(self->call);
    while (self->n_kept)
        Py_DECREF(self->kept[--self->n_kept]);
    PyMem_Free(self->kept);
    Py_XDECREF(self->off);
    Py_XDECREF(self->keys);
}

static void site_dealloc(PyObject *object) { function_like_dealloc(object, site_dealloc, site_let_go); }

/* ---- the types ---- */

static PyMethodDef methods[] = {
    {"__lead__", site_lead, METH_VARARGS, NULL},
    {"__target__", site_target, METH_O, NULL},
    {"__reduce__", function_like_reduce, METH_NOARGS, NULL},
    {"__site__", site_address, METH_NOARGS, "The address of the site."},
    {0},
};

static PyMemberDef members[] = {
    {"__kind__", T_STRING, offsetof(CallSite, kind), READONLY, NULL},
    {"__static_keys__", T_OBJECT, offsetof(CallSite, keys), READONLY, NULL},
    FUNCTION_LIKE_MEMBERS,
    {0},
};

static PyGetSetDef getset[] = {
    {"__state__", site_state, NULL, NULL, NULL},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {0},
};

#define SLOTS                                                                                                          \
    {Py_tp_new, site_new}, {Py_tp_dealloc, site_dealloc}, {Py_tp_traverse, site_traverse},                             \
        {Py_tp_clear, function_like_clear}, {Py_tp_call, PyVectorcall_Call}, {Py_tp_getattro, function_like_getattro}, \
        {Py_tp_methods, methods}, {Py_tp_members, members},                                                            \
    {                                                                                                                  \
        Py_tp_getset, getset                                                                                           \
    }

static PyType_Slot function_slots[] = {SLOTS, {Py_tp_descr_get, function_like_get}, {0}};
static PyType_Slot object_slots[] = {SLOTS, {0}};

#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_VECTORCALL)

static PyType_Spec specs[] = {
    {"jumplabel.CallSite", sizeof(CallSite), 0, FLAGS | Py_TPFLAGS_METHOD_DESCRIPTOR, function_slots},
    {"jumplabel.ObjectSite", sizeof(CallSite), 0, FLAGS, object_slots},
};

int call_site_types(uintptr_t list) { return publish_types(specs, sizeof(specs) / sizeof(specs[0]), list); }

void call_site_seal(uintptr_t address)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    PyTypeObject *type = (PyTypeObject *)address;
    type->tp_flags |= Py_TPFLAGS_IMMUTABLETYPE |
                      (type->tp_base->tp_flags & (Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR));
    PyType_Modified(type);
    PyGILState_Release(gil);
}

void call_site_unraisable(uintptr_t exception, uintptr_t object)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    PyErr_SetObject((PyObject *)Py_TYPE((PyObject *)exception), (PyObject *)exception);
    PyErr_WriteUnraisable((PyObject *)object);
    PyGILState_Release(gil);
}
