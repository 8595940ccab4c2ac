/*
 * Two threads call the sites of a key without pause while a third toggles it without pause. No Python.
 *
 *     stress SECONDS SITES membarrier|signal SYNCS
 *
 * Prints the counts, and exits with 1 where a call returned what it may not (see oracle.h).
 */
#include "jump_label.h"
#include "oracle.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CALLERS 2

typedef void *function(void *argument);

static struct oracle oracle;
static int stop;
static struct jump_entry **entries;
static size_t n_entries;
static char off_value, on_value;

static void *identity(void *argument) { return argument; }

struct caller {
    pthread_t thread;
    uint64_t calls, wrong;
};

static void *call_without_pause(void *data)
{
    struct caller *caller = data;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
        for (size_t i = 0; i < n_entries; i++) {
            function *site = (function *)(void *)entries[i]->slot->exec;
            uint64_t done = oracle_before_call(&oracle);
            void *result = site("replaced by the trampoline");
            caller->wrong += !oracle_accepts(&oracle, done, result, &off_value, &on_value);
            caller->calls++;
        }
    return NULL;
}

static void *toggle_without_pause(void *data)
{
    struct static_key *key = data;
    for (uint64_t n = 1; !__atomic_load_n(&stop, __ATOMIC_RELAXED); n++) {
        __atomic_store_n(&oracle.begun, n, __ATOMIC_SEQ_CST);
        int error = static_key_toggle(key, n & 1 ? KEY_ENABLE : KEY_DISABLE);
        if (error) {
            fprintf(stderr, "toggle %llu: %s\n", (unsigned long long)n, strerror(-error));
            exit(1);
        }
        __atomic_store_n(&oracle.done, n, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    double seconds = atof(argv[1]);
    n_entries = (size_t)atoi(argv[2]);
    jump_label_configure((struct jump_label_settings){
        .native = 1,
        .method = strcmp(argv[3], "signal") ? SYNC_MEMBARRIER : SYNC_SIGNAL,
        .syncs = atoi(argv[4]),
    });
    struct static_key *key = static_key_new("stress", 0);
    entries = calloc(n_entries, sizeof(*entries));
    for (size_t i = 0; i < n_entries; i++) {
        /* Every kind of off path that can return &off_value: a constant, and a call. */
        enum trampoline_kind kind = i & 1 ? TRAMPOLINE_SWITCH : TRAMPOLINE_CONSTANT;
        entries[i] = jump_entry_new(key, "stress", "stress.c", kind, (struct trampoline_target){identity, &off_value},
                                    (struct trampoline_target){identity, &on_value});
        if (!entries[i] || !entries[i]->slot) {
            fprintf(stderr, "no trampoline\n");
            return 1;
        }
    }

    struct caller callers[CALLERS] = {0};
    pthread_t toggler;
    for (int i = 0; i < CALLERS; i++)
        pthread_create(&callers[i].thread, NULL, call_without_pause, &callers[i]);
    pthread_create(&toggler, NULL, toggle_without_pause, key);
    struct timespec left = {(time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9)};
    while (nanosleep(&left, &left)) /* signals that synchronize interrupt it */
        ;
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    pthread_join(toggler, NULL);
    uint64_t calls = 0, wrong = 0;
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(callers[i].thread, NULL);
        calls += callers[i].calls;
        wrong += callers[i].wrong;
    }

    struct jump_label_info info;
    jump_label_info(&info);
    printf("calls=%llu toggles=%llu wrong=%llu method=%d batches=%llu sites_patched=%llu sync_calls=%llu "
           "current=%llu previous=%llu stale=%llu chained=%llu\n",
           (unsigned long long)calls, (unsigned long long)oracle.done, (unsigned long long)wrong, (int)info.method,
           (unsigned long long)info.batches, (unsigned long long)info.sites_patched,
           (unsigned long long)info.sync_calls, (unsigned long long)info.int3.current,
           (unsigned long long)info.int3.previous, (unsigned long long)info.int3.stale,
           (unsigned long long)info.int3.chained);
    return wrong ? 1 : 0;
}
