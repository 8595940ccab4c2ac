/*
 * A trap at an int3 of ours: where it was, and where the thread goes on.
 *
 * engine/trap_outcome.h decides which; this file knows the machine context that the system gives to a signal handler.
 */
#ifndef JUMPLABEL_X86_64_TRAP_HANDLER_H
#define JUMPLABEL_X86_64_TRAP_HANDLER_H

#include "os.h"

extern const struct os_trap x86_trap;

#endif
