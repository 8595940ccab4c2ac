#include "instructions.h"
#include "os.h"
#include "pokes.h"

/* Behind an int3. Only a thread whose SIGTRAP did not reach our handler looks there: it finds all of it, or nothing. */
static inline void write_tail(struct slot *slot, int32_t displacement)
{
    uint8_t insn[SITE_SIZE];
    encode(insn, displacement);
    insn[0] = INT3;
    write_site(slot, insn);
}

/*
 * After Linux arch/x86/kernel/alternative.c (smp_text_poke_batch_finish):
 *
 *  1. int3 on every first byte                    from here on a thread that comes by traps, and is sent on the old way
 *  2. sync                                        no thread executes an old instruction any more, and nothing can fail
 *                                                 any more: a thread that traps is sent on the new way
 *  3. every tail                                  behind an int3, where no thread looks
 *    (sync, where three are asked for)
 *  4. every first byte                            (site by site with 3, where no sync stands between them)
 *  5. sync                                        no thread sees an int3 any more
 *
 * So no thread ever sees a batch that fails. When one has succeeded, every thread that comes by later goes the new way.
 *
 * Two differences to Linux, both because user space cannot turn interrupts off: the handler knows sites older than one
 * batch (trap_outcome.h), and the sync between tails and first bytes, which the kernel makes "just in case" and calls
 * unnecessary on Intel's own word, is a setting.
 */
int int3_poke(struct text_poke_group *batch, bool cautious)
{
    uint32_t number = trap_batch_begin();
    int error;

    EACH_SLOT(batch) {
        record(slot, trap_record(number, slot->displacement));
        write_first(slot, INT3);
    }
    TEXT_POKE_STEP(1);

    error = sync_core();
    if (error) {
        /* No tail was touched: with its first byte back every site is the old instruction, whatever a core saw. */
        EACH_SLOT(batch)
            write_first(slot, PREFIX);
        trap_batch_end();
        return error;
    }
    EACH_SLOT(batch)
        record(slot, trap_record(number, NEXT_DISPLACEMENT));
    TEXT_POKE_STEP(2);

    if (cautious) {
        EACH_SLOT(batch)
            write_tail(slot, NEXT_DISPLACEMENT);
        TEXT_POKE_STEP(3);
        sync_core(); /* as below: what comes after it is sound without it */
    }
    EACH_SLOT(batch) {
        if (!cautious) {
            write_tail(slot, NEXT_DISPLACEMENT);
            TEXT_POKE_STEP(3);
        }
        write_first(slot, PREFIX);
        slot->displacement = NEXT_DISPLACEMENT;
    }
    TEXT_POKE_STEP(4);

    /*
     * An error here is not a failed patch: no core can meet an old instruction since step 2, and one that still sees
     * an int3 is sent back to the site. What refuses this sync also refuses step 2 of the next batch, which reports it.
     */
    sync_core();
    TEXT_POKE_STEP(5);
    trap_batch_end();
    return 0;
}
