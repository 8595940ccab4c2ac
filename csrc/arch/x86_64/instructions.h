/*
 * The bytes of a site, and the stores that write them. All hand-encoded instructions of x86-64 are here.
 *
 * Every store is a release: x86 keeps stores in order (TSO), for the writing core and for all that look on. The
 * barriers are in the syncs; one with each store would take as long as all else. A processor that reorders stores
 * cannot take its protocol from here.
 */
#ifndef JUMPLABEL_X86_64_INSTRUCTIONS_H
#define JUMPLABEL_X86_64_INSTRUCTIONS_H

#include "slot.h"
#include "trap_outcome.h"

#include <string.h>

#define PREFIX 0x2e /* CS: without effect on both; gcc -mindirect-branch-cs-prefix puts it before such a jmp */

static inline void encode(uint8_t insn[SITE_SIZE], int32_t displacement)
{
    static const uint8_t nop5[SITE_SIZE - 1] = {0x0f, 0x1f, 0x44, 0x00, 0x00};
    insn[0] = PREFIX;
    if (displacement == NO_JUMP) {
        memcpy(insn + 1, nop5, sizeof(nop5));
    } else {
        insn[1] = 0xe9; /* jmp rel32 */
        memcpy(insn + 2, &displacement, sizeof(displacement));
    }
}

static inline void write_first(struct slot *slot, uint8_t byte)
{
    __atomic_store_n(slot->write, byte, __ATOMIC_RELEASE);
}

/* Write a whole site in one store. What follows it in the same word stays as it is. */
static inline void write_site(struct slot *slot, const uint8_t insn[SITE_SIZE])
{
    uint64_t *word = (uint64_t *)(void *)slot->write; /* a slot is SLOT_SIZE aligned */
    union {
        uint64_t word;
        uint8_t bytes[sizeof(uint64_t)];
    } new = {.word = *word};
    memcpy(new.bytes, insn, SITE_SIZE);
    __atomic_store_n(word, new.word, __ATOMIC_RELEASE);
}

/* The handler's record of a site. */
static inline void record(struct slot *slot, uint64_t poke)
{
    atomic_store_explicit(&slot->poke, poke, memory_order_release);
}

#endif
