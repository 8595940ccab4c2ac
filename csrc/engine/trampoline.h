/*
 * Trampolines: a slot whose site decides where a call goes.
 *
 * Called with any arguments, in the convention of the processor's C, a trampoline passes all of them on but the first,
 * which it replaces by the target's own (a TRAMPOLINE_BRANCH: all). The code is the processor's (arch.h).
 *
 * Above the arena, below static calls and entries. The caller holds the text lock, and native_sites_start() has
 * succeeded.
 */
#ifndef JUMPLABEL_TRAMPOLINE_H
#define JUMPLABEL_TRAMPOLINE_H

#include "slot.h"

/* A trampoline ready to be called at slot->exec, or NULL with *error set to -errno. */
struct slot *trampoline_new(enum trampoline_kind kind, struct trampoline_target off, struct trampoline_target on,
                            bool enabled, int *error);

/*
 * Code that goes to a target, for a site of another trampoline to lead to; no site itself. No thread may enter it
 * before the next sync, which comes first in every batch. NULL with *error set to -errno.
 */
struct slot *trampoline_target_new(struct trampoline_target target, int *error);

/* Change the off argument of a TRAMPOLINE_SWITCH that no thread calls yet. */
void trampoline_set_off_argument(struct slot *slot, void *argument);

/* See arena_free() for what the caller promises. */
void trampoline_free(struct slot *slot);

#endif
