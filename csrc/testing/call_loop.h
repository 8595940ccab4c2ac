/*
 * Calls without pause, in the ways in which C programs choose between two functions; for benchmarks.
 */
#ifndef JUMPLABEL_CALL_LOOP_H
#define JUMPLABEL_CALL_LOOP_H

#include <stddef.h>

struct call_loop {
    int (*function)(int);
    int flag;
};

/* The two functions: small, and never inlined. They return their argument plus 1, and plus 2. */
int call_loop_off(int argument);
int call_loop_on(int argument);

/* n calls, each of the result of the one before; the first of 0. Returns the last result. */
int call_loop_pointer(int (*function)(int), size_t n);        /* which stays in a register */
int call_loop_struct(const struct call_loop *loop, size_t n); /* loop->function, looked up each time */
int call_loop_flag(const struct call_loop *loop, size_t n);   /* if (loop->flag) on(x); else off(x); */

#endif
