#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include "callable.h"
#include "empty.h"
#include "jump_label.h"

/*
 * Who may be in the trampoline: a thread that calls the object, and so holds a reference to it until the call returns.
 * When the object is deallocated nobody is, and nobody can enter any more; that is what jump_entry_retire() asks for.
 */
typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall; /* the trampoline, or plain_branch */
    struct jump_entry *entry;
    const char *kind;   /* GATE or SWITCH */
    PyObject *off, *on; /* the trampoline borrows them: set once, and kept until the end */
    PyObject *key;
    PyObject *dict, *weakrefs;
    char calls_off; /* or else returns it */
} StaticCallable;

static const char GATE[] = "gate", SWITCH[] = "switch";

static PyObject *return_it(PyObject *object, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    (void)args, (void)nargsf, (void)kwnames;
    return Py_NewRef(object);
}

/* What the trampoline does, for an object that got none. */
static PyObject *plain_branch(PyObject *object, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    StaticCallable *self = (StaticCallable *)object;
    if (atomic_load_explicit(&self->entry->enabled, memory_order_acquire))
        return PyObject_Vectorcall(self->on, args, nargsf, kwnames);
    if (self->calls_off)
        return PyObject_Vectorcall(self->off, args, nargsf, kwnames);
    return Py_NewRef(self->off);
}

/* ---- choosing the trampoline ---- */

/*
 * A function's own vectorcall never changes, and needs no look at its type. PyObject_Vectorcall has the same signature
 * and takes anything.
 */
static struct trampoline_target target(PyTypeObject *our_type, PyObject *callable)
{
    vectorcallfunc entry = (vectorcallfunc)empty_maker_entry(callable);
    if (PyFunction_Check(callable) || PyCFunction_CheckExact(callable) || Py_IS_TYPE(callable, our_type))
        entry = PyVectorcall_Function(callable);
    return (struct trampoline_target){(void *)(entry ? entry : PyObject_Vectorcall), callable};
}

static int is_immortal(PyObject *object)
{
#if PY_VERSION_HEX >= 0x030c0000
    return _Py_IsImmortal(object);
#else
    (void)object;
    return 0;
#endif
}

/* A gate's default is returned as a new reference. How one is made is a matter of the interpreter's version. */
static enum trampoline_kind return_kind(PyObject *object, struct trampoline_target *off)
{
    *off = (struct trampoline_target){(void *)return_it, object};
    if (is_immortal(object))
        return TRAMPOLINE_CONSTANT;
#if defined(Py_GIL_DISABLED) || defined(Py_TRACE_REFS)
    return TRAMPOLINE_SWITCH; /* the count is split between threads, or not at the start: leave it to return_it */
#elif PY_VERSION_HEX >= 0x030c0000
    return TRAMPOLINE_COUNTED32; /* PEP 683: a negative low half is immortal, and an object may become so later */
#else
    return TRAMPOLINE_COUNTED64;
#endif
}

static PyObject *callable_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    const char *kind, *owner;
    PyObject *key, *off, *on;
    unsigned long long key_address;
    int calls_off = 0;
    static char *names[] = {"kind", "key", "key_address", "off", "on", "owner", "calls_off", NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "sOKOOs|p:StaticCallable", names, &kind, &key, &key_address, &off,
                                     &on, &owner, &calls_off))
        return NULL;
    int is_gate = !strcmp(kind, GATE);
    calls_off |= !is_gate;
    struct trampoline_target off_target = target(type, off), on_target = target(type, on);
    enum trampoline_kind trampoline = calls_off ? TRAMPOLINE_SWITCH : return_kind(off, &off_target);
    struct jump_entry *entry;
    /*
     * This waits for the lock, and then for every core: not with the GIL. And not with the object made already: the
     * collector knows it from then on, and other threads find it there (gc.get_objects()).
     */
    Py_BEGIN_ALLOW_THREADS
    entry = jump_entry_new((struct static_key *)(uintptr_t)key_address, is_gate ? GATE : SWITCH, owner, trampoline,
                           off_target, on_target);
    Py_END_ALLOW_THREADS
    if (!entry)
        return PyErr_NoMemory();
    StaticCallable *self = (StaticCallable *)type->tp_alloc(type, 0);
    if (!self) {
        jump_entry_retire(entry);
        return NULL;
    }
    self->entry = entry;
    self->kind = entry->kind;
    self->calls_off = (char)calls_off;
    self->key = Py_NewRef(key);
    self->off = Py_NewRef(off);
    self->on = Py_NewRef(on);
    self->vectorcall = entry->slot ? (vectorcallfunc)(void *)entry->slot->exec : plain_branch;
    return (PyObject *)self;
}

