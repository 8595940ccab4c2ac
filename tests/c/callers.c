/*
 * Threads without the GIL that call Python objects through their vectorcall pointers, for test_under_fire.py.
 * The objects must be built of gates that stay off and have immortal defaults: such calls touch no interpreter state.
 */
#include "oracle.h"

#include <pthread.h>
#include <stddef.h>

typedef void *vectorcall(void *callable, void *const *args, size_t nargsf, void *kwnames);

struct callers {
    struct oracle oracle; /* the toggler writes it */
    void *const *objects;
    size_t n_objects, vectorcall_offset;
    void *off, *on; /* the results */
    int stop;
    uint64_t calls, wrong; /* filled in by callers_stop() */
    pthread_t threads[2];
    uint64_t counts[2][2];
};

struct job {
    struct callers *callers;
    int number;
};
static struct job jobs[2];

static void *call_without_pause(void *data)
{
    struct job *job = data;
    struct callers *callers = job->callers;
    uint64_t calls = 0, wrong = 0;
    while (!__atomic_load_n(&callers->stop, __ATOMIC_RELAXED))
        for (size_t i = 0; i < callers->n_objects; i++) {
            void *object = callers->objects[i];
            vectorcall *call = *(vectorcall **)((char *)object + callers->vectorcall_offset);
            uint64_t done = oracle_before_call(&callers->oracle);
            void *result = call(object, NULL, 0, NULL);
            wrong += !oracle_accepts(&callers->oracle, done, result, callers->off, callers->on);
            calls++;
        }
    callers->counts[job->number][0] = calls;
    callers->counts[job->number][1] = wrong;
    return NULL;
}

void callers_start(struct callers *callers)
{
    for (int i = 0; i < 2; i++) {
        jobs[i] = (struct job){callers, i};
        pthread_create(&callers->threads[i], NULL, call_without_pause, &jobs[i]);
    }
}

void callers_stop(struct callers *callers)
{
    __atomic_store_n(&callers->stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < 2; i++) {
        pthread_join(callers->threads[i], NULL);
        callers->calls += callers->counts[i][0];
        callers->wrong += callers->counts[i][1];
    }
}
