#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "code_sites.h"
#include "code_watch.h"
#include "hold.h"
#include "name_paths.h"
#include "name_table.h"

#include <stdio.h>
#include <stdlib.h>

#if PY_VERSION_HEX < 0x030c0000 /* the names of PEP 523 */
#define PyUnstable_Eval_RequestCodeExtraIndex _PyEval_RequestCodeExtraIndex
#define PyUnstable_Code_GetExtra _PyCode_GetExtra
#define PyUnstable_Code_SetExtra _PyCode_SetExtra
#endif

/* ---- the record on the code object ---- */

/* Called while a code object is deallocated, before its memory goes. NULL: only other tools have data on it. */
static void code_dies(void *extra)
{
    struct code_record *record = extra;
    if (!record)
        return;
    name_table_lock();
    name_table_forget_code(record->code);
    name_table_unlock();
    for (size_t i = 0; i < record->n; i++)
        name_path_drop(record->entries[i]->code.path);
    jump_entries_remove(record->entries, record->n, &record->poked);
    free(record);
}

/* The index of our data on code objects. Each interpreter has its own. -1: no memory, or all 255 are taken. */
static Py_ssize_t extra_index(bool make)
{
    static const char NAME[] = "jumplabel.code_extra";
    PyObject *dict = PyInterpreterState_GetDict(PyInterpreterState_Get());
    PyObject *name = dict ? PyUnicode_InternFromString(NAME) : NULL;
    PyObject *number = name ? PyDict_GetItemWithError(dict, name) : NULL;
    Py_ssize_t index = -1;
    if (number) {
        index = PyLong_AsSsize_t(number);
    } else if (name && make && !PyErr_Occurred()) { /* not after an error: it may be there */
        index = PyUnstable_Eval_RequestCodeExtraIndex(code_dies);
        number = index < 0 ? NULL : PyLong_FromSsize_t(index);
        if (!number || PyDict_SetItem(dict, name, number))
            index = -1;
        Py_XDECREF(number);
    }
    Py_XDECREF(name);
    return index;
}

struct code_record *code_record_of(PyCodeObject *code)
{
    Py_ssize_t index = extra_index(false);
    struct code_record *record = NULL;
    return index < 0 || PyUnstable_Code_GetExtra((PyObject *)code, index, (void **)&record) ? NULL : record;
}

static bool has_sites(PyObject *code)
{
    const struct code_record *record = PyCode_Check(code) ? code_record_of((PyCodeObject *)code) : NULL;
    PyErr_Clear();
    return record && record->n;
}

struct branch {
    struct static_key *key;
    const char *owner; /* borrowed */
    struct code_site site;
};

/* A code object that gets branches. */
struct to_do {
    struct code_record *record;
    struct branch *branches;
    size_t n;
    PyObject *name; /* bytes; NULL: the caller holds the strings that `owner` borrows */
    char *owners;   /* the strings that `owner` borrows; NULL as `name` */
};

static bool to_do_init(struct to_do *one, PyObject *code, size_t n)
{
    one->n = n;
    one->branches = calloc(n + 1, sizeof(*one->branches));
    one->record = calloc(1, sizeof(*one->record) + n * sizeof(one->record->entries[0]));
    if (!one->branches || !one->record) {
        PyErr_NoMemory();
        return false;
    }
    one->record->code = (PyCodeObject *)code;
    hold_later(code);
    return true;
}

static void to_do_free(struct to_do *one)
{
    if (one->record && one->branches)
        for (size_t i = one->record->n; i < one->n; i++) /* the entries own the other paths */
            name_path_drop(one->branches[i].site.path);
    code_dies(one->record); /* NULL: the code object has it now */
    free(one->branches);
    free(one->owners);
    Py_XDECREF(one->name);
}

static void set_site(struct code_record *record, struct branch *branch, Py_ssize_t unit, int twin)
{
    branch->site.unit = (uint8_t *)record->code->co_code_adaptive + unit * CODE_UNIT;
    branch->site.twin = twin;
    branch->site.code = &record->poked;
}

/*
 * Make all entries, then put all records on their code objects. A thread that settles and holds the GIL may look at a
 * record as soon as the record has an entry.
 */
static bool enter(struct to_do *all, size_t n_all)
{
    Py_ssize_t index = extra_index(true);
    if (index < 0) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_RuntimeError, "other tools have taken all places for data on code objects");
        return false;
    }
    bool memory = true;
    Py_BEGIN_ALLOW_THREADS
    for (struct to_do *one = all; memory && one < all + n_all; one++) {
        for (size_t i = 0; memory && i < one->n; i++) {
            const struct branch *branch = &one->branches[i];
            one->record->entries[i] = jump_entry_new_code(branch->key, branch->owner, &branch->site);
            memory = one->record->entries[i];
            one->record->n += memory;
        }
    }
    Py_END_ALLOW_THREADS
    if (!memory)
        PyErr_NoMemory();
    for (struct to_do *one = all; memory && one < all + n_all; one++) {
        if (PyUnstable_Code_SetExtra((PyObject *)one->record->code, index, one->record)) {
            if (!PyErr_Occurred())
                PyErr_NoMemory(); /* PyUnstable_Code_SetExtra() sets no error */
            return false;
        }
        one->record = NULL;
    }
    if (memory)
        code_watch_install(has_sites);
    return memory;
}

