/*
 * Ordinary branches that are called as C functions are, for processes that may not have executable memory of their own.
 *
 * A gate that got no trampoline asks its key in C, knowing what a Python call looks like. A function pointer cannot:
 * whoever stands in for two C functions must pass on arguments that it knows nothing of, which no C can. So a number of
 * such stubs is assembled into the library, and handed out.
 *
 * Beside trampoline: knows neither keys nor entries. The caller holds the text mutex.
 */
#ifndef JUMPLABEL_PLAIN_BRANCH_H
#define JUMPLABEL_PLAIN_BRANCH_H

#define PLAIN_BRANCHES 256
#define PLAIN_BRANCH_SIZE 32 /* of a stub's code */

#ifndef __ASSEMBLER__
#include <stdatomic.h>

/*
 * The code of a stub that nobody has: called, it goes on to `off` while *enabled is 0, else to `on`, with all arguments
 * as they were. NULL: all are taken.
 */
void *plain_branch_new(const _Atomic int *enabled, void *off, void *on);

/* The caller promises that no thread is in the stub or can still enter it. */
void plain_branch_free(void *code);
#endif

#endif
