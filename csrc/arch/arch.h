/*
 * What the engine asks of a processor, whichever it is.
 *
 * A folder beside this file answers for one processor. It has the header arch_cpu.h, with the processor's numbers,
 * arch_serialize() and arch_flush(), and defines arch_sites. `generic` answers for all other processors: it has no
 * native sites. Everything that depends on instructions is behind this seam: their bytes, the machine context of a
 * trap, the maintenance of instruction caches, the reach of a jump, the order in which other cores see stores, and with
 * all that the protocol of a batch. An architecture that may replace an aligned word under running cores stores words,
 * and takes no signal; x86 needs int3, and a handler of its traps.
 *
 * The caller of every function holds the text lock.
 */
#ifndef JUMPLABEL_ARCH_H
#define JUMPLABEL_ARCH_H

#include "slot.h"

struct arch_sites {
    /* ---- code in a slot that no thread can enter yet; the engine synchronizes cores before one can ---- */

    /*
     * Write a trampoline: its site in this state, and the code that follows. Sets slot->on, slot->displacement and
     * slot->poke.
     */
    void (*write_trampoline)(struct slot *slot, enum trampoline_kind kind, struct trampoline_target off,
                             struct trampoline_target on, bool enabled);

    /* Write code that goes to a target, for a site of another slot to lead to; no site itself. */
    void (*write_target)(struct slot *slot, struct trampoline_target target);

    /* Change the off argument of a TRAMPOLINE_SWITCH. */
    void (*set_off_argument)(struct slot *slot, void *argument);

    /* ---- sites under running threads ---- */

    /*
     * Take what a batch in this way needs of the process, such as the signal of a trap. Called before each batch, as
     * another library may have taken it since. Returns 0 or -errno.
     */
    int (*start_poke)(enum text_poke_way way);

    /*
     * Turn every site of the batch to its group's state. When this returns 0, every thread that comes by later executes
     * the new instruction; *by_words tells whether it was done without traps. Otherwise it returns -errno, and every
     * site is and was as before.
     */
    int (*poke)(struct text_poke_group *batch, const struct text_poke_settings *settings, bool *by_words);

    /*
     * For benchmarks: what a batch cannot do without, its synchronizations, and its stores, of the bytes that stand
     * there. 0 or -errno.
     */
    int (*poke_bare)(const struct text_poke_group *group);

    /* ---- branches without executable memory of the process's own ---- */

    /*
     * The code of a stub that is free, of ARCH_PLAIN_BRANCHES in all: called, it goes on to `off` while *enabled is 0,
     * else to `on`, with every argument as it was. NULL: all are taken. To free it the caller promises that no thread
     * is in the stub or can still enter it.
     */
    void *(*plain_branch_new)(const _Atomic int *enabled, void *off, void *on);
    void (*plain_branch_free)(void *code);
};

/* NULL: this processor has no native sites. */
extern const struct arch_sites *const arch_sites;

#endif
