#include "instructions.h"
#include "os.h"
#include "pokes.h"

static void write_word(struct slot *slot, int32_t displacement)
{
    uint8_t insn[SITE_SIZE];
    encode(insn, displacement);
    write_site(slot, insn);
    /* No int3 of this batch exists: a thread that comes late, from an older one's, is sent back to the site. */
    record(slot, trap_record(trap_batch(), displacement));
}

/*
 *  1. sync            tells whether a sync is possible at all
 *  2. every word      a thread runs the old instruction or the new one
 *  3. sync            no thread runs an old one any more
 *
 * No thread can meet an int3, whatever signals it blocks. AMD promises that a whole instruction may be replaced so, in
 * one store into an aligned quadword (AMD64 APM vol. 2, "Cross-Modifying Code", asynchronous modification). Intel does
 * not, and therefore this is the second way. But run-times have relied on it on every processor since they compile
 * (HotSpot, NativeCall::set_destination_mt_safe).
 */
int word_poke(struct text_poke_group *batch)
{
    int error = sync_core();
    if (error)
        return error;
    TEXT_POKE_STEP(1);
    EACH_SLOT(batch)
        write_word(slot, NEXT_DISPLACEMENT);
    TEXT_POKE_STEP(2);
    error = sync_core();
    EACH_SLOT(batch) {
        if (error)
            write_word(slot, slot->displacement); /* the sync was refused since step 1 */
        else
            slot->displacement = NEXT_DISPLACEMENT;
    }
    return error;
}
