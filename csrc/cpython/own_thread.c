#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "own_thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <time.h>

enum { FORK_WAITS_SECONDS = 1 };

/* No thread waits for this mutex while it holds the GIL. So a fork may wait for the GIL while it holds the mutex. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int awake;
static int forks;

static _Thread_local bool own;

static void make_condition(void)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

static void count(int change)
{
    pthread_mutex_lock(&mutex);
    awake += change;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

void own_thread_begins(void)
{
    pthread_once(&once, make_condition);
    count(1);
}

void own_thread_enters(void) { own = true; }

void own_thread_ends(void) { count(-1); }

int own_thread_poll(struct pollfd *files, unsigned long n, int milliseconds)
{
    if (!own)
        return poll(files, n, milliseconds);
    count(-1);
    int result = poll(files, n, milliseconds);
    int error = errno;
    pthread_mutex_lock(&mutex);
    while (forks)
        pthread_cond_wait(&changed, &mutex);
    awake++;
    pthread_mutex_unlock(&mutex);
    errno = error;
    return result;
}

/* The thread state of the calling thread, if it holds the GIL. PyGILState_Check() says yes to all threads where there
 * are sub-interpreters. */
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

void own_thread_before_fork(int foreign)
{
    if (!foreign || own)
        return;
    pthread_once(&once, make_condition);
    if (!pthread_mutex_trylock(&mutex)) {
        if (!awake) {
            forks++;
            return;
        }
        pthread_mutex_unlock(&mutex);
    }
    bool has_gil = thread_state_with_gil() != NULL;
    PyThreadState *state = has_gil ? PyEval_SaveThread() : NULL;
    pthread_mutex_lock(&mutex);
    forks++;
    wait_until_all_sleep();
    if (has_gil)
        PyEval_RestoreThread(state);
}

void own_thread_after_fork(int foreign)
{
    if (!foreign || own)
        return;
    forks--;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

/* None of the threads is here but the calling one, which goes on as another thread. */
void own_thread_in_child(void)
{
    static const pthread_mutex_t unlocked = PTHREAD_MUTEX_INITIALIZER;
    static const pthread_once_t not_yet = PTHREAD_ONCE_INIT;
    mutex = unlocked;
    once = not_yet;
    awake = forks = 0;
    own = false;
}
