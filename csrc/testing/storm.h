/*
 * Threads that call a key's sites without pause and check every result; for tests of this machine, with no Python.
 */
#ifndef JUMPLABEL_STORM_H
#define JUMPLABEL_STORM_H

#include "engine_functions.h"

struct storm;

struct storm_counts {
    uint64_t calls, toggles;
    uint64_t strict; /* calls that no toggle overlapped: only one result was right. At least one a thread and site */
    uint64_t wrong;  /* returned what they may not, see oracle.h */
};

/*
 * Make `sites` trampolines of a key that is off, and start `threads` threads that call them, with all signals blocked
 * where that is asked for. NULL: no memory, no thread, or no trampoline, see jump_label_info(). The engine stays.
 */
struct storm *storm_start(const struct engine_functions *engine, struct static_key *key, size_t sites, size_t threads,
                          bool block_signals);

/* Toggle the key, which no other caller may do meanwhile. Returns what static_key_toggle() does. One thread at a time.
 */
int storm_toggle(struct storm *storm);

/* End the threads, free all, and say what happened. */
struct storm_counts storm_stop(struct storm *storm);

#endif
