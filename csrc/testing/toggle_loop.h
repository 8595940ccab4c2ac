/*
 * Toggles a key at a steady rate, which no Python thread could while another one runs; for benchmarks.
 */
#ifndef JUMPLABEL_TOGGLE_LOOP_H
#define JUMPLABEL_TOGGLE_LOOP_H

#include "engine_functions.h"

struct toggle_loop {
    int stop;         /* set by another thread */
    uint64_t toggles; /* so far; read it from any thread */
};

/*
 * Enable and disable a key in turn, one toggle every `period` nanoseconds, until loop->stop. No other caller toggles it
 * meanwhile. Toggles that come late are made up for. Leaves the key off. 0, or what static_key_toggle() returned at the
 * first that failed.
 */
int toggle_loop(const struct engine_functions *engine, struct static_key *key, int64_t period,
                struct toggle_loop *loop);

#endif