/* ---- a function to everybody else ---- */

static PyObject *wrapped(StaticCallable *self) { return self->kind == GATE ? self->on : self->off; }

static PyObject *callable_get(PyObject *self, PyObject *instance, PyObject *owner)
{
    (void)owner;
    return instance && instance != Py_None ? PyMethod_New(self, instance) : Py_NewRef(self);
}

/* What is not the object's own (update_wrapper's copies, what users set) is the function's: __code__, __defaults__...
 */
static PyObject *callable_getattro(PyObject *self, PyObject *name)
{
    PyObject *value = PyObject_GenericGetAttr(self, name);
    if (value || !PyErr_ExceptionMatches(PyExc_AttributeError))
        return value;
    PyErr_Clear();
    return PyObject_GetAttr(wrapped((StaticCallable *)self), name);
}

static PyObject *callable_repr(PyObject *object)
{
    StaticCallable *self = (StaticCallable *)object;
    return PyUnicode_FromFormat("<static_%s %s of %R at %p>", self->kind, self->entry->owner, self->key, object);
}

/* By name, as a function: pickle looks it up in __module__, copy returns the object itself. */
static PyObject *callable_reduce(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyObject_GetAttrString(self, "__qualname__");
}

static PyObject *callable_site(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyLong_FromVoidPtr(jump_entry_address(((StaticCallable *)self)->entry));
}

static int callable_traverse(PyObject *object, visitproc visit, void *arg)
{
    StaticCallable *self = (StaticCallable *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->off);
    Py_VISIT(self->on);
    Py_VISIT(self->key);
    Py_VISIT(self->dict);
    return 0;
}

/*
 * The targets stay: whoever holds the object may still call it. A cycle through them runs through a function or a
 * container, which breaks it, as for a tuple.
 */
static int callable_clear(PyObject *object)
{
    Py_CLEAR(((StaticCallable *)object)->dict);
    return 0;
}

static void callable_dealloc(PyObject *object)
{
    StaticCallable *self = (StaticCallable *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    Py_TRASHCAN_BEGIN(object, callable_dealloc); /* a switch may lead to a switch, and so on */
    if (self->weakrefs)
        PyObject_ClearWeakRefs(object);
    jump_entry_retire(self->entry);
    Py_XDECREF(self->off);
    Py_XDECREF(self->on);
    Py_XDECREF(self->key);
    Py_XDECREF(self->dict);
    type->tp_free(object);
    Py_DECREF(type);
    Py_TRASHCAN_END;
}

static PyMethodDef methods[] = {
    {"__reduce__", callable_reduce, METH_NOARGS, NULL},
    {"__site__", callable_site, METH_NOARGS, "The address of the site."},
    {0},
};

static PyMemberDef members[] = {
    {"__kind__", T_STRING, offsetof(StaticCallable, kind), READONLY, "gate or switch"},
    {"__calls_off__", T_BOOL, offsetof(StaticCallable, calls_off), READONLY, "Whether it calls what it has for off."},
    {"__static_key__", T_OBJECT, offsetof(StaticCallable, key), READONLY, "The key that decides."},
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(StaticCallable, vectorcall), READONLY, NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(StaticCallable, dict), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(StaticCallable, weakrefs), READONLY, NULL},
    {0},
};

static PyGetSetDef getset[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_new, callable_new},
    {Py_tp_dealloc, callable_dealloc},
    {Py_tp_traverse, callable_traverse},
    {Py_tp_clear, callable_clear},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_descr_get, callable_get},
    {Py_tp_getattro, callable_getattro},
    {Py_tp_repr, callable_repr},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, getset},
    {0},
};

/* Py_TPFLAGS_METHOD_DESCRIPTOR: obj.f(x) calls f(obj, x) without making a bound method, as it does for a function. */
static PyType_Spec spec = {
    .name = "jumplabel.StaticCallable",
    .basicsize = sizeof(StaticCallable),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int callable_type(uintptr_t list)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *type = PyType_FromSpec(&spec);
    int result = type ? PyList_Append((PyObject *)list, type) : -1;
    Py_XDECREF(type);
    if (result)
        PyErr_Clear();
    PyGILState_Release(gil);
    return result;
}
