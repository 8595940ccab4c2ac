#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "code_object.h"
#include "dict_watch.h"
#include "jump_label.h"
#include "publish.h"

#include <dlfcn.h>

static unsigned long long changes;

/* To look at `changes` and to turn keys is one step, and so is to count a change and to turn them on. */
#ifdef Py_GIL_DISABLED
static PyMutex one_step;
#define ONE_STEP() PyMutex_Lock(&one_step)
#define DONE() PyMutex_Unlock(&one_step)
#else
#define ONE_STEP() (void)0 /* by the GIL, which is kept */
#define DONE() (void)0
#endif

/* ---- to turn keys ---- */

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

/* ---- to hear of changes ---- */

static PyObject *names, *touched, *turned, *settle, *places, *away;
static int watcher;
static bool waiting; /* for settle */

/* Include/internal/pycore_ceval.h; unlike Py_AddPendingCall, any thread takes the call. */
static int (*add_pending_call)(PyInterpreterState *, int (*call)(void *), void *argument, int flags);

static int settle_now(void *unused)
{
    (void)unused;
    waiting = false;
    PyObject *result = PyObject_CallNoArgs(settle);
    Py_XDECREF(result);
    return result ? 0 : -1; /* what a signal handler raised is for the code that runs */
}

/* Where there is no place for another call the keys stay on, until a call for another reason settles. */
static void settle_soon(void)
{
    if (waiting)
        return;
    waiting = true;
    if (add_pending_call ? add_pending_call(PyInterpreterState_Get(), settle_now, NULL, 0)
                         : Py_AddPendingCall(settle_now, NULL))
        waiting = false;
}

/* A new reference; NULL, and no error: it is not there. */
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

/* Without memory the turn is not told: on_toggle() callbacks miss it. */
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
        /* settle() finds out that this failed, and may raise it. */
        if (!step[0].key->enabled)
            tell(address, static_key_apply(step, 1, &failed, report) ? NULL : report);
        PySet_Add(touched, address);
        PyErr_Clear();
    }
}

/* A new reference; NULL: it is gone. */
static PyObject *referent(PyObject *reference)
{
#if PY_VERSION_HEX >= 0x030d0000
    PyObject *found = NULL;
    if (PyWeakref_GetRef(reference, &found) < 0)
        PyErr_Clear();
    return found;
#else
    PyObject *found = PyWeakref_GetObject(reference);
    return found == Py_None ? NULL : Py_NewRef(found);
#endif
}

/* Those for which there is no memory are led there by settle. */
static void lead_away(PyObject *codes)
{
    Py_ssize_t i = 0;
    PyObject *number, *place;
    while (PyDict_Next(codes, &i, &number, &place)) {
        PyObject *code = referent(PyTuple_GET_ITEM(place, 0));
        if (code)
            code_object_lead(code, PyTuple_GET_ITEM(place, 1), false);
        Py_XDECREF(code);
        PySet_Add(away, number);
        PyErr_Clear();
    }
}

/*
 * Most writes to a watched dict are of other names. A name whose hash has no bit here was never noted. It is a filter
 * of Bloom's with one bit a name: it only grows, and says yes to some others.
 */
#define FILTER_BITS 4096
static uint64_t filter[FILTER_BITS / 64];

static size_t filter_bit(PyObject *name) { return (size_t)PyObject_Hash(name) % FILTER_BITS; }

static bool was_noted(PyObject *name)
{
    size_t bit = filter_bit(name);
    return __atomic_load_n(&filter[bit / 64], __ATOMIC_RELAXED) >> bit % 64 & 1;
}

static int on_change(PyDict_WatchEvent event, PyObject *dict, PyObject *name, PyObject *value)
{
    (void)value;
    if (event <= PyDict_EVENT_DELETED && name && PyUnicode_CheckExact(name) && !was_noted(name))
        return 0;
    PyObject *raised = PyErr_GetRaisedException();
    PyObject *number = PyLong_FromVoidPtr(dict);
    PyObject *in_dict = number ? get(names, number) : NULL;
    PyObject *sites = number ? get(places, number) : NULL;
    Py_ssize_t i = 0;
    PyObject *keys;
    /* To look up a name of another type may run its code; it may equal any. */
    bool one = event <= PyDict_EVENT_DELETED && name && PyUnicode_CheckExact(name);
    if (in_dict && one) {
        keys = get(in_dict, name);
        if (keys) {
            ONE_STEP();
            changes++;
            go_on(keys);
            DONE();
            settle_soon();
            Py_DECREF(keys);
        }
    } else if (in_dict) {
        ONE_STEP();
        changes++;
        while (PyDict_Next(in_dict, &i, NULL, &keys))
            go_on(keys);
        DONE();
        settle_soon();
    }
    i = 0;
    PyObject *codes = sites && one ? get(sites, name) : NULL;
    if (codes || (sites && !one)) {
        ONE_STEP();
        changes++;
        if (codes)
            lead_away(codes);
        else
            while (PyDict_Next(sites, &i, NULL, &codes))
                lead_away(codes);
        DONE();
        settle_soon();
        if (one)
            Py_DECREF(codes);
    }
    /* Do not look into a dict that the garbage collector takes apart: what it holds may be apart already. */
    if (sites && (event == PyDict_EVENT_DEALLOCATED || event == PyDict_EVENT_CLEARED))
        PyDict_DelItem(places, number);
    Py_XDECREF(sites);
    Py_XDECREF(in_dict);
    Py_XDECREF(number);
    PyErr_Clear();
    PyErr_SetRaisedException(raised);
    return 0;
}

