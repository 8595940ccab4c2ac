#include "trap_outcome.h"

#include <stdbool.h>

/* The tests begin close to the largest number. */
#ifndef TRAP_FIRST_BATCH
#define TRAP_FIRST_BATCH 1u
#endif

#define ACTIVE 1u

static _Atomic uint64_t batch = (uint64_t)TRAP_FIRST_BATCH << 1; /* its number << 1, and ACTIVE while it is patched */
static struct {
    _Atomic uint64_t current, previous, stale, chained;
} counts;

/* Not 0, which is no batch. After 2^32 batches an old site may pass for a current one: with its own instruction. */
static uint32_t following(uint32_t number) { return number + 1 ? number + 1 : 1; }

static enum trap_outcome counted(_Atomic uint64_t *counter, enum trap_outcome outcome)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
    return outcome;
}

enum trap_outcome trap_outcome(const struct slot *slot, int32_t *displacement)
{
    /* In this order: a batch that ends or begins between the two loads makes the trap look older, never younger. */
    uint64_t now = atomic_load(&batch);
    uint64_t poke = slot ? atomic_load(&slot->poke) : 0;
    uint32_t number = (uint32_t)(now >> 1), poked = (uint32_t)(poke >> 32);
    bool active = now & ACTIVE;

    if (!poke)
        return counted(&counts.chained, TRAP_CHAINED);
    if (active && poked == number) {
        *displacement = (int32_t)poke;
        return counted(&counts.current, TRAP_CURRENT);
    }
    if ((active ? following(poked) : poked) == number)
        return counted(&counts.previous, TRAP_PREVIOUS);
    return counted(&counts.stale, TRAP_STALE);
}

uint32_t trap_batch_begin(void)
{
    uint32_t number = following(trap_batch());
    atomic_store(&batch, (uint64_t)number << 1 | ACTIVE);
    return number;
}

void trap_batch_end(void) { atomic_fetch_and(&batch, ~(uint64_t)ACTIVE); }

uint32_t trap_batch(void) { return (uint32_t)(atomic_load(&batch) >> 1); }

struct trap_counts trap_counts(void)
{
    return (struct trap_counts){counts.current, counts.previous, counts.stale, counts.chained};
}

void trap_outcome_forked(void) { counts.current = counts.previous = counts.stale = counts.chained = 0; }
