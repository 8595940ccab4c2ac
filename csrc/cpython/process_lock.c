#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "process_lock.h"
#include "publish.h"

#include <stdbool.h>
#include <unistd.h>

struct process_lock {
    PyObject_HEAD
    PyThread_type_lock lock;
    unsigned long owner; /* the thread that holds it, while count is above zero */
    size_t count;
    pid_t process;
};

static bool is_mine(const struct process_lock *self)
{
    return self->count && self->owner == PyThread_get_thread_ident();
}

/*
 * In a child the old lock is left as it is: a thread of the parent may hold it. What the forking thread holds it goes
 * on holding, as it still has to release it.
 */
static int adopt(struct process_lock *self)
{
    if (self->process == getpid())
        return 0;
    PyThread_type_lock lock = PyThread_allocate_lock();
    if (!lock) {
        PyErr_NoMemory();
        return -1;
    }
    if (is_mine(self))
        PyThread_acquire_lock(lock, NOWAIT_LOCK);
    else
        self->count = 0;
    self->lock = lock;
    self->process = getpid();
    return 0;
}

static PyObject *take(struct process_lock *self, bool wait)
{
    if (adopt(self))
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
    if (adopt(self))
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
    self->process = getpid();
    self->lock = PyThread_allocate_lock();
    if (!self->lock) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void dealloc(PyObject *object)
{
    struct process_lock *self = (struct process_lock *)object;
    PyTypeObject *type = Py_TYPE(object);
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
