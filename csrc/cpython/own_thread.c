#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "own_thread.h"
#include "publish.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

enum { FORK_WAITS_SECONDS = 1 };

/* No thread waits for this mutex while it holds the GIL. So a fork may hold the mutex while it waits for the GIL. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int awake;
static int forks;
static unsigned long rings;
static pid_t process;

/* Its destructor runs when Python has finished with the thread. */
static pthread_key_t at_end;
static pthread_once_t at_end_once = PTHREAD_ONCE_INIT;

static _Thread_local bool own;

static void make_condition(void)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

/* The C library reports no raw clone or _Fork. In such a child the condition still has the parent's waiting threads. */
static void make_ready(void)
{
    if (process != getpid())
        own_thread_in_child();
    pthread_once(&once, make_condition);
}

static void lock(void)
{
    make_ready();
    pthread_mutex_lock(&mutex);
}

static void count(int change)
{
    lock();
    awake += change;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static void ends(void *unused)
{
    (void)unused;
    if (own) /* false in the child of a fork */
        count(-1);
}

static void make_at_end(void) { pthread_key_create(&at_end, ends); }

void own_thread_enters(void)
{
    if (own)
        return;
    own = true;
    pthread_once(&at_end_once, make_at_end);
    pthread_setspecific(at_end, &own);
}

void own_thread_joins(void)
{
    if (own)
        return;
    count(1);
    own_thread_enters();
}

static PyObject *start(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *start_new_thread, *function, *arguments;
    if (!PyArg_ParseTuple(args, "OOO", &start_new_thread, &function, &arguments))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    count(1);
    Py_END_ALLOW_THREADS
    PyObject *result = PyObject_CallFunctionObjArgs(start_new_thread, function, arguments, NULL);
    if (!result) {
        Py_BEGIN_ALLOW_THREADS
        count(-1);
        Py_END_ALLOW_THREADS
    }
    return result;
}

static PyMethodDef start_method = {"start_own_thread", start, METH_VARARGS, NULL};

int own_thread_start_function(uintptr_t list)
{
    if (!process)
        process = getpid();
    return publish_functions(&start_method, 1, list);
}

/* The caller holds the mutex. */
static void falls_asleep(void)
{
    awake -= own;
    pthread_cond_broadcast(&changed);
}

static void wakes_up(void)
{
    while (own && forks)
        pthread_cond_wait(&changed, &mutex);
    awake += own;
}

int own_thread_poll(struct pollfd *files, unsigned long n, int milliseconds)
{
    if (!own)
        return poll(files, n, milliseconds);
    count(-1);
    int result = poll(files, n, milliseconds);
    int error = errno;
    lock();
    wakes_up();
    pthread_mutex_unlock(&mutex);
    errno = error;
    return result;
}

unsigned long own_thread_rings(void)
{
    lock();
    unsigned long now = rings;
    pthread_mutex_unlock(&mutex);
    return now;
}

void own_thread_sleep(int64_t until, unsigned long heard)
{
    struct timespec end = {.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000};
    lock();
    falls_asleep();
    while (rings == heard && !pthread_cond_timedwait(&changed, &mutex, &end))
        ;
    wakes_up();
    pthread_mutex_unlock(&mutex);
}

void own_thread_ring(void)
{
    lock();
    rings++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

/* The thread state of the calling thread if it holds the GIL, else NULL. PyGILState_Check() cannot tell: with
 * sub-interpreters it returns 1 in all threads. */
static PyThreadState *thread_state_with_gil(void)
{
#if PY_VERSION_HEX >= 0x030d0000
    PyThreadState *current = PyThreadState_GetUnchecked();
#else
    PyThreadState *current = _PyThreadState_UncheckedGet();
#endif
    return current && current == PyGILState_GetThisThreadState() ? current : NULL;
}

static void wait_until_all_sleep(void)
{
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += FORK_WAITS_SECONDS;
    while (awake && pthread_cond_timedwait(&changed, &mutex, &end) != ETIMEDOUT)
        ;
}

/* A callback of the program may fork in one of these threads. That thread waits for the others only. */
void own_thread_before_fork(int foreign)
{
    if (!foreign)
        return;
    make_ready();
    if (!pthread_mutex_trylock(&mutex)) {
        if (awake == own) {
            falls_asleep();
            forks++;
            return;
        }
        pthread_mutex_unlock(&mutex);
    }
    bool has_gil = thread_state_with_gil() != NULL;
    PyThreadState *state = has_gil ? PyEval_SaveThread() : NULL;
    pthread_mutex_lock(&mutex);
    falls_asleep();
    forks++;
    wait_until_all_sleep();
    if (has_gil)
        PyEval_RestoreThread(state);
}

void own_thread_after_fork(int foreign)
{
    if (!foreign)
        return;
    forks--;
    awake += own;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

/* The child has no thread but the calling one, which is no longer a thread of the package. */
void own_thread_in_child(void)
{
    static const pthread_mutex_t unlocked = PTHREAD_MUTEX_INITIALIZER;
    static const pthread_once_t not_yet = PTHREAD_ONCE_INIT;
    mutex = unlocked;
    once = not_yet;
    awake = forks = 0;
    own = false;
    process = getpid();
}