static PyObject *dict_of(PyObject *holder)
{
    if (PyDict_Check(holder))
        return Py_NewRef(holder);
    PyObject *dict = PyType_Check(holder) ? PyType_GetDict((PyTypeObject *)holder) : PyModule_GetDict(holder);
    if (!dict && !PyErr_Occurred()) /* the garbage collector has taken it apart */
        PyErr_SetString(PyExc_AttributeError, "it has no dict any more");
    return PyType_Check(holder) ? dict : Py_XNewRef(dict);
}

static PyObject *watch(PyObject *self, PyObject *holder)
{
    (void)self;
    PyObject *dict = dict_of(holder);
    PyObject *number = !dict || PyDict_Watch(watcher, dict) ? NULL : PyLong_FromVoidPtr(dict);
    Py_XDECREF(dict);
    return number;
}

static PyObject *unwatch(PyObject *self, PyObject *holder)
{
    (void)self;
    PyObject *dict = dict_of(holder);
    int error = !dict || PyDict_Unwatch(watcher, dict);
    Py_XDECREF(dict);
    return error ? NULL : Py_NewRef(Py_None);
}

static PyObject *note(PyObject *self, PyObject *name)
{
    (void)self;
    if (!PyUnicode_CheckExact(name))
        return PyErr_Format(PyExc_TypeError, "note() of %R", name);
    size_t bit = filter_bit(name);
    __atomic_fetch_or(&filter[bit / 64], UINT64_C(1) << bit % 64, __ATOMIC_RELAXED);
    return Py_NewRef(Py_None);
}

static PyObject *look(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *number, *name;
    if (!PyArg_ParseTuple(args, "O!U", &PyLong_Type, &number, &name))
        return NULL;
    PyObject *sites = get(places, number);
    if (!sites)
        return Py_NewRef(Py_None);
    Py_DECREF(sites);
    PyObject *found = get(PyLong_AsVoidPtr(number), name); /* it is alive: else it was not in places */
    if (!found)
        return Py_NewRef(Py_None);
    return Py_BuildValue("(N)", found);
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
        memory &= !code_object_lead(PyTuple_GET_ITEM(tuple, 0), PyTuple_GET_ITEM(tuple, 1), true);
    }
    DONE();
    return memory ? PyBool_FromLong(fresh) : PyErr_NoMemory();
}

static PyMethodDef watching[] = {
    {"watch", watch, METH_O, NULL},
    {"unwatch", unwatch, METH_O, NULL},
    {"note", note, METH_O, NULL},
    {"look", look, METH_VARARGS, NULL},
    {"follow_again", follow_again, METH_VARARGS, NULL},
};

static int start_watching(uintptr_t list, uintptr_t names_, uintptr_t touched_, uintptr_t turned_, uintptr_t settle_,
                          uintptr_t places_, uintptr_t away_)
{
    watcher = PyDict_AddWatcher(on_change);
    if (watcher < 0) {
        PyErr_Clear(); /* all eight are taken */
        return 0;
    }
    names = Py_NewRef((PyObject *)names_);
    touched = Py_NewRef((PyObject *)touched_);
    turned = Py_NewRef((PyObject *)turned_);
    settle = Py_NewRef((PyObject *)settle_);
    places = Py_NewRef((PyObject *)places_);
    away = Py_NewRef((PyObject *)away_);
    add_pending_call =
        (int (*)(PyInterpreterState *, int (*)(void *), void *, int))dlsym(RTLD_DEFAULT, "_PyEval_AddPendingCall");
    return publish_functions(watching, sizeof(watching) / sizeof(watching[0]), list);
}

#else

static int start_watching(uintptr_t list, uintptr_t names, uintptr_t touched, uintptr_t turned, uintptr_t settle,
                          uintptr_t places, uintptr_t away)
{
    (void)list, (void)names, (void)touched, (void)turned, (void)settle, (void)places, (void)away;
    return 0;
}

#endif

int dict_watch_start(uintptr_t list, uintptr_t names_, uintptr_t touched_, uintptr_t turned_, uintptr_t settle_,
                     uintptr_t places_, uintptr_t away_)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    int result = publish_functions(functions, sizeof(functions) / sizeof(functions[0]), list);
    if (!result)
        result = start_watching(list, names_, touched_, turned_, settle_, places_, away_);
    PyGILState_Release(gil);
    return result;
}
