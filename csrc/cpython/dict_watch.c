#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "dict_watch.h"
#include "jump_label.h"
#include "name_filter.h"
#include "named_sites.h"
#include "publish.h"

#include <dlfcn.h>

static unsigned long long changes;

/* Comparing `changes` and turning keys is one step. Counting a change and turning keys on is one, too. */
#ifdef Py_GIL_DISABLED
static PyMutex one_step;
#define ONE_STEP() PyMutex_Lock(&one_step)
#define DONE() PyMutex_Unlock(&one_step)
#else
#define ONE_STEP() (void)0 /* the GIL, which is held all the while */
#define DONE() (void)0
#endif

/* ---- turning keys ---- */

static PyObject *changes_now(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    ONE_STEP();
    unsigned long long now = changes;
    DONE();
    return PyLong_FromUnsignedLongLong(now);
}

static PyObject *changed(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    ONE_STEP();
    changes++;
    DONE();
    return Py_NewRef(Py_None);
}

static bool add_steps(struct key_step *steps, size_t *n, PyObject *list, enum key_operation operation)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        struct static_key *key = PyLong_AsVoidPtr(PyList_GET_ITEM(list, i));
        if (!key)
            return false;
        steps[(*n)++] = (struct key_step){key, operation};
    }
    return true;
}

static PyObject *turn(PyObject *self, PyObject *args)
{
    (void)self;
    unsigned long long seen, report = 0;
    PyObject *on, *off;
    if (!PyArg_ParseTuple(args, "KO!O!|K", &seen, &PyList_Type, &on, &PyList_Type, &off, &report))
        return NULL;
    size_t n = 0, failed, room = PyList_GET_SIZE(on) + PyList_GET_SIZE(off);
    struct key_step *steps = PyMem_Calloc(room + 1, sizeof(*steps));
    if (!steps)
        return PyErr_NoMemory();
    int result = TURN_STALE;
    bool parsed = add_steps(steps, &n, on, KEY_ENABLE) && add_steps(steps, &n, off, KEY_DISABLE);
    if (parsed) {
        ONE_STEP();
        if (seen == changes)
            result = n ? static_key_apply(steps, n, &failed, (struct key_report *)(uintptr_t)report) : 0;
        DONE();
    } else if (!PyErr_Occurred()) {
        PyErr_SetString(PyExc_ValueError, "turn() of no key");
    }
    PyMem_Free(steps);
    return parsed ? PyLong_FromLong(result) : NULL;
}

static PyMethodDef functions[] = {
    {"changes", changes_now, METH_NOARGS, NULL},
    {"changed", changed, METH_NOARGS, NULL},
    {"turn", turn, METH_VARARGS, NULL},
};

#if PY_VERSION_HEX >= 0x030c0000

/* ---- watching for changes ---- */

static PyObject *names, *to_look_up, *turned, *settle, *away;
static int watcher;
static bool waiting; /* a pending call of settle_now() is due */

/* Include/internal/pycore_ceval.h. Any thread runs such a call; a call of Py_AddPendingCall needs the main thread. */
static int (*add_pending_call)(PyInterpreterState *, int (*call)(void *), void *argument, int flags);

static int settle_now(void *unused)
{
    (void)unused;
    waiting = false;
    PyObject *result = PyObject_CallNoArgs(settle);
    Py_XDECREF(result);
    return result ? 0 : -1; /* a signal handler's exception goes to the running code */
}

/* If the queue of pending calls is full, the keys stay on until a later change queues the call. */
static void settle_soon(void)
{
    if (waiting)
        return;
    waiting = true;
    if (add_pending_call ? add_pending_call(PyInterpreterState_Get(), settle_now, NULL, 0)
                         : Py_AddPendingCall(settle_now, NULL))
        waiting = false;
}

/* A new reference to the value. NULL: there is none. Leaves no error set. */
static PyObject *get(PyObject *dict, PyObject *key)
{
#if PY_VERSION_HEX >= 0x030d0000
    PyObject *found;
    if (PyDict_GetItemRef(dict, key, &found) < 0)
        PyErr_Clear();
    return found;
#else
    PyObject *found = PyDict_GetItemWithError(dict, key);
    PyErr_Clear();
    return Py_XNewRef(found);
#endif
}

/* Record the turn for on_toggle() callbacks. Without memory they miss it. */
static void tell(PyObject *address, const struct key_report *report)
{
    if (!report || !report->n)
        return;
    PyObject *row = Py_BuildValue("OnL", address, (Py_ssize_t)report->changes[0].sites, (long long)report->nanoseconds);
    if (row)
        PyList_Append(turned, row);
    Py_XDECREF(row);
    PyErr_Clear();
}

static void go_on(PyObject *keys)
{
    Py_ssize_t i = 0;
    PyObject *address;
    struct key_step step[1];
    size_t failed;
    static _Alignas(struct key_report) char room[sizeof(struct key_report) + sizeof(struct key_change)];
    struct key_report *report = (struct key_report *)(void *)room;
    while (PyDict_Next(keys, &i, &address, NULL)) {
        step[0] = (struct key_step){PyLong_AsVoidPtr(address), KEY_ENABLE};
        /* settle() finds a failure here, and may raise it. */
        if (!step[0].key->enabled)
            tell(address, static_key_apply(step, 1, &failed, report) ? NULL : report);
        PySet_Add(to_look_up, address);
        PyErr_Clear();
    }
}

