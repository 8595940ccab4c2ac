#include "function_like.h"
#include "publish.h"
#include "unseen.h"

static _Thread_local unsigned unseen_calls; /* of this thread; from 0 again within a call that is seen */

int unseen_is_shown;

PyObject *unseen_call(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    if (unseen_is_shown)
        return PyObject_Vectorcall(callable, args, nargsf, kwnames);
    PyThreadState *thread = PyThreadState_Get();
    unseen_calls++;
    PyThreadState_EnterTracing(thread);
    PyObject *result = PyObject_Vectorcall(callable, args, nargsf, kwnames);
    PyThreadState_LeaveTracing(thread);
    unseen_calls--;
    return result;
}

static PyObject *seen(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    (void)self;
    if (n < 1) {
        PyErr_SetString(PyExc_TypeError, "seen() takes a callable and its arguments");
        return NULL;
    }
    PyThreadState *thread = PyThreadState_Get();
    unsigned before = unseen_calls;
    for (unsigned i = 0; i < before; i++)
        PyThreadState_LeaveTracing(thread);
    unseen_calls = 0;
    PyObject *result = PyObject_Vectorcall(args[0], args + 1, n - 1, NULL);
    unseen_calls = before;
    for (unsigned i = 0; i < before; i++)
        PyThreadState_EnterTracing(thread);
    return result;
}

typedef struct {
    FunctionLike function;
    PyObject *at_end, *without_stack;
} Unseen;

bool unseen_is_ending(void)
{
#if PY_VERSION_HEX >= 0x030d0000
    return Py_IsFinalizing();
#else
    return _Py_IsFinalizing();
#endif
}

static PyObject *call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    PyObject *at_end = ((Unseen *)self)->at_end, *without_stack = ((Unseen *)self)->without_stack;
    if (unseen_is_ending())
        return at_end == Py_None ? Py_NewRef(Py_None) : PyObject_Vectorcall(at_end, args, nargsf, kwnames);
    PyObject *result = unseen_call(((FunctionLike *)self)->wrapped, args, nargsf, kwnames);
    if (result || without_stack == Py_None || !PyErr_ExceptionMatches(PyExc_RecursionError))
        return result;
    PyErr_Clear();
    return PyObject_Vectorcall(without_stack, args, nargsf, kwnames);
}

static PyObject *unseen_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"function", "at_end", "without_stack", NULL};
    PyObject *function, *at_end = Py_None, *without_stack = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OO:Unseen", names, &function, &at_end, &without_stack))
        return NULL;
    Unseen *self = (Unseen *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->function.vectorcall = call;
    self->function.wrapped = Py_NewRef(function);
    self->at_end = Py_NewRef(at_end);
    self->without_stack = Py_NewRef(without_stack);
    return (PyObject *)self;
}

static int unseen_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((Unseen *)self)->at_end);
    Py_VISIT(((Unseen *)self)->without_stack);
    return function_like_traverse(self, visit, arg);
}

static void unseen_let_go(PyObject *self)
{
    Py_XDECREF(((Unseen *)self)->at_end);
    Py_XDECREF(((Unseen *)self)->without_stack);
}

static void unseen_dealloc(PyObject *self) { function_like_dealloc(self, unseen_dealloc, unseen_let_go); }

static PyMemberDef members[] = {
    FUNCTION_LIKE_MEMBERS,
    {"__wrapped__", T_OBJECT_EX, offsetof(FunctionLike, wrapped), READONLY, NULL},
    {NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, unseen_new},
    {Py_tp_dealloc, unseen_dealloc},
    {Py_tp_traverse, unseen_traverse},
    {Py_tp_clear, function_like_clear},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_descr_get, function_like_get},
    {Py_tp_getattro, function_like_getattro},
    {Py_tp_members, members},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "jumplabel.Unseen",
    .basicsize = sizeof(Unseen),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

static PyMethodDef seen_method = {"seen", (PyCFunction)(void (*)(void))seen, METH_FASTCALL, NULL};

int unseen_types(uintptr_t list)
{
    int error = publish_types(&spec, 1, list);
    return error ? error : publish_functions(&seen_method, 1, list);
}
