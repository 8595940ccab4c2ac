/*
 * Interleavings of patcher, caller and handler, each one forced.
 *
 * Exits with 0, or says which expectation failed and aborts.
 */
#define _GNU_SOURCE
#include "scene.h"

#include <errno.h>
#include <signal.h>

/* ---- current ---- */

static bool now_on;
static int traps_before;

static void call_at_every_step(int number)
{
    traps_before = in_handler;
    /* The old value while the batch may still fail, the new one after that. */
    EXPECT(call(entry) == (now_on == (number > 1) ? on_value : off_value));
    EXPECT(call(other_entry) == off_value);
    EXPECT(in_handler - traps_before == (number <= 3));
}

/* The patcher itself runs into its site at every step, in both directions. Waiting for the end would never end. */
static void current(void)
{
    make_keys();
    step_hook = call_at_every_step;
    now_on = true;
    toggle(key, true);
    expect_traps(3, 0, 0, 0);
    now_on = false;
    toggle(key, false);
    expect_traps(6, 0, 0, 0);
}

static void three_syncs(void)
{
    make_keys();
    syncs_made = 0;
    toggle(key, true);
    EXPECT(syncs_made == 2);
    text_lock();
    text_poke_configure((struct text_poke_settings){POKE_INT3, 3});
    text_unlock();
    toggle(key, false);
    EXPECT(syncs_made == 5);
    EXPECT(call(entry) == off_value);
}

static void call_from_the_patcher(int number)
{
    if (number == 1)
        EXPECT(call(entry) == off_value);
}

/* A trap is handled on the thread's alternate stack where it has one: it may have little left of its own. */
static void alternate_stack(void)
{
    make_keys();
    static char stack[64 * 1024];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
    EXPECT(!sigaltstack(&alternate, NULL));
    step_hook = call_from_the_patcher;
    toggle(key, true);
    EXPECT(stack <= handler_stack && handler_stack < stack + sizeof(stack));
}

/* ---- previous ---- */

/* The trap's batch has ended when the handler looks. */
static void previous(void)
{
    make_keys();
    hold_a_trap_of_the_next_batch();
    toggle(key, true);
    expect_traps(0, 0, 0, 0);
    EXPECT(let_go() == on_value);
    expect_traps(0, 1, 0, 0);
}

/* The next batch, of another key, is being patched when the handler looks. */
static void previous_during_another(void)
{
    make_keys();
    hold_a_trap_of_the_next_batch();
    toggle(key, true);
    step_hook = let_go_in_the_middle;
    toggle(other_key, true);
    EXPECT(result_of_held == on_value);
    expect_traps(0, 1, 0, 0);
}

/* ---- stale ---- */

/* Several batches of the same site have come and gone: the handler goes by the last batch that poked the site. */
static void old_trap_of_a_site_patched_since(void)
{
    make_keys();
    hold_a_trap_of_the_next_batch();
    toggle(key, true);
    toggle(key, false);
    toggle(key, true);
    toggle(key, false);
    EXPECT(let_go() == off_value);
    expect_traps(0, 1, 0, 0);
}

/* Several batches of other sites have come and gone. */
static void stale(void)
{
    make_keys();
    hold_a_trap_of_the_next_batch();
    toggle(key, true);
    toggle(other_key, true);
    toggle(other_key, false);
    EXPECT(let_go() == on_value);
    expect_traps(0, 0, 1, 0);
}

/* Two batches of other sites have ended, and a third is being patched. */
static void stale_during_another(void)
{
    make_keys();
    hold_a_trap_of_the_next_batch();
    toggle(key, true);
    toggle(other_key, true);
    toggle(other_key, false);
    step_hook = let_go_in_the_middle;
    toggle(other_key, true);
    EXPECT(result_of_held == on_value);
    expect_traps(0, 0, 1, 0);
}

/* An old trap whose site is armed again: the answer is the new batch's, not the old one's. */
static void old_trap_of_a_site_armed_again(void)
{
    make_keys();
    hold_a_trap_of_the_next_batch();
    toggle(key, true);
    toggle(other_key, true);
    step_hook = let_go_in_the_middle;
    toggle(key, false);
    EXPECT(result_of_held == off_value);
    expect_traps(1, 0, 0, 0);
}

