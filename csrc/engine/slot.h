/*
 * A slot: one cache line of executable memory, and what the engine and a processor's files know of it.
 *
 * Only types. engine/arena.h hands slots out; arch/<cpu> writes what is in them.
 */
#ifndef JUMPLABEL_SLOT_H
#define JUMPLABEL_SLOT_H

#include "arch_cpu.h"

#include <stdatomic.h>
#include <stdint.h>

struct slot {
    uint8_t *exec;  /* the slot as threads run it, SLOT_SIZE aligned */
    uint8_t *write; /* the same bytes, writable */

    /* The site at the slot's first byte: */
    _Atomic uint64_t poke; /* see trap_outcome.h; 0: the slot holds no site */
    int32_t displacement;  /* of the instruction there now */
    int32_t on;            /* of the one there when it is turned on */

    struct slot *next; /* in the free list */
};

#endif
