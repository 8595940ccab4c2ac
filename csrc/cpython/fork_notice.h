/*
 * Forks that Python is not told of, such as uWSGI's or those of a C library: fork(3) without PyOS_AfterFork_Child().
 *
 * The C library tells us of them, by pthread_atfork(3). A function in Python does the rest, as soon as it can: the main
 * thread of the child runs it between two instructions, or the first toggle does. A child that is made by a raw clone
 * or _Fork is not noticed here.
 */
#ifndef JUMPLABEL_FORK_NOTICE_H
#define JUMPLABEL_FORK_NOTICE_H

#include <stdint.h>

/* The function to call in such a child; the first one counts. Returns 0 or -errno. */
int fork_notice_start(uintptr_t function);

/* Around a fork of Python's own, in the thread that forks: Python's hooks see to its child. */
void fork_notice_python_begins(void);
void fork_notice_python_ends(void);

/* Whether the child has something to do by itself, without waiting for a toggle. */
extern int fork_notice_urgent;

/* Whether this is such a child, and the function has not run yet. */
extern int fork_notice_due;

/* Run it, if it is due. The caller holds the GIL, and no exception is set. */
void fork_notice_run(void);

#endif
