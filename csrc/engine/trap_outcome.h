/*
 * What happens on a trap.
 *
 * While an architecture patches a batch of sites by traps (x86: int3), any thread may run into one. A thread may also
 * be descheduled between its trap and the first line of the handler, for any length of time: traps of any age arrive.
 * So the outcome depends on the number of the batch that poked the site last:
 *
 *   current    the batch being patched now:  go on where the site's record says: as the old instruction would while the
 *                                            batch can still fail, and then as the new one would
 *   previous   the batch before:             go back and execute the site again
 *   stale      any older one:                the same
 *   chained    no site of ours:              pass the trap to the handler that held the signal before
 *
 * A kernel needs no third outcome: it takes its traps with interrupts off, so they are at most one batch old.
 *
 * This file decides. arch/<cpu> reads the place of the trap from the machine context and sets where the thread goes on;
 * os/<system> holds the signal and passes on what is chained. Knows slots, and nothing of instructions.
 */
#ifndef JUMPLABEL_TRAP_OUTCOME_H
#define JUMPLABEL_TRAP_OUTCOME_H

#include "arena.h"

/*
 * slot->poke: the number of the batch that poked the site last, never 0, and the displacement of the instruction that
 * the site stands for. One word, so that the handler reads both of the same batch.
 */
static inline uint64_t trap_record(uint32_t batch, int32_t displacement)
{
    return (uint64_t)batch << 32 | (uint32_t)displacement;
}

enum trap_outcome { TRAP_CHAINED, TRAP_CURRENT, TRAP_PREVIOUS, TRAP_STALE };

/*
 * The outcome of a trap at the site of this slot; NULL: at no site. Sets *displacement for TRAP_CURRENT: the thread
 * goes on that far behind the site. Counts the outcome. Async-signal-safe, lock-free.
 */
enum trap_outcome trap_outcome(const struct slot *slot, int32_t *displacement);

/* A batch begins, and gets its number; it ends, and becomes the previous one. The caller holds the text lock. */
uint32_t trap_batch_begin(void);
void trap_batch_end(void);

/* The number of the current batch or, between batches, of the last one: for the record of a new site. */
uint32_t trap_batch(void);

struct trap_counts {
    uint64_t current, previous, stale, chained;
};
struct trap_counts trap_counts(void);

/* In the child of a fork. */
void trap_outcome_forked(void);

#endif
