#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "code_object.h"
#include "compiled.h"
#include "parked.h"

#include <stdlib.h>

#if PY_VERSION_HEX < 0x030c0000 /* the names of PEP 523 */
#define PyUnstable_Eval_RequestCodeExtraIndex _PyEval_RequestCodeExtraIndex
#define PyUnstable_Code_GetExtra _PyCode_GetExtra
#define PyUnstable_Code_SetExtra _PyCode_SetExtra
#endif

struct code_record {
    struct poked_code poked; /* first: a pointer to it is one to the record */
    PyCodeObject *code;      /* borrowed: the record goes first */
    size_t n;
    struct jump_entry *entries[];
};

/* ---- the record on the code object ---- */

/* Called while the code object is deallocated, before its memory goes. */
static void code_dies(void *extra)
{
    struct code_record *record = extra;
    jump_entries_remove(record->entries, record->n, &record->poked);
    free(record);
}

/* Each interpreter numbers its own extras. -1: no memory, or all 255 are taken. */
static Py_ssize_t extra_index(bool make)
{
    static const char NAME[] = "jumplabel.code_extra";
    PyObject *dict = PyInterpreterState_GetDict(PyInterpreterState_Get());
    PyObject *number = dict ? PyDict_GetItemString(dict, NAME) : NULL;
    if (number)
        return PyLong_AsSsize_t(number);
    if (!dict || !make)
        return -1;
    Py_ssize_t index = PyUnstable_Eval_RequestCodeExtraIndex(code_dies);
    number = index < 0 ? NULL : PyLong_FromSsize_t(index);
    if (!number || PyDict_SetItemString(dict, NAME, number))
        index = -1;
    Py_XDECREF(number);
    return index;
}

static bool keep(struct code_record *record)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    Py_ssize_t index = extra_index(true);
    bool kept = index >= 0 && !PyUnstable_Code_SetExtra((PyObject *)record->code, index, record);
    PyErr_Clear(); /* the caller raises */
    PyGILState_Release(gil);
    return kept;
}

int code_object_branches(uintptr_t code, const struct branch *branches, size_t n)
{
    struct code_record *record = calloc(1, sizeof(*record) + n * sizeof(record->entries[0]));
    if (!record)
        return -1;
    record->code = (PyCodeObject *)code;
    for (const struct branch *branch = branches; branch < branches + n; branch++) {
        uint8_t *unit = (uint8_t *)record->code->co_code_adaptive + branch->unit * CODE_UNIT;
        struct code_site site = {
            .unit = unit,
            .opcode = unit[0],
            .target = {branch->target_off, branch->target_on},
            .twin = branch->twin,
            .code = &record->poked,
        };
        struct jump_entry *entry = jump_entry_new_code(branch->key, branch->owner, &site);
        if (!entry)
            break;
        record->entries[record->n++] = entry;
    }
    if (record->n == n && keep(record))
        return 0;
    code_dies(record);
    return -1;
}

/* ---- the second step of a store ---- */

static bool compiles;

#ifdef Py_GIL_DISABLED

static PyMutex settling;

/* Every thread has a copy of the code (co_tlbc), made from the first one, which has the new argument. */
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

static bool hold(PyCodeObject *code) { return PyUnstable_TryIncRef((PyObject *)code); }

#else

/* Who deallocates it has the GIL, waits for the mutex in code_dies(), and so is not there. */
static bool hold(PyCodeObject *code)
{
    Py_INCREF(code);
    return true;
}

#endif

/* The next code object to settle, held; NULL: none. */
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
    Py_ssize_t index = extra_index(false);
    struct code_record *record = NULL;
    if (index >= 0 && !PyUnstable_Code_GetExtra((PyObject *)code, index, (void **)&record) && record)
        for (size_t i = 0; i < record->n; i++)
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
        traced |= record->poked.traced;
        record->poked.traced = false;
        if (compiles)
            compiled_changed(record->code);
#ifdef Py_GIL_DISABLED
        store_in_copies(record);
#endif
        Py_DECREF(record->code);
    }
    if (compiles)
        compiled_changed_all();
    if (traced)
        parked_move(site_at);
#ifdef Py_GIL_DISABLED
    PyMutex_Unlock(&settling);
#endif
    PyGILState_Release(gil);
}

int code_object_start(bool jit)
{
    if (jit && !compiled_start())
        return -1;
    compiles = jit;
    code_poke_set_settle(settle);
#ifndef Py_GIL_DISABLED
    if (jit)
#endif
        code_poke_settle_all();
    return 0;
}

/* ---- the function's version ---- */

#if PY_VERSION_HEX >= 0x030d0000

int function_has_version(uintptr_t function)
{
    PyFunctionObject *f = (PyFunctionObject *)function;
    return f->func_version == ((PyCodeObject *)f->func_code)->co_version;
}

void function_restore_version(uintptr_t function)
{
    PyFunctionObject *f = (PyFunctionObject *)function;
    f->func_version = ((PyCodeObject *)f->func_code)->co_version;
}

#else /* a changed function gets a new version when it is called */

int function_has_version(uintptr_t function)
{
    (void)function;
    return 0;
}

void function_restore_version(uintptr_t function) { (void)function; }

#endif
