#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "fork_notice.h"

#include <pthread.h>
#include <stdbool.h>

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

/* Most such children execute another program at once, and need nothing. So the interpreter's lock is left alone then.
 */
static void in_child(void)
{
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
    return -pthread_atfork(NULL, NULL, in_child);
}
