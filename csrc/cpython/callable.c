#include "callable.h"
#include "function_like.h"
#include "jump_label.h"
#include "publish.h"

/*
 * A thread is in the trampoline while it calls the object, and holds a reference to it until the call returns. So when
 * the object is deallocated no thread is in the trampoline or can still enter it, as jump_entry_retire() demands.
 */
typedef struct {
    FunctionLike function; /* whose vectorcall is the trampoline, or plain_branch */
    struct jump_entry *entry;
    const char *kind;   /* GATE or SWITCH */
    PyObject *off, *on; /* the trampoline borrows them: set once, and kept until the end */
    PyObject *key;
    char calls_off; /* or else returns it */
} StaticCallable;

static const char GATE[] = "gate", SWITCH[] = "switch";

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
    struct trampoline_target off_target = function_like_target(type, off);
    struct trampoline_target on_target = function_like_target(type, on);
    enum trampoline_kind trampoline = calls_off ? TRAMPOLINE_SWITCH : function_like_return(off, &off_target);
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
    self->function.wrapped = Py_NewRef(is_gate ? on : off);
    self->function.vectorcall = entry->slot ? (vectorcallfunc)(void *)entry->slot->exec : plain_branch;
    return (PyObject *)self;
}

/* ---- what makes it a function to all other code ---- */

static PyObject *callable_repr(PyObject *object)
{
    StaticCallable *self = (StaticCallable *)object;
    return PyUnicode_FromFormat("<static_%s %s of %R at %p>", self->kind, self->entry->owner, self->key, object);
}

static PyObject *callable_site(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyLong_FromVoidPtr(jump_entry_address(((StaticCallable *)self)->entry));
}

static int callable_traverse(PyObject *object, visitproc visit, void *arg)
{
    StaticCallable *self = (StaticCallable *)object;
    Py_VISIT(self->off);
    Py_VISIT(self->on);
    Py_VISIT(self->key);
    return function_like_traverse(object, visit, arg);
}

static void callable_let_go(PyObject *object)
{
    StaticCallable *self = (StaticCallable *)object;
    jump_entry_retire(self->entry);
    Py_XDECREF(self->off);
    Py_XDECREF(self->on);
    Py_XDECREF(self->key);
}

static void callable_dealloc(PyObject *object) { function_like_dealloc(object, callable_dealloc, callable_let_go); }

static PyMethodDef methods[] = {
    {"__reduce__", function_like_reduce, METH_NOARGS, NULL},
    {"__site__", callable_site, METH_NOARGS, "The address of the site."},
    {0},
};

static PyMemberDef members[] = {
    {"__kind__", T_STRING, offsetof(StaticCallable, kind), READONLY, "gate or switch"},
    {"__calls_off__", T_BOOL, offsetof(StaticCallable, calls_off), READONLY, "Whether it calls what it has for off."},
    {"__static_key__", T_OBJECT, offsetof(StaticCallable, key), READONLY, "The key that decides."},
    FUNCTION_LIKE_MEMBERS,
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
    {Py_tp_clear, function_like_clear},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_descr_get, function_like_get},
    {Py_tp_getattro, function_like_getattro},
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

int callable_type(uintptr_t list) { return publish_types(&spec, 1, list); }
