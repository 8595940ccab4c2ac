/*
 * Stubs: ordinary branches with the calling convention of C, for a process that may not have executable memory.
 *
 * A gate without a trampoline asks its key in C: it knows what a Python call looks like. A function pointer that stands
 * for two C functions must pass on arguments that it knows nothing of, and no C can. So a number of stubs is assembled
 * into the library, and handed out.
 *
 * See arch.h for the functions. Knows neither keys nor entries.
 */
#ifndef JUMPLABEL_PLAIN_BRANCH_H
#define JUMPLABEL_PLAIN_BRANCH_H

#define ARCH_PLAIN_BRANCHES 256
#define PLAIN_BRANCH_SIZE 32 /* of a stub's code */

#ifndef __ASSEMBLER__
#include <stdatomic.h>

void *plain_branch_new(const _Atomic int *enabled, void *off, void *on);
void plain_branch_free(void *code);
#endif

#endif