/* The entry dies while it is being patched: no thread waits, and the slot is not handed out before the batch ends. */
static struct jump_entry *dying;
static const uint8_t *dying_slot;

static void retire_in_the_middle(int number)
{
    if (number == 1)
        jump_entry_retire(dying);
}

static void retired_while_patched(void)
{
    make_keys();
    dying = new_entry(key);
    dying_slot = dying->slot->exec;
    step_hook = retire_in_the_middle;
    toggle(key, true);
    step_hook = NULL;
    EXPECT(dying_slot[1] == 0xe9);
    toggle(key, false);
    EXPECT(dying_slot[0] == 0xcc); /* buried: a thread that entered now would die */
    EXPECT(key->n_entries == 1);
    EXPECT(new_entry(other_key)->slot->exec == dying_slot);
    EXPECT(call(entry) == off_value);
}

/* ---- entries come and go ---- */

#define ENTRIES 5

/* Native ones of one key, half of the time in turn with plain ones: whichever two go, the others still follow it. */
static void entries_that_stay_follow(void)
{
    make_keys();
    for (int i = 0; i < 2 * ENTRIES * ENTRIES; i++) {
        bool mixed = i >= ENTRIES * ENTRIES;
        int gone[] = {i / ENTRIES % ENTRIES, i % ENTRIES};
        struct jump_entry *entries[ENTRIES];
        struct static_key *its = static_key_new("its", 0);
        for (int j = 0; j < ENTRIES; j++) {
            sync_fails_at = mixed && j & 1;
            entries[j] = jump_entry_new(its, "test", __FILE__, TRAMPOLINE_SWITCH,
                                        (struct trampoline_target){identity, off_value},
                                        (struct trampoline_target){identity, on_value});
            EXPECT((jump_entry_site(entries[j]) == SITE_PLAIN) == (mixed && j & 1));
        }
        jump_entry_retire(entries[gone[0]]);
        toggle(its, true); /* buries it */
        if (gone[0] != gone[1])
            jump_entry_retire(entries[gone[1]]);
        for (int on = 0; on < 2; on++) {
            toggle(its, on);
            for (int j = 0; j < ENTRIES; j++) {
                if (j == gone[0] || j == gone[1])
                    continue;
                EXPECT(jump_entry_site(entries[j]) == SITE_PLAIN ? entries[j]->enabled == on
                                                                 : call(entries[j]) == (on ? on_value : off_value));
            }
        }
        EXPECT(its->n_entries == (gone[0] == gone[1] ? ENTRIES - 1 : ENTRIES - 2));
        EXPECT(mixed || its->native.n == its->n_entries);
        for (int j = 0; j < ENTRIES; j++)
            if (j != gone[0] && j != gone[1])
                jump_entry_retire(entries[j]);
        static_key_drop(its);
    }
}

/* ---- failures ---- */

static void expect_site(struct jump_entry *which, const char *bytes, uint32_t displacement)
{
    EXPECT(!memcmp(which->slot->exec, bytes, SITE_SIZE));
    EXPECT((uint32_t)atomic_load(&which->slot->poke) == displacement);
}

/* The sync after the int3s fails: every site, in the code and in the handler's record, and the key are as they were. */
static void first_sync_fails(void)
{
    make_keys();
    struct jump_entry *second = new_entry(key);
    char site[SITE_SIZE];
    memcpy(site, entry->slot->exec, SITE_SIZE);
    for (int on = 0; on < 2; on++) {
        uint32_t displacement = (uint32_t)entry->slot->displacement;
        sync_fails_at = 1;
        EXPECT(static_key_toggle(key, on ? KEY_DISABLE : KEY_ENABLE) == -EIO);
        EXPECT(key->enabled == on && key->count == on);
        expect_site(entry, site, displacement);
        expect_site(second, site, displacement);
        EXPECT(call(entry) == (on ? on_value : off_value));
        EXPECT(call(second) == (on ? on_value : off_value));
        expect_traps(0, 0, 0, 0);
        toggle(key, !on);
        EXPECT(call(entry) == (on ? off_value : on_value));
        memcpy(site, entry->slot->exec, SITE_SIZE);
    }
}

