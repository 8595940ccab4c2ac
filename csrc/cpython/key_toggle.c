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

static bool takes_long(const struct static_key *key)
{
    return __atomic_load_n(&key->n_entries, __ATOMIC_RELAXED) > MANY_SITES || os_threads_asked() > MANY_THREADS;
}

/*
 * Not while threads must answer a signal: one that blocks it may need the GIL to go on. And in a sub-interpreter
 * PyGILState_Ensure() (settle()) would wait for ourselves: it wants the GIL for the state that the thread had first.
 */
static bool may_keep_gil(const struct static_key *key)
{
    return sync_core_method() != SYNC_SIGNAL && !takes_long(key) &&
           PyGILState_GetThisThreadState() == PyThreadState_Get();
}

static PyObject *toggle(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    (void)self;
    if (n != 2)
        return PyErr_Format(PyExc_TypeError, "toggle() takes 2 arguments, not %zd", n);
    struct static_key *key = PyLong_AsVoidPtr(args[0]);
    long operation = PyLong_AsLong(args[1]);
    if (PyErr_Occurred())
        return NULL;
    if (fork_notice_due)
        fork_notice_run();
    bool kept = may_keep_gil(key);
    int error = kept ? static_key_try_toggle(key, operation) : 0;
    /*
     * It has changed nothing. That a signal was needed after all is found out within. And the lock is not waited for:
     * it is not fair, and a fork that holds it may be in others' handlers, which want the GIL (pthread_atfork(3)).
     */
    if (!kept || error == -EDEADLK || error == -EBUSY) {
        Py_BEGIN_ALLOW_THREADS
        error = static_key_toggle(key, operation);
        Py_END_ALLOW_THREADS
    }
    return PyLong_FromLong(error);
}

static PyMethodDef function = {"toggle", (PyCFunction)(void *)toggle, METH_FASTCALL, NULL};

int key_toggle_function(uintptr_t list) { return publish_functions(&function, 1, list); }
