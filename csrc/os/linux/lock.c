#define _GNU_SOURCE
#include "lock.h"
#include "os.h"

#include <pthread.h>
#include <signal.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static sigset_t postponed;    /* signals that wait while a thread holds the mutex */
static sigset_t holders_mask; /* of the holding thread, from before */
static int holders_cancel;    /* its cancel state, from before: open(2) and nanosleep(2) would end it with the mutex */

static bool lock(int (*how)(pthread_mutex_t *))
{
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, &postponed, &mask);
    int cancel;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    bool taken = !how(&mutex);
    if (taken) {
        holders_mask = mask;
        holders_cancel = cancel;
    } else {
        pthread_sigmask(SIG_SETMASK, &mask, NULL);
        pthread_setcancelstate(cancel, NULL);
    }
    return taken;
}

void text_lock(void) { lock(pthread_mutex_lock); }
bool text_trylock(void) { return lock(pthread_mutex_trylock); }

void text_unlock(void)
{
    sigset_t mask = holders_mask;
    int cancel = holders_cancel;
    pthread_mutex_unlock(&mutex);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    pthread_setcancelstate(cancel, NULL);
}

bool lock_holder_blocks(int signal_number) { return sigismember(&holders_mask, signal_number); }

/* All signals but those that an instruction raises itself, and the real-time ones. */
__attribute__((constructor)) static void choose_postponed(void)
{
    static const int raised[] = {SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};
    for (int number = 1; number < SIGRTMIN; number++)
        sigaddset(&postponed, number);
    for (size_t i = 0; i < sizeof(raised) / sizeof(raised[0]); i++)
        sigdelset(&postponed, raised[i]);
}

int os_at_fork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    return -pthread_atfork(prepare, parent, child);
}
