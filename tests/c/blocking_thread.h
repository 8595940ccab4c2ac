/* A thread that blocks signals, and calls the site of scene.h when it is told to; and the look whether one does. */
#ifndef BLOCKING_THREAD_H
#define BLOCKING_THREAD_H

#include "blocked.h"
#include "scene.h"

#include <semaphore.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

static sem_t told, done;
static void *result;
static pid_t other_tid;
static bool goes_on;

static inline void *block_and_call(void *signals)
{
    pthread_sigmask(SIG_BLOCK, signals, NULL);
    other_tid = (pid_t)syscall(SYS_gettid);
    sem_post(&done);
    for (;;) {
        sem_wait(&told);
        if (!goes_on)
            return NULL;
        result = call(entry);
        sem_post(&done);
    }
}

static inline pthread_t thread_that_blocks(int signal_number) /* 0: all signals */
{
    static sigset_t signals;
    pthread_t thread;
    sigfillset(&signals);
    if (signal_number) {
        sigemptyset(&signals);
        sigaddset(&signals, signal_number);
    }
    goes_on = true;
    EXPECT(!sem_init(&told, 0, 0) && !sem_init(&done, 0, 0));
    EXPECT(!pthread_create(&thread, NULL, block_and_call, &signals));
    sem_wait(&done);
    return thread;
}

static inline void *call_elsewhere(void)
{
    sem_post(&told);
    sem_wait(&done);
    return result;
}

static inline void end(pthread_t thread)
{
    goes_on = false;
    sem_post(&told);
    pthread_join(thread, NULL);
}

/* As a patch asks. */
static inline bool blocked_anywhere(int signal_number)
{
    sigset_t ours;
    pthread_sigmask(SIG_BLOCK, NULL, &ours);
    return sigismember(&ours, signal_number) || blocked_elsewhere(signal_number);
}

static inline sigset_t trap_alone(void)
{
    sigset_t trap;
    sigemptyset(&trap);
    sigaddset(&trap, SIGTRAP);
    return trap;
}

#endif
