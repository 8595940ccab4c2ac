#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "code_object.h"
#include "hold.h"
#include "jump_label.h"
#include "name_paths.h"
#include "name_table.h"
#include "named_sites.h"
#include "publish.h"

#include <stdlib.h>

#if PY_VERSION_HEX >= 0x030c0000

static int watcher;
static PyObject *builtins; /* the dict of the module builtins, which lives as long as the interpreter */

/* ---- leading sites away, and back ---- */

struct led {
    struct jump_entry **entries;
    int *arguments; /* -1: the site follows its key */
    size_t n;
};

static bool has_room(struct led *led, size_t n)
{
    *led = (struct led){calloc(n + 1, sizeof(*led->entries)), calloc(n + 1, sizeof(*led->arguments)), 0};
    return led->entries && led->arguments;
}

static int done(struct led *led, bool memory)
{
    if (memory && led->n)
        jump_entries_lead(led->entries, led->arguments, led->n);
    free(led->entries);
    free(led->arguments);
    return memory ? 0 : -1;
}

static void add(struct led *led, struct jump_entry *entry, int argument)
{
    led->entries[led->n] = entry;
    led->arguments[led->n++] = argument;
}

int named_sites_lead_away(PyObject *code)
{
    size_t n;
    struct jump_entry *const *entries = code_object_entries(code, &n);
    struct led led;
    bool memory = has_room(&led, n);
    for (size_t i = 0; memory && i < n; i++)
        if (entries[i]->code.ordinary)
            add(&led, entries[i], entries[i]->code.ordinary);
    return done(&led, memory);
}

static Py_ssize_t unit_of(PyObject *code, const struct jump_entry *entry)
{
    return (entry->code.unit - (uint8_t *)((PyCodeObject *)code)->co_code_adaptive) / CODE_UNIT;
}

/* The caller has checked the list: its tuples are (unit, argument), small ints. */
int named_sites_lead(PyObject *code, PyObject *list, bool back)
{
    size_t n, room = PyList_GET_SIZE(list);
    struct jump_entry *const *entries = code_object_entries(code, &n);
    struct led led;
    bool memory = has_room(&led, room);
    for (size_t i = 0; memory && i < room; i++) {
        PyObject *tuple = PyList_GET_ITEM(list, i);
        Py_ssize_t unit = PyLong_AsSsize_t(PyTuple_GET_ITEM(tuple, 0));
        size_t at = 0;
        while (at < n && unit_of(code, entries[at]) != unit)
            at++;
        if (at < n)
            add(&led, entries[at], back ? -1 : (int)PyLong_AsLong(PyTuple_GET_ITEM(tuple, 1)));
    }
    return done(&led, memory);
}

static PyObject *lead_branches(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *code, *list;
    if (!PyArg_ParseTuple(args, "O!O!", &PyCode_Type, &code, &PyList_Type, &list))
        return NULL;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        Py_ssize_t unit;
        unsigned char argument;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(list, i), "nb", &unit, &argument))
            return NULL;
    }
    return named_sites_lead(code, list, false) ? PyErr_NoMemory() : Py_NewRef(Py_None);
}

/* ---- code objects that test names ---- */

static bool any_asks(PyObject *code, PyObject *name)
{
    size_t n;
    struct jump_entry *const *entries = code_object_entries(code, &n);
    for (size_t i = 0; i < n; i++)
        if (entries[i]->code.path && name_path_asks(entries[i]->code.path, name))
            return true;
    return false;
}

/* Takes the reference. Makes the list at the first append, because most changes concern no code object. An error stays
 * set. */
static void append(PyObject **list, PyObject *object)
{
    if (!*list)
        *list = PyList_New(0);
    if (*list)
        PyList_Append(*list, object);
    Py_DECREF(object);
}

PyObject *named_sites_of(PyObject *dict, PyObject *name, bool is_gone)
{
    PyObject *all = NULL, *asking = NULL;
    struct name_user *user = NULL;
    name_table_lock();
    while ((user = name_table_next_of_dict(dict, user)))
        if (hold(user->code))
            append(&all, user->code);
    if (is_gone)
        name_table_forget_dict(dict);
    name_table_unlock();
    for (Py_ssize_t i = 0; all && i < PyList_GET_SIZE(all); i++)
        if (any_asks(PyList_GET_ITEM(all, i), name))
            append(&asking, Py_NewRef(PyList_GET_ITEM(all, i)));
    Py_XDECREF(all);
    PyErr_Clear();
    return asking;
}

