#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "jit_traces.h"

#include <dlfcn.h>

/* Include/internal/pycore_optimizer.h. NULL: the interpreter is built without the JIT. */
static void (*invalidate)(PyInterpreterState *, void *object, int is_invalidation);
static void (*invalidate_all)(PyInterpreterState *, int is_invalidation);

#if PY_VERSION_HEX >= 0x030f0000 && !defined(Py_GIL_DISABLED)

#define Py_BUILD_CORE 1
#undef _Py_TIER2
#define _Py_TIER2 1 /* the layout of an interpreter that is built with the JIT; used only if it is on */
#pragma GCC diagnostic ignored "-Wunused-parameter" /* in those headers */
#include <internal/pycore_optimizer.h>
#include <internal/pycore_tstate.h>

/* Include/internal/pycore_ceval.h; unlike Py_AddPendingCall, any thread of the interpreter may take the call. */
static int (*add_pending_call)(PyInterpreterState *, int (*call)(void *), void *argument, int flags);
static bool waiting;

static bool any_thread_records(PyInterpreterState *interpreter)
{
    for (PyThreadState *t = PyInterpreterState_ThreadHead(interpreter); t; t = PyThreadState_Next(t)) {
        const struct _PyJitTracerState *tracer = ((_PyThreadStateImpl *)t)->jit_tracer_state;
        if (tracer && tracer->is_tracing)
            return true;
    }
    return false;
}

/* A pending call. Queues itself again until all threads have ended the recordings from when the code changed. */
static int drop_when_done(void *unused)
{
    PyInterpreterState *interpreter = PyInterpreterState_Get();
    waiting = any_thread_records(interpreter) && !add_pending_call(interpreter, drop_when_done, unused, 0);
    if (!waiting) /* or the queue is full: drop all finished traces at least */
        invalidate_all(interpreter, 1);
    return 0;
}

static bool recordings_start(void)
{
    add_pending_call =
        (int (*)(PyInterpreterState *, int (*)(void *), void *, int))dlsym(RTLD_DEFAULT, "_PyEval_AddPendingCall");
    return add_pending_call;
}

static void recordings_changed(void)
{
    if (!waiting && any_thread_records(PyInterpreterState_Get()))
        drop_when_done(NULL);
}

#else

static bool recordings_start(void) { return true; }

static void recordings_changed(void) {}

#endif

bool jit_traces_start(bool on)
{
    invalidate = (void (*)(PyInterpreterState *, void *, int))dlsym(RTLD_DEFAULT, "_Py_Executors_InvalidateDependency");
    invalidate_all = (void (*)(PyInterpreterState *, int))dlsym(RTLD_DEFAULT, "_Py_Executors_InvalidateAll");
    if (PY_VERSION_HEX < 0x030e0000)
        return !invalidate; /* 3.13 with its experimental JIT built in, which does not tell whether it is on */
    return !on || (invalidate && invalidate_all && recordings_start());
}

void jit_traces_changed(PyCodeObject *code) { invalidate(PyInterpreterState_Get(), code, 1); }

void jit_traces_changed_all(void) { recordings_changed(); }
