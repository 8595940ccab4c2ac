/*
 * The protocol that rewrites sites under running threads, a whole batch at a time.
 *
 * After Linux arch/x86/kernel/alternative.c (smp_text_poke_batch_finish). Two differences, both because user space
 * cannot turn interrupts off: the handler knows sites older than one batch (int3.h), and the sync between tails and
 * first bytes, which the kernel makes "just in case" and calls unnecessary on Intel's own word, is a setting.
 *
 * The fourth layer: knows slots with a site, not what else is in them. The caller holds the text mutex.
 */
#ifndef JUMPLABEL_TEXT_POKE_H
#define JUMPLABEL_TEXT_POKE_H

#include "int3.h"

#define NOP5 0 /* the displacement that stands for no jump at all */

/*
 * The one mutex of everything that changes code, keys or the arena. After text_init() fork(2) takes it too, so that no
 * child finds it locked, or half a patch. Returns 0 or -errno; idempotent.
 */
int text_init(void);
void text_lock(void);
void text_unlock(void);

/* 2, or 3 for the cautious. */
void text_poke_set_syncs(int syncs);

/* Write a new site at the start of a slot that nobody knows yet; the caller syncs before anybody may run it. */
void text_poke_site(struct slot *slot, int32_t displacement);

/* Have text_poke_finish() put `displacement` at the site; a site is in a batch once. Cannot fail. */
void text_poke_queue(struct slot *slot, int32_t displacement);

/* Patch all that is queued. Returns 0, or -errno with every queued site as it was. The queue is empty either way. */
int text_poke_finish(void);

struct text_poke_counts {
    uint64_t batches, sites;
};
struct text_poke_counts text_poke_counts(void);

#endif