/* Watch the dict for the code. Returns 1 if the table had this already, else 0; -1 with an error set. */
static int watch_for(PyObject *code, PyObject *dict, PyObject *its_builtins)
{
    hold_later(code);
    hold_later(dict);
    if (its_builtins)
        hold_later(its_builtins);
    name_table_lock();
    int known = PyDict_Watch(watcher, dict) ? -1 : name_table_add(dict, its_builtins, code);
    name_table_unlock();
    if (known < 0 && !PyErr_Occurred())
        PyErr_NoMemory();
    return known;
}

int named_sites_unwatch(PyObject *dict, int its_watcher)
{
    name_table_lock();
    int error = name_table_next_of_dict(dict, NULL) ? 0 : PyDict_Unwatch(its_watcher, dict);
    name_table_unlock();
    return error;
}

PyObject *holder_dict(PyObject *holder)
{
    if (PyDict_Check(holder))
        return Py_NewRef(holder);
    PyObject *dict = PyType_Check(holder) ? PyType_GetDict((PyTypeObject *)holder) : PyModule_GetDict(holder);
    if (!dict && !PyErr_Occurred()) /* the garbage collector has cleared the module */
        PyErr_SetString(PyExc_AttributeError, "it has no dict any more");
    return PyType_Check(holder) ? dict : Py_XNewRef(dict);
}

/* ---- following names ---- */

/* A new reference to the name's value. NULL: there is none, or an error is set. Names are exact strings, so no Python
 * code runs. */
static PyObject *get(PyObject *dict, PyObject *name)
{
#if PY_VERSION_HEX >= 0x030d0000
    PyObject *found;
    return PyDict_GetItemRef(dict, name, &found) < 0 ? NULL : found;
#else
    return Py_XNewRef(PyDict_GetItemWithError(dict, name));
#endif
}

/* The same from a holder's dict, which is watched from now on. */
static PyObject *get_from(PyObject *holder, PyObject *name, PyObject *code)
{
    PyObject *dict = holder_dict(holder);
    bool can_change = !PyType_Check(holder) || !PyType_HasFeature((PyTypeObject *)holder, Py_TPFLAGS_IMMUTABLETYPE);
    PyObject *found = dict && (!can_change || watch_for(code, dict, NULL) >= 0) ? get(dict, name) : NULL;
    Py_XDECREF(dict);
    return found;
}

/* An attribute of an ordinary module or class. NULL for any other holder: jumplabel/_program/looks.py finds those. */
static PyObject *get_attribute(PyObject *holder, PyObject *name, PyObject *code)
{
    if (PyModule_CheckExact(holder))
        return get_from(holder, name, code);
    PyObject *mro = Py_IS_TYPE(holder, &PyType_Type) ? PyObject_GetAttrString(holder, "__mro__") : NULL;
    PyObject *found = NULL;
    for (Py_ssize_t i = 0; mro && PyTuple_Check(mro) && i < PyTuple_GET_SIZE(mro) && !found && !PyErr_Occurred(); i++)
        found = get_from(PyTuple_GET_ITEM(mro, i), name, code);
    Py_XDECREF(mro);
    return found;
}

/* Whether the path leads to the object that was found there. If false, it may still do so in a way not known here. */
static bool leads_there(PyObject *path, PyObject *code, PyObject *globals, PyObject *found)
{
    PyObject *there = get(found, path);
    PyObject *now = there ? get(globals, PyTuple_GET_ITEM(path, 1)) : NULL;
    for (Py_ssize_t i = 2; now && i < PyTuple_GET_SIZE(path); i++)
        Py_SETREF(now, get_attribute(now, PyTuple_GET_ITEM(path, i), code));
    bool same = now && now == there;
    Py_XDECREF(now);
    Py_XDECREF(there);
    return same;
}

