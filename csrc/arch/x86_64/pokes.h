/*
 * The two protocols of x86-64 that rewrite a batch of sites under running threads. arch_sites.c chooses.
 *
 * Both return 0, or -errno with every site as it was. The caller holds the text lock.
 */
#ifndef JUMPLABEL_X86_64_POKES_H
#define JUMPLABEL_X86_64_POKES_H

#include "slot.h"

/* int3_poke.c: no thread may block SIGTRAP. `cautious`: a third sync, between tails and first bytes. */
int int3_poke(struct text_poke_group *batch, bool cautious);

/* word_poke.c: shows no thread an int3. */
int word_poke(struct text_poke_group *batch);

/* The tests stop the protocols after a numbered step. */
#ifndef TEXT_POKE_STEP
#define TEXT_POKE_STEP(number)
#endif

#endif
