/*
 * Batches: sites are queued, and then rewritten under running threads, all together or none.
 *
 * The protocol that does it is the processor's (arch.h; x86_64: int3_poke.c and word_poke.c). Here is what precedes it
 * on every processor: whether this process may patch at all, and the count of what was patched.
 *
 * Above the arena, below static calls. Knows slots with a site, not what else is in them. The caller holds the text
 * lock.
 */
#ifndef JUMPLABEL_TEXT_POKE_H
#define JUMPLABEL_TEXT_POKE_H

#include "slot.h"

void text_poke_configure(struct text_poke_settings settings);

/* Take what a batch needs of the process, see arch.h. Returns 0 or -errno; idempotent. */
int text_poke_start(void);

/*
 * Have text_poke_finish() turn the group's sites on or off; the group stays as it is until then. A site is in a batch
 * once. Cannot fail.
 */
void text_poke_queue(struct text_poke_group *group, bool enabled);

/* Patch all that is queued. Returns 0, or -errno with every queued site as it was. The queue is empty either way. */
int text_poke_finish(void);

/* For benchmarks, see arch.h. 0 or -errno. */
int text_poke_bare(const struct text_poke_group *group);

struct text_poke_counts {
    uint64_t batches, sites;
    uint64_t word_batches; /* of which by words */
};
struct text_poke_counts text_poke_counts(void);

/* In the child of a fork. */
void text_poke_forked(void);

#endif