static PyObject *follow(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *code, *globals, *its_builtins, *found;
    if (!PyArg_ParseTuple(args, "O!O!O!O!", &PyCode_Type, &code, &PyDict_Type, &globals, &PyDict_Type, &its_builtins,
                          &PyDict_Type, &found))
        return NULL;
    if (its_builtins != builtins && watch_for(code, its_builtins, NULL) < 0)
        return NULL;
    int known = watch_for(code, globals, its_builtins);
    if (known)
        return known < 0 ? NULL : PyTuple_New(0);
    PyObject *others = NULL;
    size_t n;
    struct jump_entry *const *entries = code_object_entries(code, &n);
    uint32_t last = 0;
    for (size_t i = 0; i < n && !PyErr_Occurred(); i++) {
        uint32_t number = entries[i]->code.path;
        if (!number || number == last)
            continue;
        PyObject *path = name_path(last = number);
        if (leads_there(path, code, globals, found))
            Py_DECREF(path);
        else
            append(&others, path);
    }
    if (PyErr_Occurred())
        Py_CLEAR(others);
    return others || PyErr_Occurred() ? others : PyTuple_New(0);
}

static PyObject *follow_also(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *code, *holder;
    if (!PyArg_ParseTuple(args, "O!O", &PyCode_Type, &code, &holder))
        return NULL;
    PyObject *dict = holder_dict(holder);
    int known = dict ? watch_for(code, dict, NULL) : -1;
    Py_XDECREF(dict);
    return known < 0 ? NULL : Py_NewRef(Py_None);
}

/* ---- looking sites up ---- */

/* NULL with an error set: no memory. */
static PyObject *sites_of(PyObject *code)
{
    PyObject *list = PyList_New(0);
    size_t n;
    struct jump_entry *const *entries = code_object_entries(code, &n);
    for (size_t i = 0; list && i < n; i++) {
        const struct code_site *site = &entries[i]->code;
        if (!site->path)
            continue;
        PyObject *tuple =
            Py_BuildValue("(NKnBBB)", name_path(site->path), (unsigned long long)(uintptr_t)entries[i]->key,
                          unit_of(code, entries[i]), site->ordinary, site->target[0], site->target[1]);
        if (!tuple || PyList_Append(list, tuple))
            Py_CLEAR(list);
        Py_XDECREF(tuple);
    }
    return list;
}

static PyObject *followed(PyObject *self, PyObject *number)
{
    (void)self;
    void *address = PyLong_AsVoidPtr(number);
    if (PyErr_Occurred())
        return NULL;
    PyObject *code = NULL, *roots = NULL;
    struct name_user *user = NULL;
    name_table_lock();
    while ((user = name_table_next_of_code(address, user))) {
        if (!code && !hold(user->code))
            break;
        code = address;
        if (user->builtins && hold(user->dict)) {
            append(&roots, user->dict);
            append(&roots, hold(user->builtins) ? user->builtins : Py_NewRef(user->dict));
        }
    }
    name_table_unlock();
    if (!code)
        return Py_NewRef(Py_None);
    if (!roots && !PyErr_Occurred())
        roots = PyList_New(0);
    PyObject *sites = PyErr_Occurred() ? NULL : sites_of(code);
    PyObject *result = sites ? PyTuple_Pack(3, code, roots, sites) : NULL;
    Py_XDECREF(sites);
    Py_XDECREF(roots);
    Py_DECREF(code);
    return result;
}

static PyObject *followers(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    name_table_lock();
    size_t n = name_table_count();
    name_table_unlock();
    size_t paths, most;
    name_paths_count(&paths, &most);
    return Py_BuildValue("(nnn)", (Py_ssize_t)n, (Py_ssize_t)paths, (Py_ssize_t)most);
}

static PyMethodDef functions[] = {
    {"follow", follow, METH_VARARGS, NULL},      {"follow_also", follow_also, METH_VARARGS, NULL},
    {"followed", followed, METH_O, NULL},        {"lead_branches", lead_branches, METH_VARARGS, NULL},
    {"followers", followers, METH_NOARGS, NULL},
};

int named_sites_start(uintptr_t list, int its_watcher)
{
    PyObject *module = PyImport_ImportModule("builtins");
    if (!module)
        return -1;
    watcher = its_watcher;
    builtins = Py_XNewRef(PyModule_GetDict(module));
    Py_DECREF(module);
    return publish_functions(functions, sizeof(functions) / sizeof(functions[0]), list);
}

#endif
