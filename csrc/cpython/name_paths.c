#define PY_SSIZE_T_CLEAN
#include "name_paths.h"

#include "array_room.h"
#include "name_filter.h"

#ifdef Py_GIL_DISABLED
static PyMutex lock; /* an innermost lock: its holder takes no other lock */
#define LOCK() PyMutex_Lock(&lock)
#define UNLOCK() PyMutex_Unlock(&lock)
#else
#define LOCK() (void)0
#define UNLOCK() (void)0
#endif

struct path {
    PyObject *tuple; /* borrowed from `numbers` */
    uint32_t sites;
    uint32_t next_free;
};

static struct path *paths; /* by number; the first number is 1 */
static size_t room;
static uint32_t last, first_free; /* 0: none */
static PyObject *numbers;         /* {path: number} */

static bool is_path(PyObject *tuple)
{
    bool is = PyTuple_CheckExact(tuple) && PyTuple_GET_SIZE(tuple) >= 2;
    for (Py_ssize_t i = 0; is && i < PyTuple_GET_SIZE(tuple); i++)
        is = PyUnicode_CheckExact(PyTuple_GET_ITEM(tuple, i));
    return is;
}

/* 0 with an error set: no memory. */
static uint32_t enter(PyObject *tuple)
{
    uint32_t number = first_free ? first_free : last + 1;
    struct path *moved = array_room(paths, number, &room, sizeof(*paths));
    if (moved)
        paths = moved;
    PyObject *object = moved ? PyLong_FromUnsignedLong(number) : PyErr_NoMemory();
    bool entered = object && !PyDict_SetItem(numbers, tuple, object);
    Py_XDECREF(object);
    if (!entered)
        return 0;
    if (first_free)
        first_free = paths[number].next_free;
    else
        last = number;
    paths[number] = (struct path){tuple, 0, 0};
    for (Py_ssize_t i = 1; i < PyTuple_GET_SIZE(tuple); i++)
        name_filter_add(PyTuple_GET_ITEM(tuple, i));
    return number;
}

uint32_t name_path_take(PyObject *path)
{
    if (!is_path(path)) {
        PyErr_Format(PyExc_TypeError, "a site's path is a tuple of strings, not %R", path);
        return 0;
    }
    uint32_t number = 0;
    LOCK();
    if (!numbers)
        numbers = PyDict_New();
    PyObject *known = numbers ? PyDict_GetItemWithError(numbers, path) : NULL;
    if (known)
        number = (uint32_t)PyLong_AsUnsignedLong(known);
    else if (!PyErr_Occurred())
        number = enter(path);
    if (number)
        paths[number].sites++;
    UNLOCK();
    return number;
}

void name_path_drop(uint32_t number)
{
    if (!number)
        return;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    LOCK();
    if (!--paths[number].sites) {
        if (PyDict_DelItem(numbers, paths[number].tuple)) { /* no memory: keep the path for other sites */
            PyErr_Clear();
        } else {
            paths[number] = (struct path){NULL, 0, first_free};
            first_free = number;
        }
    }
    UNLOCK();
    PyErr_Restore(type, value, traceback);
}

PyObject *name_path(uint32_t number)
{
    LOCK();
    PyObject *path = Py_NewRef(paths[number].tuple);
    UNLOCK();
    return path;
}

bool name_path_asks(uint32_t number, PyObject *name)
{
    LOCK();
    PyObject *path = paths[number].tuple;
    bool asks = !name;
    for (Py_ssize_t i = 1; !asks && i < PyTuple_GET_SIZE(path); i++)
        asks = PyTuple_GET_ITEM(path, i) == name || !PyUnicode_Compare(PyTuple_GET_ITEM(path, i), name);
    UNLOCK();
    return asks;
}

void name_paths_count(size_t *now, size_t *most)
{
    LOCK();
    *now = numbers ? PyDict_GET_SIZE(numbers) : 0;
    *most = last;
    UNLOCK();
}
