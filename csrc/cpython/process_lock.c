#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "process_lock.h"
#include "publish.h"

#include <stdbool.h>
#include <unistd.h>

struct process_lock {
    PyObject_HEAD
    PyThread_type_lock lock; /* NULL: the child of a fork has not made it anew yet */
    unsigned long owner;     /* the thread that holds the lock; valid while count is above zero */
    size_t count;
    struct process_lock *next;
};

/* The list is changed with the GIL. A fork may happen at any point, so each change is a single store. */
static struct process_lock *all;
static pid_t process;

static bool is_mine(const struct process_lock *self)
{
    return self->count && self->owner == PyThread_get_thread_ident();
}

/* Runs before the child has another thread: a new thread may get the stack, and so the ident, of a parent's thread. */
void process_lock_in_child(void)
{
    if (process == getpid())
        return;
    for (struct process_lock *self = all; self; self = self->next) {
        self->lock = NULL; /* a parent's thread may hold the old lock or wait for it */
        if (!is_mine(self))
            self->count = 0;
    }
    process = getpid();
}

void process_lock_notice(void)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    process_lock_in_child();
    PyGILState_Release(gil);
}

/* Make the child's new lock. If the count is above zero, the forking thread holds the lock. */
static int ready(struct process_lock *self)
{
    process_lock_in_child(); /* in case of a raw clone or _Fork, which the C library does not report */
    if (self->lock)
        return 0;
    PyThread_type_lock lock = PyThread_allocate_lock();
    if (!lock) {
        PyErr_NoMemory();
        return -1;
    }
    if (self->count)
        PyThread_acquire_lock(lock, NOWAIT_LOCK);
    self->lock = lock;
    return 0;
}

static PyObject *take(struct process_lock *self, bool wait)
{
    if (ready(self))
        return NULL;
    if (!is_mine(self)) {
        if (!PyThread_acquire_lock(self->lock, NOWAIT_LOCK)) {
            if (!wait)
                Py_RETURN_FALSE;
            PyThread_type_lock lock = self->lock;
            Py_BEGIN_ALLOW_THREADS
            PyThread_acquire_lock(lock, WAIT_LOCK);
            Py_END_ALLOW_THREADS
        }
        self->owner = PyThread_get_thread_ident();
        self->count = 0;
    }
    self->count++;
    Py_RETURN_TRUE;
}

static PyObject *enter(PyObject *object, PyObject *unused)
{
    (void)unused;
    return take((struct process_lock *)object, true);
}

static PyObject *acquire(PyObject *object, PyObject *args)
{
    int wait = true;
    return PyArg_ParseTuple(args, "|p", &wait) ? take((struct process_lock *)object, wait) : NULL;
}

static PyObject *release(PyObject *object, PyObject *unused)
{
    (void)unused;
    struct process_lock *self = (struct process_lock *)object;
    if (ready(self))
        return NULL;
    if (!is_mine(self))
        return PyErr_Format(PyExc_RuntimeError, "this thread does not hold the lock");
    if (!--self->count)
        PyThread_release_lock(self->lock);
    Py_RETURN_NONE;
}

static PyObject *make(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args;
    (void)kwargs;
    struct process_lock *self = (struct process_lock *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    if (!process)
        process = getpid();
    self->lock = PyThread_allocate_lock();
    if (!self->lock) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    self->next = all;
    __atomic_store_n(&all, self, __ATOMIC_RELEASE);
    return (PyObject *)self;
}

static void unlink_from_all(struct process_lock *self)
{
    struct process_lock **link = &all;
    while (*link && *link != self)
        link = &(*link)->next;
    if (*link)
        __atomic_store_n(link, self->next, __ATOMIC_RELEASE);
}

static void dealloc(PyObject *object)
{
    struct process_lock *self = (struct process_lock *)object;
    PyTypeObject *type = Py_TYPE(object);
    unlink_from_all(self);
    if (self->lock && !self->count)
        PyThread_free_lock(self->lock);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"acquire", acquire, METH_VARARGS, NULL},
    {"release", release, METH_NOARGS, NULL},
    {"__enter__", enter, METH_NOARGS, NULL},
    {"__exit__", release, METH_VARARGS, NULL},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_new, make},
    {Py_tp_dealloc, dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "jumplabel._engine.ProcessLock",
    .basicsize = sizeof(struct process_lock),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slots,
};

int process_lock_type(uintptr_t list) { return publish_types(&spec, 1, list); }
