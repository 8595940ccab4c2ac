/*
 * Threads and signal handlers without the GIL that call Python objects through their vectorcall pointers; callers.py is
 * their Python side. The objects must be built of gates that stay off and have immortal defaults: such calls touch no
 * interpreter state.
 */
#include "oracle.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

typedef void *vectorcall(void *callable, void *const *args, size_t nargsf, void *kwnames);

struct callers {
    struct oracle oracle; /* the toggler writes it */
    void *const *objects;
    size_t n_objects, vectorcall_offset;
    void *off, *on; /* the results */
    int stop;
    uint64_t calls, strict, wrong; /* of the threads: filled in by callers_stop(); strict: see oracle.h */
    uint64_t threads_ended, signals_handled, children;
    pthread_t threads[2];
    int threads_running;
};

struct counts {
    uint64_t calls, strict, wrong;
};

static void *call(const struct callers *callers, size_t i)
{
    void *object = callers->objects[i];
    return (*(vectorcall **)((char *)object + callers->vectorcall_offset))(object, NULL, 0, NULL);
}

static void call_all(const struct callers *callers, struct counts *counts)
{
    for (size_t i = 0; i < callers->n_objects; i++) {
        uint64_t done = oracle_before_call(&callers->oracle);
        void *result = call(callers, i);
        counts->wrong += !oracle_accepts(&callers->oracle, done, result, callers->off, callers->on, &counts->strict);
        counts->calls++;
    }
}

static void add(struct callers *callers, const struct counts *counts)
{
    __atomic_fetch_add(&callers->calls, counts->calls, __ATOMIC_RELAXED);
    __atomic_fetch_add(&callers->strict, counts->strict, __ATOMIC_RELAXED);
    __atomic_fetch_add(&callers->wrong, counts->wrong, __ATOMIC_RELAXED);
}

static int stopped(const struct callers *callers) { return __atomic_load_n(&callers->stop, __ATOMIC_RELAXED); }

/* ---- threads ---- */

static void *call_without_pause(void *data)
{
    struct callers *callers = data;
    struct counts counts = {0};
    __atomic_fetch_add(&callers->threads_running, 1, __ATOMIC_SEQ_CST);
    while (!stopped(callers))
        call_all(callers, &counts);
    call_all(callers, &counts); /* after the last toggle: strict */
    add(callers, &counts);
    return NULL;
}

static void *call_and_end(void *data)
{
    struct callers *callers = data;
    struct counts counts = {0};
    call_all(callers, &counts);
    add(callers, &counts);
    return NULL;
}

static void *start_threads_without_pause(void *data)
{
    struct callers *callers = data;
    pthread_t thread;
    while (!stopped(callers) && !pthread_create(&thread, NULL, call_and_end, callers)) {
        pthread_join(thread, NULL);
        __atomic_fetch_add(&callers->threads_ended, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

/* A child's code is its own: whatever its state was at the fork, it stays. */
static int as_child(const struct callers *callers)
{
    void *state = call(callers, 0);
    if (state != callers->off && state != callers->on)
        return 2;
    for (int n = 0; n < 2000; n++)
        for (size_t i = 0; i < callers->n_objects; i++) {
            const volatile uint8_t *site = *(uint8_t **)((char *)callers->objects[i] + callers->vectorcall_offset);
            if (*site == 0xcc || call(callers, i) != state)
                return 3;
        }
    return 0;
}

static void *fork_without_pause(void *data)
{
    struct callers *callers = data;
    while (!stopped(callers)) {
        int status = 0;
        pid_t pid = fork();
        if (!pid) {
            alarm(60);
            _exit(as_child(callers));
        }
        int wrong = pid < 0 || waitpid(pid, &status, 0) != pid || status;
        __atomic_fetch_add(&callers->wrong, wrong, __ATOMIC_RELAXED);
        __atomic_fetch_add(&callers->children, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void start(struct callers *callers, void *(*work)(void *))
{
    for (int i = 0; i < 2; i++)
        pthread_create(&callers->threads[i], NULL, work, callers);
}

/* Returns when both run: a thread that is being made blocks all signals, and the engine waits for it only so long. */
void callers_start(struct callers *callers)
{
    start(callers, call_without_pause);
    while (__atomic_load_n(&callers->threads_running, __ATOMIC_SEQ_CST) < 2)
        sched_yield();
}

void callers_start_short_lived(struct callers *callers) { start(callers, start_threads_without_pause); }

void callers_start_forking(struct callers *callers) { start(callers, fork_without_pause); }

void callers_stop(struct callers *callers)
{
    __atomic_store_n(&callers->stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < 2; i++)
        pthread_join(callers->threads[i], NULL);
}

/* ---- a timer's handler, on whatever thread it hits ---- */

static struct callers *handlers_callers;

static void call_in_handler(int signal_number)
{
    (void)signal_number;
    struct counts counts = {0};
    call_all(handlers_callers, &counts);
    add(handlers_callers, &counts);
    __atomic_fetch_add(&handlers_callers->signals_handled, 1, __ATOMIC_RELAXED);
}

/* timer: ITIMER_REAL or ITIMER_PROF. Returns 0 or -1. */
int callers_start_timer(struct callers *callers, int timer, long microseconds)
{
    struct sigaction action = {.sa_handler = call_in_handler, .sa_flags = SA_RESTART};
    struct itimerval interval = {{0, microseconds}, {0, microseconds}};
    handlers_callers = callers;
    if (sigaction(timer == ITIMER_REAL ? SIGALRM : SIGPROF, &action, NULL))
        return -1;
    return setitimer(timer, &interval, NULL);
}

int callers_stop_timer(int timer)
{
    struct itimerval never;
    memset(&never, 0, sizeof(never));
    return setitimer(timer, &never, NULL);
}
