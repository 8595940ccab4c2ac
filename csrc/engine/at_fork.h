/*
 * What happens at a fork.
 *
 * fork(2) takes the text lock first, so no child finds it locked, or half a patch. Code memory is shared between both
 * processes by its nature (a shared mapping): the child gets a copy at the same addresses, made before the fork. The
 * child's counters start anew.
 *
 * Above all that a fork concerns, below keys.
 */
#ifndef JUMPLABEL_AT_FORK_H
#define JUMPLABEL_AT_FORK_H

/* Register it all with the system. Returns 0 or -errno. Idempotent; takes the text lock. */
int at_fork_start(void);

#endif
