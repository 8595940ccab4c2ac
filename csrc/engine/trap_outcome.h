/*
 * The permanent SIGTRAP handler.
 *
 * While a batch of sites is patched, their first bytes are int3, and any thread may run into one. A thread may also be
 * descheduled between the trap and the first line of the handler, for any length of time: traps of any age arrive.
 * For a trap at a site the handler therefore decides by the number of the batch that poked the site last:
 *
 *   current    the batch being patched now:  continue where its record says: as the old instruction would while the
 *                                            batch can still fail, and then as the new one would
 *   previous   the batch before:             go back and execute the site again
 *   stale      any older one:                the same
 *   chained    no site of ours:              hand it to whoever held SIGTRAP before
 *
 * A kernel needs no third outcome: it takes #BP with interrupts off, so its traps are at most one batch old.
 *
 * The third layer: knows slots, not how they are patched. The caller holds the text mutex.
 */
#ifndef JUMPLABEL_INT3_H
#define JUMPLABEL_INT3_H

#include "arena.h"

/*
 * A site is a prefix without effect, and behind it nop5 or jmp rel32. Only the prefix ever gives way to an int3. So a
 * thread that goes on behind the int3 (a tracer kept the SIGTRAP to itself, or somebody has just taken the signal, and
 * returned) executes a whole instruction all the same: the one that was, or the one that will be.
 */
#define SITE_SIZE 6

/*
 * slot->poke: the number of the batch that poked the site last, never 0, and the displacement of the instruction that
 * the site stands for. One word, so that the handler reads both of the same batch. Displacement 0 is nop5: a jump to
 * the next instruction, here as in the code.
 */
static inline uint64_t int3_poke(uint32_t batch, int32_t displacement)
{
    return (uint64_t)batch << 32 | (uint32_t)displacement;
}

struct int3_counts {
    uint64_t current, previous, stale, chained;
};

/* Be the process's SIGTRAP handler; called before each batch, as somebody may have taken the signal since. */
int int3_install(void);

/* A batch begins, and gets its number; it ends, and becomes the previous one. */
uint32_t int3_batch_begin(void);
void int3_batch_end(void);

/* The batch now current or, between batches, the last one: for a site that is new. */
uint32_t int3_batch(void);

struct int3_counts int3_counts(void);

/* In the child of a fork. */
void int3_forked(void);

#endif
