/*
 * Trampolines: a slot whose site decides where a call goes.
 *
 * The code is written in trampoline_x86_64.S and copied. Called with any arguments in the System V x86-64 convention,
 * a trampoline passes all of them on but the first, which it replaces by the target's own (a TRAMPOLINE_BRANCH: all).
 *
 * The fifth layer, and the last that a C program without Python needs below its keys (jump_label.h).
 */
#ifndef JUMPLABEL_TRAMPOLINE_H
#define JUMPLABEL_TRAMPOLINE_H

#include "os.h"
#include "text_poke.h"

#include <stdbool.h>

/* What a call does while the site is a nop; while it is a jump, it always goes to the `on` target. */
enum trampoline_kind {
    TRAMPOLINE_CONSTANT,  /* returns off.argument */
    TRAMPOLINE_COUNTED32, /* the same, a pointer to a 32-bit count that it increments unless negative */
    TRAMPOLINE_COUNTED64, /* the same, a pointer to a 64-bit count that it increments */
    TRAMPOLINE_SWITCH,    /* goes to the `off` target */
    TRAMPOLINE_BRANCH,    /* the same, and either way every register is as the caller left it: no arguments of ours */
};

struct trampoline_target {
    void *entry;
    void *argument; /* the first one the entry gets */
};

/*
 * Ready the process for trampolines: sync_core, an arena, the handler. Returns 0, or -errno with *what set to the
 * name of what was refused, and neither signal nor handler taken. Idempotent; after a refusal the next call tries
 * again.
 */
int trampolines_start(enum sync_method method, const char **what);
bool trampolines_started(void);

/* A trampoline ready to be called at slot->exec, or NULL with *error set to -errno. */
struct slot *trampoline_new(enum trampoline_kind kind, struct trampoline_target off, struct trampoline_target on,
                            bool enabled, int *error);

/*
 * Code that goes to a target, for a site of another trampoline to lead to; no site itself. Nobody may enter it before
 * the next sync, which comes first in every batch. NULL with *error set to -errno.
 */
struct slot *trampoline_target_new(struct trampoline_target target, int *error);

/* Of a trampoline of kind TRAMPOLINE_SWITCH that nobody calls yet. */
void trampoline_set_off_argument(struct slot *slot, void *argument);

/* See arena_free() for what the caller promises. */
void trampoline_free(struct slot *slot);

#endif
