#include "text_poke.h"
#include "arch_cpu.h"
#include "os.h"
#include "trap_handler.h"

#include <errno.h>
#include <string.h>

/* The tests stop the protocol after a numbered step. */
#ifndef TEXT_POKE_STEP
#define TEXT_POKE_STEP(number)
#endif

#define PREFIX 0x2e /* CS: without effect on both; gcc -mindirect-branch-cs-prefix puts it before such a jmp */
static const uint8_t nop5[SITE_SIZE - 1] = {0x0f, 0x1f, 0x44, 0x00, 0x00};

static enum text_poke_way way = POKE_AUTO;
static int syncs = 2;
static struct text_poke_group *queue;
static struct text_poke_counts counts;

void text_poke_configure(enum text_poke_way new_way, int new_syncs)
{
    way = new_way;
    syncs = new_syncs;
}

int text_poke_start(void) { return way == POKE_WORD ? 0 : os_trap_take(&x86_trap); }

static void encode(uint8_t insn[SITE_SIZE], int32_t displacement)
{
    insn[0] = PREFIX;
    if (displacement == NOP5) {
        memcpy(insn + 1, nop5, sizeof(nop5));
    } else {
        insn[1] = 0xe9; /* jmp rel32 */
        memcpy(insn + 2, &displacement, sizeof(displacement));
    }
}

static void write_first(struct slot *slot, uint8_t byte) { __atomic_store_n(slot->write, byte, __ATOMIC_RELEASE); }

/* A whole site and what follows it in its word, which stays as it is, in one store. */
static void write_site(struct slot *slot, const uint8_t insn[SITE_SIZE])
{
    uint64_t *word = (uint64_t *)(void *)slot->write; /* a slot is SLOT_SIZE aligned */
    union {
        uint64_t word;
        uint8_t bytes[sizeof(uint64_t)];
    } new = {.word = *word};
    memcpy(new.bytes, insn, SITE_SIZE);
    __atomic_store_n(word, new.word, __ATOMIC_RELEASE);
}

/* Behind an int3. Nobody looks, but a thread whose SIGTRAP did not reach us: it finds all of it, or nothing. */
static void write_tail(struct slot *slot, int32_t displacement)
{
    uint8_t insn[SITE_SIZE];
    encode(insn, displacement);
    insn[0] = INT3;
    write_site(slot, insn);
}

/*
 * The handler's record of a site. Release, here and in all that a batch stores: no processor of ours lets another see
 * two stores in the wrong order, and the barriers are in the syncs. One with each store would take as long as all else.
 */
static void record(struct slot *slot, uint64_t poke) { atomic_store_explicit(&slot->poke, poke, memory_order_release); }

void text_poke_site(struct slot *slot, int32_t on, bool enabled)
{
    uint8_t insn[SITE_SIZE];
    slot->on = on;
    slot->displacement = enabled ? on : NOP5;
    encode(insn, slot->displacement);
    memcpy(slot->write, insn, SITE_SIZE);
    record(slot, trap_record(trap_batch(), slot->displacement));
}

void text_poke_queue(struct text_poke_group *group, bool enabled)
{
    group->enabled = enabled;
    group->next = queue;
    queue = group;
}

#define EACH_SLOT(batch)                                                      \
    for (struct text_poke_group *group = (batch); group; group = group->next) \
        for (struct slot **at = group->slots, *slot; at < group->slots + group->n && (slot = *at, true); at++)

/* While `slot` is one of `group`: of the instruction that it is to have. */
#define NEXT_DISPLACEMENT (group->enabled ? slot->on : NOP5)

/*
 *  1. int3 on every first byte                    from here on whoever comes by traps, and is sent on the old way
 *  2. sync                                        nobody is executing an old instruction any more, and nothing can
 *                                                 fail any more: whoever traps is sent on the new way
 *  3. every tail                                  nobody looks at it
 *    (sync, where three are asked for)
 *  4. every first byte                            (site by site with 3, where no sync stands between them)
 *  5. sync                                        nobody sees an int3 any more
 *
 * So a batch that fails was never seen, and when one has succeeded nobody goes the old way who comes by later.
 */
static int poke_batch(struct text_poke_group *batch)
{
    const bool cautious = syncs > 2;
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
     * an int3 is sent back to the site. Whatever refuses the sync refuses the next batch's step 2, where it is told.
     */
    sync_core();
    TEXT_POKE_STEP(5);
    trap_batch_end();
    counts.batches++;
    return 0;
}

static void write_word(struct slot *slot, int32_t displacement)
{
    uint8_t insn[SITE_SIZE];
    encode(insn, displacement);
    write_site(slot, insn);
    /* No int3 of this batch exists: whoever comes late, of an older one, is sent back to the site. */
    record(slot, trap_record(trap_batch(), displacement));
}

/*
 *  1. sync            whether it can be done at all
 *  2. every word      a thread runs the old instruction or the new one
 *  3. sync            nobody runs an old one any more
 *
 * Nobody can meet an int3, whatever signals they block. That a whole instruction may be replaced so, in one store into
 * an aligned quadword, AMD promises (AMD64 APM vol. 2, "Cross-Modifying Code", asynchronous modification). Intel does
 * not, and that is why it is not the only way; but run-times have relied on it on every processor since they compile
 * (HotSpot, NativeCall::set_destination_mt_safe).
 */
static int poke_words(struct text_poke_group *batch)
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
    counts.batches += !error;
    counts.word_batches += !error;
    return error;
}

int text_poke_finish(void)
{
    struct text_poke_group *batch = queue;
    queue = NULL;
    if (!batch)
        return 0;
    int error = arena_shared();
    if (!error)
        error = text_poke_start(); /* somebody may have taken SIGTRAP since */
    if (error)
        return error;
    bool words = way == POKE_WORD || (way == POKE_AUTO && os_trap_blocked());
    error = words ? poke_words(batch) : poke_batch(batch);
    for (struct text_poke_group *group = batch; group && !error; group = group->next)
        counts.sites += group->n;
    return error;
}

int text_poke_bare(const struct text_poke_group *group)
{
    int error = arena_shared();
    if (error)
        return error;
    for (size_t i = 0; i < group->n; i++)
        write_first(group->slots[i], PREFIX);
    error = sync_core();
    for (size_t i = 0; i < group->n; i++) {
        uint64_t *word = (uint64_t *)(void *)group->slots[i]->write;
        __atomic_store_n(word, *word, __ATOMIC_RELEASE);
    }
    for (size_t i = 0; i < group->n; i++)
        write_first(group->slots[i], PREFIX);
    return error ? error : sync_core();
}

struct text_poke_counts text_poke_counts(void) { return counts; }

void text_poke_forked(void) { counts = (struct text_poke_counts){0}; }
