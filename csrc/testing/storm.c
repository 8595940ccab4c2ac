#include "storm.h"
#include "oracle.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

typedef void *function(void *argument);

struct caller {
    pthread_t thread;
    struct storm *storm;
    struct storm_counts counts; /* filled in at its end */
};

struct storm {
    const struct engine_functions *engine;
    struct static_key *key;
    struct oracle oracle;
    int stop;
    struct jump_entry **entries;
    void **functions; /* of the entries */
    size_t n_entries;
    struct caller *callers;
    size_t n_callers, n_running;
};

static char off_value, on_value;

static void *identity(void *argument) { return argument; }

static void call_all(const struct storm *storm, struct storm_counts *counts)
{
    for (size_t i = 0; i < storm->n_entries; i++) {
        function *site = (function *)storm->functions[i];
        uint64_t done = oracle_before_call(&storm->oracle);
        void *result = site("replaced by the trampoline");
        counts->wrong += !oracle_accepts(&storm->oracle, done, result, &off_value, &on_value, &counts->strict);
        counts->calls++;
    }
}

static void *call_without_pause(void *data)
{
    struct caller *caller = data;
    __atomic_fetch_add(&caller->storm->n_running, 1, __ATOMIC_SEQ_CST);
    struct storm_counts counts = {0}; /* its own until the end: no other core waits for the line */
    while (!__atomic_load_n(&caller->storm->stop, __ATOMIC_RELAXED))
        call_all(caller->storm, &counts);
    call_all(caller->storm, &counts); /* after the last toggle: strict */
    caller->counts = counts;
    return NULL;
}

static bool make_sites(struct storm *storm, size_t sites)
{
    storm->entries = calloc(sites, sizeof(*storm->entries));
    storm->functions = calloc(sites, sizeof(*storm->functions));
    if (!storm->entries || !storm->functions)
        return false;
    for (size_t i = 0; i < sites; i++) {
        /* Every kind of off path that can return &off_value: a constant, and a call. */
        enum trampoline_kind kind = i & 1 ? TRAMPOLINE_SWITCH : TRAMPOLINE_CONSTANT;
        struct jump_entry *entry = storm->engine->new_entry(storm->key, "storm", "storm.c", kind,
                                                            (struct trampoline_target){identity, &off_value},
                                                            (struct trampoline_target){identity, &on_value});
        if (!entry)
            return false;
        storm->entries[storm->n_entries++] = entry;
        if (!entry->slot)
            return false;
        storm->functions[i] = storm->engine->function_of(entry);
    }
    return true;
}

static bool start_threads(struct storm *storm, size_t threads, bool block_signals)
{
    sigset_t all, mask;
    sigfillset(&all);
    storm->callers = calloc(threads, sizeof(*storm->callers));
    pthread_sigmask(SIG_BLOCK, block_signals ? &all : NULL, &mask); /* a thread inherits the mask of its maker */
    for (bool made = storm->callers; made && storm->n_callers < threads; storm->n_callers += made) {
        struct caller *caller = &storm->callers[storm->n_callers];
        caller->storm = storm;
        made = !pthread_create(&caller->thread, NULL, call_without_pause, caller);
    }
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    /* A thread that is being made blocks all signals, and the engine waits only so long for its answer. */
    while (__atomic_load_n(&storm->n_running, __ATOMIC_SEQ_CST) < storm->n_callers)
        sched_yield();
    return storm->callers && storm->n_callers == threads;
}

struct storm *storm_start(const struct engine_functions *engine, struct static_key *key, size_t sites, size_t threads,
                          bool block_signals)
{
    struct storm *storm = calloc(1, sizeof(*storm));
    if (!storm)
        return NULL;
    storm->engine = engine;
    storm->key = key;
    if (make_sites(storm, sites) && start_threads(storm, threads, block_signals))
        return storm;
    storm_stop(storm);
    return NULL;
}

int storm_toggle(struct storm *storm)
{
    uint64_t number = storm->oracle.begun + 1;
    __atomic_store_n(&storm->oracle.begun, number, __ATOMIC_SEQ_CST);
    int error = storm->engine->toggle(storm->key, number & 1 ? KEY_ENABLE : KEY_DISABLE);
    if (error) /* the key is as it was, and so is the number */
        __atomic_store_n(&storm->oracle.begun, number - 1, __ATOMIC_SEQ_CST);
    else
        __atomic_store_n(&storm->oracle.done, number, __ATOMIC_SEQ_CST);
    return error;
}

struct storm_counts storm_stop(struct storm *storm)
{
    struct storm_counts counts = {.toggles = storm->oracle.done};
    __atomic_store_n(&storm->stop, 1, __ATOMIC_RELAXED);
    for (size_t i = 0; i < storm->n_callers; i++) {
        pthread_join(storm->callers[i].thread, NULL);
        counts.calls += storm->callers[i].counts.calls;
        counts.strict += storm->callers[i].counts.strict;
        counts.wrong += storm->callers[i].counts.wrong;
    }
    for (size_t i = 0; i < storm->n_entries; i++)
        storm->engine->retire(storm->entries[i]);
    free(storm->callers);
    free(storm->entries);
    free(storm->functions);
    free(storm);
    return counts;
}
