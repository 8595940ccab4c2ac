/*
 * Slots and sites: the types that the engine and a processor's files share.
 *
 * A slot is one cache line of executable memory. A site is the instruction at a slot's start: a no-op while it is
 * turned off, a jump while it is turned on. engine/arena.h hands slots out; arch/<cpu> writes what is in them. Only
 * types.
 */
#ifndef JUMPLABEL_SLOT_H
#define JUMPLABEL_SLOT_H

#include "arch_cpu.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NO_JUMP 0 /* the displacement of a no-op; a jump's counts from the end of the site */

struct slot {
    uint8_t *exec;  /* the slot as threads run it, SLOT_SIZE aligned */
    uint8_t *write; /* the same bytes, writable */

    /* The site: */
    _Atomic uint64_t poke; /* see trap_outcome.h; 0: the slot holds no site */
    int32_t displacement;  /* of the instruction there now */
    int32_t on;            /* of the one there when it is turned on */

    struct slot *next; /* in the free list */
};

/* ---- trampolines ---- */

/* What a call does while the site is a no-op. While it is a jump, a call always goes to the `on` target. */
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

/* ---- pokes ---- */

/* Sites that are turned together. An array, as a batch goes over it several times, and may be long. */
struct text_poke_group {
    struct slot **slots;
    size_t n;
    bool enabled; /* where they are turned to, while they are queued */
    struct text_poke_group *next;
};

/* For each `slot` of each `group` of a batch. */
#define EACH_SLOT(batch)                                                      \
    for (struct text_poke_group *group = (batch); group; group = group->next) \
        for (struct slot **at = group->slots, *slot; at < group->slots + group->n && (slot = *at, true); at++)

/* Within EACH_SLOT(): the displacement of the instruction that the site is to have. */
#define NEXT_DISPLACEMENT (group->enabled ? slot->on : NO_JUMP)

enum text_poke_way {
    POKE_AUTO, /* the processor's own way; on x86 int3, but words while a thread blocks SIGTRAP */
    POKE_INT3, /* int3; the caller knows that no thread blocks SIGTRAP, and the engine does not look */
    POKE_WORD, /* whole words: no int3, and no SIGTRAP handler */
};

struct text_poke_settings {
    enum text_poke_way way;
    int syncs; /* in a batch by int3: 2, or 3 for the cautious */
};

#endif