/* A thread has trapped when the batch fails: it is sent back, to the old instruction. */
static void trap_of_a_failed_batch(void)
{
    make_keys();
    hold_a_trap_of_the_next_batch();
    sync_fails_at = 1;
    EXPECT(static_key_toggle(key, KEY_ENABLE) == -EIO);
    EXPECT(let_go() == off_value);
    expect_traps(0, 1, 0, 0);
}

/* The last sync fails: the sites are patched, and say so. */
static void last_sync_fails(void)
{
    make_keys();
    sync_fails_at = 2;
    toggle(key, true);
    EXPECT(call(entry) == on_value);
    EXPECT(entry->slot->exec[1] == 0xe9);
}

/* No trampoline where its first sync fails, and its slot is free again. */
static void new_entry_without_sync(void)
{
    make_keys();
    sync_fails_at = 1;
    struct jump_entry *plain =
        jump_entry_new(key, "test", "interleavings.c", TRAMPOLINE_SWITCH,
                       (struct trampoline_target){identity, off_value}, (struct trampoline_target){identity, on_value});
    EXPECT(plain && !plain->slot && !plain->enabled);
    struct jump_label_info info;
    jump_label_info(&info);
    EXPECT(info.refused == EIO && info.plain_entries == 1 && info.native_entries == 2);
    toggle(key, true);
    EXPECT(plain->enabled);
    EXPECT(new_entry(key)->slot->exec == other_entry->slot->exec + SLOT_SIZE); /* the slot that it did not get */
}

static void expect_override(bool on)
{
    EXPECT(key->enabled == on);
    EXPECT(call(entry) == (on ? on_value : off_value));
}

/* An override that cannot be patched in is not there. If it cannot be patched out, it is gone with the next toggle. */
static void override_fails(void)
{
    make_keys();
    struct key_override *override = NULL;
    sync_fails_at = 1;
    EXPECT(static_key_override(key, 1, &override, NULL) == -EIO && !override);
    expect_override(false);
    EXPECT(static_key_override(key, 1, &override, NULL) == 0 && override);
    expect_override(true);
    sync_fails_at = 1;
    EXPECT(static_key_lift(key, &override, NULL) == -EIO);
    expect_override(true);
    toggle(key, false);
    expect_override(false);
    EXPECT(!key->overrides && key->count == 0);
}

/* ---- entries that come and go ---- */

static void entries_come_and_go(void)
{
    make_keys();
    struct static_key *coming = static_key_new("coming", 1);
    struct jump_entry *entries[4];
    for (int i = 0; i < 4; i++) {
        entries[i] = new_entry(coming);
        EXPECT(entries[i]->enabled && call(entries[i]) == on_value);
    }
    jump_entry_retire(entries[0]);
    jump_entry_retire(entries[2]);
    toggle(coming, false);
    EXPECT(coming->n_entries == 2);
    EXPECT(call(entries[1]) == off_value && call(entries[3]) == off_value);
    static_key_drop(coming); /* its last entries keep it */
    struct jump_table *table = jump_table_read(coming);
    EXPECT(table->n == 2 && !strcmp(table->rows[0].key, "coming"));
    free(table);
    jump_entry_retire(entries[3]);
    toggle(coming, true);
    EXPECT(call(entries[1]) == on_value);
    jump_entry_retire(entries[1]);
    struct jump_label_info info;
    jump_label_info(&info);
    EXPECT(info.keys == 2 && info.native_entries == 2);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(current),
        TEST(three_syncs),
        TEST(previous),
        TEST(previous_during_another),
        TEST(old_trap_of_a_site_patched_since),
        TEST(stale),
        TEST(entries_that_stay_follow),
        TEST(stale_during_another),
        TEST(old_trap_of_a_site_armed_again),
        TEST(retired_while_patched),
        TEST(first_sync_fails),
        TEST(trap_of_a_failed_batch),
        TEST(last_sync_fails),
        TEST(new_entry_without_sync),
        TEST(override_fails),
        TEST(entries_come_and_go),
        TEST(alternate_stack),
        {0},
    };
    /* No thread here blocks SIGTRAP, but to ThreadSanitizer's handlers, which run ours with all signals blocked. */
    text_poke_configure((struct text_poke_settings){POKE_INT3, 2});
    return run_named(tests, argc, argv);
}