static bool parse_branch(PyObject *tuple, struct code_record *record, struct branch *branch)
{
    unsigned long long key;
    Py_ssize_t unit;
    uint8_t *target = branch->site.target;
    int twin;
    PyObject *path = Py_None;
    if (!PyArg_ParseTuple(tuple, "Ksnbbp|bO", &key, &branch->owner, &unit, &target[0], &target[1], &twin,
                          &branch->site.ordinary, &path))
        return false;
    if (path != Py_None && !(branch->site.path = name_path_take(path)))
        return false;
    branch->key = (struct static_key *)(uintptr_t)key;
    set_site(record, branch, unit, twin);
    return true;
}

PyObject *code_sites_make(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *code, *list;
    if (!PyArg_ParseTuple(args, "O!O!", &PyCode_Type, &code, &PyList_Type, &list))
        return NULL;
    struct to_do one = {0};
    bool made = to_do_init(&one, code, PyList_GET_SIZE(list));
    for (size_t i = 0; made && i < one.n; i++)
        made = parse_branch(PyList_GET_ITEM(list, i), one.record, &one.branches[i]);
    made = made && enter(&one, 1);
    to_do_free(&one);
    return made ? Py_NewRef(Py_None) : NULL;
}

/* ---- the sites of a module, as compile_marked.py gives them ---- */

#define LINE_DIGITS 12 /* ':', those of an int, and the end */

static bool parse_site(PyObject *tuple, PyObject *keys, struct to_do *one, size_t i)
{
    struct branch *branch = &one->branches[i];
    Py_ssize_t unit;
    uint8_t *target = branch->site.target;
    int twin, line;
    PyObject *mark;
    if (!PyArg_ParseTuple(tuple, "nbbpUi", &unit, &target[0], &target[1], &twin, &mark, &line))
        return false;
    PyObject *address = PyDict_GetItemWithError(keys, mark);
    if (!address) {
        if (!PyErr_Occurred())
            PyErr_SetObject(PyExc_KeyError, mark);
        return false;
    }
    branch->key = (struct static_key *)(uintptr_t)PyLong_AsUnsignedLongLong(address);
    size_t room = PyBytes_GET_SIZE(one->name) + LINE_DIGITS;
    char *owner = one->owners + i * room;
    snprintf(owner, room, "%s:%d", PyBytes_AS_STRING(one->name), line);
    branch->owner = owner;
    set_site(one->record, branch, unit, twin);
    return !PyErr_Occurred();
}

static bool parse_code(PyObject *tuple, PyObject *module, PyObject *keys, struct to_do *one)
{
    PyObject *code, *sites;
    if (!PyArg_ParseTuple(tuple, "O!O!", &PyCode_Type, &code, &PyList_Type, &sites))
        return false;
    if (!to_do_init(one, code, PyList_GET_SIZE(sites)))
        return false;
    PyObject *name = PyUnicode_FromFormat("%U.%U", module, ((PyCodeObject *)code)->co_qualname);
    one->name = name ? PyUnicode_AsEncodedString(name, "utf-8", "backslashreplace") : NULL;
    Py_XDECREF(name);
    if (!one->name)
        return false;
    one->owners = calloc(one->n + 1, PyBytes_GET_SIZE(one->name) + LINE_DIGITS);
    if (!one->owners) {
        PyErr_NoMemory();
        return false;
    }
    bool parsed = true;
    for (size_t i = 0; parsed && i < one->n; i++)
        parsed = parse_site(PyList_GET_ITEM(sites, i), keys, one, i);
    return parsed;
}

PyObject *code_sites_make_of_module(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *module, *keys, *list;
    if (!PyArg_ParseTuple(args, "UO!O!", &module, &PyDict_Type, &keys, &PyList_Type, &list))
        return NULL;
    size_t n = PyList_GET_SIZE(list);
    struct to_do *all = calloc(n + 1, sizeof(*all));
    if (!all)
        return PyErr_NoMemory();
    bool made = true;
    for (size_t i = 0; made && i < n; i++)
        made = parse_code(PyList_GET_ITEM(list, i), module, keys, &all[i]);
    made = made && enter(all, n);
    for (size_t i = 0; i < n; i++)
        to_do_free(&all[i]);
    free(all);
    return made ? Py_NewRef(Py_None) : NULL;
}
