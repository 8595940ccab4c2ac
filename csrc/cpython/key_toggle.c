#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "key_toggle.h"
#include "fork_notice.h"
#include "jump_label.h"
#include "os.h"
#include "publish.h"

#include <errno.h>

/*
 * Longer than others wait for the GIL before they ask for it, 5 ms: other threads cannot ask us. A site takes up to 20
 * ns, a thread up to 20 µs. Read without the lock, so what was made just now may be missed.
 */
#define MANY_SITES 100000
#define MANY_THREADS 100

static bool takes_long(const struct key_step *steps, size_t n)
{
    size_t sites = n; /* a step of a key without sites takes some time, too */
    for (size_t i = 0; i < n; i++)
        sites += __atomic_load_n(&steps[i].key->n_entries, __ATOMIC_RELAXED);
    return sites > MANY_SITES || os_threads_asked() > MANY_THREADS;
}

/*
 * Not while threads must answer a signal: one that blocks it may need the GIL to go on. And in a sub-interpreter
 * PyGILState_Ensure() (settle()) would wait for ourselves: it wants the GIL for the state that the thread had first.
 */
static bool may_keep_gil(const struct key_step *steps, size_t n)
{
    return sync_core_method() != SYNC_SIGNAL && !takes_long(steps, n) &&
           PyGILState_GetThisThreadState() == PyThreadState_Get();
}

static int apply(const struct key_step *steps, size_t n, size_t *failed, struct key_report *report)
{
    bool kept = may_keep_gil(steps, n);
    int error = kept ? static_key_try_apply(steps, n, failed, report) : 0;
    /*
     * It has changed nothing. That a signal was needed after all is found out within. And the lock is not waited for:
     * it is not fair, and a fork that holds it may be in others' handlers, which want the GIL (pthread_atfork(3)).
     */
    if (!kept || error == -EDEADLK || error == -EBUSY) {
        Py_BEGIN_ALLOW_THREADS
        error = static_key_apply(steps, n, failed, report);
        Py_END_ALLOW_THREADS
    }
    return error;
}

static bool read_step(PyObject *address, PyObject *operation, struct key_step *step)
{
    step->key = PyLong_AsVoidPtr(address);
    step->operation = PyLong_AsLong(operation);
    return !PyErr_Occurred();
}

#define FEW 4 /* steps for which there is room on the stack */

static PyObject *transact(PyObject *self, PyObject *const *args, Py_ssize_t n_args)
{
    (void)self;
    if (n_args % 2 == 0)
        return PyErr_Format(PyExc_TypeError, "transact() takes a report, and a key's address and an operation a step");
    struct key_report *report = PyLong_AsVoidPtr(args[0]);
    size_t n = n_args / 2, failed = n;
    struct key_step few[FEW], *steps = n <= FEW ? few : PyMem_New(struct key_step, n);
    if (!steps)
        return PyErr_NoMemory();
    bool read = report || !PyErr_Occurred();
    for (size_t i = 0; read && i < n; i++)
        read = read_step(args[1 + 2 * i], args[2 + 2 * i], &steps[i]);
    if (read && fork_notice_due)
        fork_notice_run();
    int error = read ? apply(steps, n, &failed, report) : 0;
    if (steps != few)
        PyMem_Free(steps);
    if (!read)
        return NULL;
    if (!error && !__atomic_load_n(&static_keys_wake, __ATOMIC_ACQUIRE))
        return Py_NewRef(Py_None);
    return Py_BuildValue("in", error, (Py_ssize_t)failed);
}

static PyMethodDef function = {"transact", (PyCFunction)(void *)transact, METH_FASTCALL, NULL};

int key_toggle_function(uintptr_t list) { return publish_functions(&function, 1, list); }
