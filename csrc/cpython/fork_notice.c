#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "at_fork.h"
#include "fork_notice.h"
#include "os.h"
#include "own_thread.h"
#include "process_lock.h"

int fork_notice_urgent;
int fork_notice_due;

static PyObject *function;
static _Thread_local bool python_forks;

void fork_notice_python_begins(void) { python_forks = true; }

void fork_notice_python_ends(void) { python_forks = false; }

void fork_notice_run(void)
{
    if (!fork_notice_due)
        return;
    fork_notice_due = 0;
    PyObject *result = PyObject_CallNoArgs(function);
    if (!result)
        PyErr_WriteUnraisable(function);
    Py_XDECREF(result);
}

static int run_pending(void *unused)
{
    (void)unused;
    fork_notice_run();
    return 0;
}

static void before_fork(void) { own_thread_before_fork(!python_forks); }

static void in_parent(void) { own_thread_after_fork(!python_forks); }

/* Most such children execute another program at once, and need nothing. So do not take the pending calls' lock then. */
static void in_child(void)
{
    own_thread_in_child();
    process_lock_in_child();
    if (python_forks)
        return;
    fork_notice_due = 1;
    if (fork_notice_urgent)
        Py_AddPendingCall(run_pending, NULL);
}

int fork_notice_start(uintptr_t new_function)
{
    if (function)
        return 0;
    PyGILState_STATE gil = PyGILState_Ensure();
    function = (PyObject *)new_function;
    Py_INCREF(function);
    PyGILState_Release(gil);
    /* The handler registered last runs first before a fork: our threads need a working engine to fall asleep. */
    int error = at_fork_start();
    return error ? error : os_at_fork(before_fork, in_parent, in_child);
}
