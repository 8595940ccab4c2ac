#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "code_object.h"
#include "code_sites.h"
#include "code_watch.h"
#include "hold.h"
#include "jit_traces.h"
#include "jump_label.h"
#include "os.h"
#include "publish.h"
#include "traced_frames.h"

#include <stdlib.h>

/* ---- the second step of a store ---- */

static bool compiles;

/* Do not look at the opcode: an instruction may wait for a tracer that has ended its tracing since. */
static bool is_traced(const PyCodeObject *code)
{
#if PY_VERSION_HEX >= 0x030c0000
    return __atomic_load_n(&code->_co_monitoring, __ATOMIC_SEQ_CST); /* made by the first tracing, and kept */
#else
    (void)code;
    return false; /* 3.11 fetches the argument after the tracer has returned */
#endif
}

#ifdef Py_GIL_DISABLED

static bool has_readers(const struct poked_code *poked)
{
    (void)poked;
    return true;
}

static void forget_copy(PyCodeObject *code) { (void)code; }

static PyMutex settling;

/* Every thread has its own copy of the code (co_tlbc), made from the first one. That one has the new argument. */
static void store_in_copies(const struct code_record *record)
{
    Py_BEGIN_CRITICAL_SECTION(record->code);
    char *first = record->code->co_code_adaptive;
    for (Py_ssize_t i = 1; i < record->code->co_tlbc->size; i++) {
        uint8_t *copy = (uint8_t *)record->code->co_tlbc->entries[i];
        for (size_t j = 0; copy && j < record->n; j++) {
            const struct code_site *site = &record->entries[j]->code;
            size_t offset = site->unit - (uint8_t *)first;
            for (size_t at = offset + 1; at <= offset + 1 + (site->twin ? CODE_UNIT : 0); at += CODE_UNIT)
                __atomic_store_n(copy + at, __atomic_load_n(first + at, __ATOMIC_SEQ_CST), __ATOMIC_SEQ_CST);
        }
    }
    Py_END_CRITICAL_SECTION();
}

#else

/* Where the interpreter keeps the bytes object of co_code, which code.replace(), dis and debuggers read. */
static PyObject **copy_of(const PyCodeObject *code)
{
#if PY_VERSION_HEX >= 0x030c0000
    _PyCoCached *cached = __atomic_load_n(&code->_co_cached, __ATOMIC_ACQUIRE);
    return cached ? &cached->_co_code : NULL;
#else
    return (PyObject **)&code->_co_code;
#endif
}

static bool has_readers(const struct poked_code *poked)
{
    const PyCodeObject *code = ((const struct code_record *)poked)->code;
    PyObject **copy = copy_of(code);
    return compiles || is_traced(code) || (copy && __atomic_load_n(copy, __ATOMIC_SEQ_CST));
}

static void forget_copy(PyCodeObject *code)
{
    PyObject **copy = copy_of(code);
    if (copy)
        Py_CLEAR(*copy);
}

#endif

/*
 * The record of the next code object to settle, with a new reference to the code object. NULL: there is none. Leaves
 * out a code object that is being deallocated: free functions of other tools run before code_dies(), and may release
 * the GIL.
 */
static struct code_record *next_unsettled(void)
{
    struct poked_code *poked;
    text_lock();
    while ((poked = code_poke_unsettled()) && !hold(((struct code_record *)poked)->code))
        ;
    text_unlock();
    return (struct code_record *)poked;
}

static const struct code_site *site_at(PyCodeObject *code, int offset)
{
    const struct code_record *record = code_record_of(code);
    PyErr_Clear();
    for (size_t i = 0; record && i < record->n; i++)
        if (record->entries[i]->code.unit == (uint8_t *)code->co_code_adaptive + offset)
            return &record->entries[i]->code;
    return NULL;
}

static void settle(void)
{
    struct code_record *record;
    bool traced = false;
    PyGILState_STATE gil = PyGILState_Ensure();
#ifdef Py_GIL_DISABLED
    PyMutex_Lock(&settling);
#endif
    while ((record = next_unsettled())) {
        traced |= is_traced(record->code);
        forget_copy(record->code);
        if (compiles)
            jit_traces_changed(record->code);
#ifdef Py_GIL_DISABLED
        store_in_copies(record);
#endif
        Py_DECREF(record->code);
    }
    if (compiles)
        jit_traces_changed_all();
    if (traced)
        traced_frames_move(site_at);
#ifdef Py_GIL_DISABLED
    PyMutex_Unlock(&settling);
#endif
    PyGILState_Release(gil);
}

/* ---- setting a function's code ---- */

int function_set_code(PyObject *function, PyObject *code)
{
#if PY_VERSION_HEX >= 0x030d0000
    PyFunctionObject *f = (PyFunctionObject *)function;
    bool as_made = f->func_version == ((PyCodeObject *)f->func_code)->co_version;
#endif
    if (code_watch_set(function, code))
        return -1;
#if PY_VERSION_HEX >= 0x030d0000
    if (as_made)
        f->func_version = ((PyCodeObject *)code)->co_version;
#endif
    return 0;
}

static PyObject *set_code(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *function, *code;
    if (!PyArg_ParseTuple(args, "O!O!", &PyFunction_Type, &function, &PyCode_Type, &code))
        return NULL;
    return function_set_code(function, code) ? NULL : Py_NewRef(Py_None);
}

/* ---- functions for Python ---- */

static PyObject *branches_of(PyObject *self, PyObject *code)
{
    (void)self;
    if (!PyCode_Check(code))
        return PyErr_Format(PyExc_TypeError, "branches_of() of %R", code);
    const struct code_record *record = code_record_of((PyCodeObject *)code);
    PyObject *list = PyErr_Occurred() ? NULL : PyList_New(0);
    for (size_t i = 0; list && record && i < record->n; i++) {
        const struct code_site *site = &record->entries[i]->code;
        Py_ssize_t unit = (site->unit - (uint8_t *)record->code->co_code_adaptive) / CODE_UNIT;
        PyObject *tuple = Py_BuildValue("(KnBBO)", (unsigned long long)(uintptr_t)record->entries[i]->key, unit,
                                        site->target[0], site->target[1], site->twin ? Py_True : Py_False);
        if (!tuple || PyList_Append(list, tuple))
            Py_CLEAR(list);
        Py_XDECREF(tuple);
    }
    return list;
}

struct jump_entry *const *code_object_entries(PyObject *code, size_t *n)
{
    const struct code_record *record = code_record_of((PyCodeObject *)code);
    PyErr_Clear();
    *n = record ? record->n : 0;
    return record ? record->entries : NULL;
}

static PyMethodDef functions[] = {
    {"make_branches", code_sites_make, METH_VARARGS, NULL},
    {"make_branches_of_module", code_sites_make_of_module, METH_VARARGS, NULL},
    {"branches_of", branches_of, METH_O, NULL},
    {"set_code", set_code, METH_VARARGS, NULL},
};

int code_object_start(uintptr_t list, bool jit)
{
    if (publish_functions(functions, sizeof(functions) / sizeof(functions[0]), list))
        return -1;
    PyGILState_STATE gil = PyGILState_Ensure();
    int result = jit_traces_start(jit) ? 0 : 1;
    compiles = jit;
    code_poke_set_interpreter(has_readers, settle);
    PyGILState_Release(gil);
    return result;
}
