/*
 * The engine's own clock. Libraries that move time for tests replace functions of Python's `time`, in every module that
 * has one, and even in the C structures of that module. They do not find these.
 *
 * A part of the engine: no Python.h.
 */
#ifndef JUMPLABEL_CLOCK_H
#define JUMPLABEL_CLOCK_H

#include <stdint.h>

/* Nanoseconds of CLOCK_MONOTONIC, and of CLOCK_REALTIME since 1970. */
int64_t clock_monotonic(void);
int64_t clock_wall(void);

/* Sleep for so many nanoseconds; less where a signal comes. */
void clock_sleep(int64_t nanoseconds);

#endif