/* Without memory, settle leads the sites away. */
static void lead_away(PyObject *codes)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(codes); i++) {
        PyObject *number = PyLong_FromVoidPtr(PyList_GET_ITEM(codes, i));
        if (number)
            PySet_Add(away, number);
        Py_XDECREF(number);
        named_sites_lead_away(PyList_GET_ITEM(codes, i));
    }
    PyErr_Clear();
}

static int on_change(PyDict_WatchEvent event, PyObject *dict, PyObject *name, PyObject *value)
{
    (void)value;
    /* A key of another type counts as any name: it may equal any name, and to look it up may run its code. */
    bool one = event <= PyDict_EVENT_DELETED && name && PyUnicode_CheckExact(name);
    if (one && !name_filter_has(name))
        return 0;
    PyObject *raised = PyErr_GetRaisedException();
    PyObject *number = PyLong_FromVoidPtr(dict);
    PyObject *in_dict = number ? get(names, number) : NULL;
    PyObject *keys = in_dict && one ? get(in_dict, name) : NULL;
    PyObject *codes = named_sites_of(dict, one ? name : NULL, event == PyDict_EVENT_DEALLOCATED);
    Py_ssize_t i = 0;
    if (keys || codes || (in_dict && !one)) {
        ONE_STEP();
        changes++;
        if (keys)
            go_on(keys);
        else if (in_dict && !one)
            for (PyObject *each; PyDict_Next(in_dict, &i, NULL, &each);)
                go_on(each);
        if (codes)
            lead_away(codes);
        DONE();
        settle_soon();
    }
    Py_XDECREF(codes);
    Py_XDECREF(keys);
    Py_XDECREF(in_dict);
    Py_XDECREF(number);
    PyErr_Clear();
    PyErr_SetRaisedException(raised);
    return 0;
}

static PyObject *watch(PyObject *self, PyObject *holder)
{
    (void)self;
    PyObject *dict = holder_dict(holder);
    PyObject *number = !dict || PyDict_Watch(watcher, dict) ? NULL : PyLong_FromVoidPtr(dict);
    Py_XDECREF(dict);
    return number;
}

static PyObject *unwatch(PyObject *self, PyObject *holder)
{
    (void)self;
    PyObject *dict = holder_dict(holder);
    int error = !dict || named_sites_unwatch(dict, watcher);
    Py_XDECREF(dict);
    return error ? NULL : Py_NewRef(Py_None);
}

static PyObject *note(PyObject *self, PyObject *name)
{
    (void)self;
    if (!PyUnicode_CheckExact(name))
        return PyErr_Format(PyExc_TypeError, "note() of %R", name);
    name_filter_add(name);
    return Py_NewRef(Py_None);
}

static PyObject *follow_again(PyObject *self, PyObject *args)
{
    (void)self;
    unsigned long long seen;
    PyObject *list, *code, *sites;
    if (!PyArg_ParseTuple(args, "KO!", &seen, &PyList_Type, &list))
        return NULL;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++)
        if (!PyArg_ParseTuple(PyList_GET_ITEM(list, i), "O!O!", &PyCode_Type, &code, &PyList_Type, &sites))
            return NULL;
    ONE_STEP();
    bool fresh = seen == changes, memory = true;
    for (Py_ssize_t i = 0; fresh && i < PyList_GET_SIZE(list); i++) {
        PyObject *tuple = PyList_GET_ITEM(list, i);
        memory &= !named_sites_lead(PyTuple_GET_ITEM(tuple, 0), PyTuple_GET_ITEM(tuple, 1), true);
    }
    DONE();
    return memory ? PyBool_FromLong(fresh) : PyErr_NoMemory();
}

static PyMethodDef watching[] = {
    {"watch", watch, METH_O, NULL},
    {"unwatch", unwatch, METH_O, NULL},
    {"note", note, METH_O, NULL},
    {"follow_again", follow_again, METH_VARARGS, NULL},
};

static int start_watching(uintptr_t list, uintptr_t names_, uintptr_t to_look_up_, uintptr_t turned_, uintptr_t settle_,
                          uintptr_t away_)
{
    watcher = PyDict_AddWatcher(on_change);
    if (watcher < 0) {
        PyErr_Clear(); /* all eight watchers are taken */
        return 0;
    }
    names = Py_NewRef((PyObject *)names_);
    to_look_up = Py_NewRef((PyObject *)to_look_up_);
    turned = Py_NewRef((PyObject *)turned_);
    settle = Py_NewRef((PyObject *)settle_);
    away = Py_NewRef((PyObject *)away_);
    add_pending_call =
        (int (*)(PyInterpreterState *, int (*)(void *), void *, int))dlsym(RTLD_DEFAULT, "_PyEval_AddPendingCall");
    int result = publish_functions(watching, sizeof(watching) / sizeof(watching[0]), list);
    return result ? result : named_sites_start(list, watcher);
}

#else

static int start_watching(uintptr_t list, uintptr_t names, uintptr_t to_look_up, uintptr_t turned, uintptr_t settle,
                          uintptr_t away)
{
    (void)list, (void)names, (void)to_look_up, (void)turned, (void)settle, (void)away;
    return 0;
}

#endif

int dict_watch_start(uintptr_t list, uintptr_t names_, uintptr_t to_look_up_, uintptr_t turned_, uintptr_t settle_,
                     uintptr_t away_)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    int result = publish_functions(functions, sizeof(functions) / sizeof(functions[0]), list);
    if (!result)
        result = start_watching(list, names_, to_look_up_, turned_, settle_, away_);
    PyGILState_Release(gil);
    return result;
}
