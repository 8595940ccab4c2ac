/*
 * The protocols that rewrite sites under running threads, a whole batch at a time: by int3 and, where a thread would
 * die of one, by whole words.
 *
 * After Linux arch/x86/kernel/alternative.c (smp_text_poke_batch_finish). Two differences, both because user space
 * cannot turn interrupts off: the handler knows sites older than one batch (int3.h), and the sync between tails and
 * first bytes, which the kernel makes "just in case" and calls unnecessary on Intel's own word, is a setting.
 *
 * The fourth layer: knows slots with a site, not what else is in them. The caller holds the text mutex.
 */
#ifndef JUMPLABEL_TEXT_POKE_H
#define JUMPLABEL_TEXT_POKE_H

#include "trap_outcome.h"

#include <stdbool.h>
#include <stddef.h>

#define NOP5 0 /* the displacement that stands for no jump at all */

enum text_poke_way {
    POKE_AUTO, /* int3, but words while a thread blocks SIGTRAP (blocked.h) */
    POKE_INT3, /* the caller knows that none does: nobody looks */
    POKE_WORD, /* no int3, and no SIGTRAP handler */
};

/* syncs: 2, or 3 for the cautious, in a batch by int3. Before text_poke_start(). */
void text_poke_configure(enum text_poke_way way, int syncs);

/* Take SIGTRAP, where that is the way. Returns 0 or -errno; idempotent. */
int text_poke_start(void);

/*
 * Write a new site at the start of a slot that nobody knows yet; the caller syncs before anybody may run it. Turned off
 * it is a nop, and turned on a jump by `on`, or a nop for NOP5, too.
 */
void text_poke_site(struct slot *slot, int32_t on, bool enabled);

/* Sites that are turned together. An array, as a batch goes over it several times, and may be long. */
struct text_poke_group {
    struct slot **slots;
    size_t n;
    bool enabled; /* where they are turned to, while they are queued */
    struct text_poke_group *next;
};

/*
 * Have text_poke_finish() turn the group's sites on or off; it stays as it is until then. A site is in a batch once.
 * Cannot fail.
 */
void text_poke_queue(struct text_poke_group *group, bool enabled);

/* Patch all that is queued. Returns 0, or -errno with every queued site as it was. The queue is empty either way. */
int text_poke_finish(void);

/*
 * For benchmarks, what a batch cannot do without: its two syncs, and its stores, of the bytes that stand there. 0 or
 * -errno.
 */
int text_poke_bare(const struct text_poke_group *group);

struct text_poke_counts {
    uint64_t batches, sites;
    uint64_t word_batches; /* of which by words */
};
struct text_poke_counts text_poke_counts(void);

/* In the child of a fork. */
void text_poke_forked(void);

#endif
