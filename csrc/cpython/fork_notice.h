/*
 * Foreign forks: fork(3) without PyOS_AfterFork_Child(), as by uWSGI or a C library. Python does not notice them.
 *
 * pthread_atfork(3) reports them to this file. A Python function does the rest: the main thread of the child runs it
 * between two instructions, or the first toggle does, whichever is first. A raw clone or _Fork is not noticed here.
 */
#ifndef JUMPLABEL_FORK_NOTICE_H
#define JUMPLABEL_FORK_NOTICE_H

#include <stdint.h>

/* Set the function to call in such a child. Only the first call has an effect. Returns 0 or -errno. */
int fork_notice_start(uintptr_t function);

/* Called around a fork of Python's own, in the forking thread. Python's hooks do the work in its child. */
void fork_notice_python_begins(void);
void fork_notice_python_ends(void);

/* Whether the child must run the function soon, without waiting for a toggle. */
extern int fork_notice_urgent;

/* Whether this process is such a child, and the function has not run yet. */
extern int fork_notice_due;

/* Run the function if it is due. The caller holds the GIL, and no exception is set. */
void fork_notice_run(void);

#endif
