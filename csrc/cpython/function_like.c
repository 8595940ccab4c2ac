#include "function_like.h"
#include "off_results.h"

PyObject *function_like_get(PyObject *self, PyObject *instance, PyObject *owner)
{
    (void)owner;
    return instance && instance != Py_None ? PyMethod_New(self, instance) : Py_NewRef(self);
}

/* What is not the object's own (update_wrapper's copies, what users set) is the function's: __code__, __defaults__...
 */
PyObject *function_like_getattro(PyObject *self, PyObject *name)
{
    PyObject *value = PyObject_GenericGetAttr(self, name);
    PyObject *wrapped = ((FunctionLike *)self)->wrapped;
    if (value || !wrapped || !PyErr_ExceptionMatches(PyExc_AttributeError))
        return value;
    PyErr_Clear();
    return PyObject_GetAttr(wrapped, name);
}

/* By name, as a function: pickle looks it up in __module__, copy returns the object itself. */
PyObject *function_like_reduce(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyObject_GetAttrString(self, "__qualname__");
}

int function_like_clear(PyObject *self)
{
    Py_CLEAR(((FunctionLike *)self)->dict);
    return 0;
}

int function_like_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((FunctionLike *)self)->wrapped);
    Py_VISIT(((FunctionLike *)self)->dict);
    return 0;
}

void function_like_dealloc(PyObject *self, destructor dealloc, void (*let_go)(PyObject *))
{
    (void)dealloc; /* from 3.14 on the interpreter itself sees how deep this goes */
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_TRASHCAN_BEGIN(self, dealloc); /* a switch may lead to a switch, and so on */
    if (((FunctionLike *)self)->weakrefs)
        PyObject_ClearWeakRefs(self);
    let_go(self);
    Py_XDECREF(((FunctionLike *)self)->wrapped);
    Py_XDECREF(((FunctionLike *)self)->dict);
    type->tp_free(self);
    Py_DECREF(type);
    Py_TRASHCAN_END;
}

/*
 * A function's own vectorcall never changes, and needs no look at its type. PyObject_Vectorcall has the same signature
 * and takes anything.
 */
struct trampoline_target function_like_target(PyTypeObject *our_type, PyObject *callable)
{
    vectorcallfunc entry = (vectorcallfunc)off_result_maker_entry(callable);
    if (PyFunction_Check(callable) || PyCFunction_CheckExact(callable) || Py_IS_TYPE(callable, our_type))
        entry = PyVectorcall_Function(callable);
    return (struct trampoline_target){(void *)(entry ? entry : PyObject_Vectorcall), callable};
}

static PyObject *return_it(PyObject *object, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    (void)args, (void)nargsf, (void)kwnames;
    return Py_NewRef(object);
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

/* A new reference is returned. How one is made is a matter of the interpreter's version. */
enum trampoline_kind function_like_return(PyObject *object, struct trampoline_target *off)
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
