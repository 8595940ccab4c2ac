/*
 * Sites that are patched by whole words, because a thread would die of an int3. Exits with 0, or says which expectation
 * failed and aborts.
 */
#define _GNU_SOURCE
#include "blocking_thread.h"
#include "site_watch.h"

static uint64_t word_batches(void) { return text_poke_counts().word_batches; }

/* ---- patching ---- */

static void *expected[3]; /* behind each step */
static int steps;

static void call_everywhere(int number)
{
    EXPECT(call(entry) == expected[number]);
    EXPECT(call_elsewhere() == expected[number]);
    steps++;
}

/* It meets the site between any two steps, and no thread ever meets an int3. */
static void a_thread_blocks_sigtrap(void)
{
    make_keys();
    thread_that_blocks(0);
    step_hook = call_everywhere;
    for (int on = 1; on >= 0; on--) {
        expected[1] = on ? off_value : on_value;
        expected[2] = on ? on_value : off_value;
        toggle(key, on);
        EXPECT(call_elsewhere() == expected[2]);
    }
    EXPECT(steps == 4 && in_handler == 0 && word_batches() == 2);
}

static void call_while_on(int number)
{
    if (number == 1)
        EXPECT(call(entry) == on_value);
}

/* All of the slot but the site stays, and later batches by int3 find all in order. */
static void the_rest_of_the_slot_stays(void)
{
    make_keys();
    uint8_t before[SLOT_SIZE];
    memcpy(before, entry->slot->exec, SLOT_SIZE);
    pthread_t thread = thread_that_blocks(SIGTRAP);
    toggle(key, true);
    EXPECT(entry->slot->exec[1] == 0xe9 && word_batches() == 1);
    EXPECT(!memcmp(before + SITE_SIZE, entry->slot->exec + SITE_SIZE, SLOT_SIZE - SITE_SIZE));
    EXPECT((int32_t)atomic_load(&entry->slot->poke) == entry->slot->displacement);
    end(thread);
    step_hook = call_while_on;
    toggle(key, false);
    step_hook = NULL;
    EXPECT(!memcmp(before, entry->slot->exec, SLOT_SIZE) && word_batches() == 1);
    toggle(key, true);
    EXPECT(call(entry) == on_value && word_batches() == 1);
}

/* A trap by int3 is still on its way when the site is patched by words. */
static void an_old_trap(void)
{
    make_keys();
    hold_a_trap_of_the_next_batch();
    toggle(key, true);
    thread_that_blocks(0);
    toggle(key, false);
    EXPECT(word_batches() == 1);
    EXPECT(let_go() == off_value);
    expect_traps(0, 1, 0, 0);
}

static void an_old_trap_within_the_batch(void)
{
    make_keys();
    hold_a_trap_of_the_next_batch();
    toggle(key, true);
    thread_that_blocks(0);
    step_hook = let_go_in_the_middle;
    toggle(key, false);
    EXPECT(result_of_held == off_value);
    expect_traps(0, 1, 0, 0);
}

/* Whichever sync fails, all sites and the key are as they were, for callers and in the handler's record. */
static void a_sync_fails(void)
{
    make_keys();
    struct jump_entry *second = new_entry(key);
    uint8_t before[SLOT_SIZE];
    memcpy(before, second->slot->exec, SLOT_SIZE);
    thread_that_blocks(0);
    for (int which = 1; which <= 2; which++) {
        sync_fails_at = which;
        EXPECT(static_key_toggle(key, KEY_ENABLE) == -EIO);
        EXPECT(!key->enabled && !key->count);
        EXPECT(!memcmp(before, second->slot->exec, SLOT_SIZE));
        EXPECT((uint32_t)atomic_load(&second->slot->poke) == NO_JUMP);
        EXPECT(call(entry) == off_value && call(second) == off_value && call_elsewhere() == off_value);
    }
    EXPECT(text_poke_counts().batches == 0 && text_poke_counts().sites == 0);
    toggle(key, true);
    EXPECT(call(entry) == on_value && call(second) == on_value && call_elsewhere() == on_value);
}

static int watched_enough;
static uint64_t seen[8];
static size_t n_seen;

static void *watch(void *site)
{
    n_seen = site_watch(site, &watched_enough, seen, 8);
    return NULL;
}

/* No other core ever sees anything between the two. */
static void two_states(void)
{
    make_keys();
    thread_that_blocks(0);
    pthread_t watcher;
    EXPECT(!pthread_create(&watcher, NULL, watch, (void *)entry->slot->exec));
    for (int i = 0; i < 20000; i++)
        toggle(key, !key->enabled);
    __atomic_store_n(&watched_enough, 1, __ATOMIC_SEQ_CST);
    pthread_join(watcher, NULL);
    EXPECT(n_seen == 2 && word_batches() == 20000);
}

static void configure(enum text_poke_way way)
{
    jump_label_configure((struct jump_label_settings){.native = 1, .syncs = 2, .poke = way});
}

/* By words only, SIGTRAP is not taken. */
static void words_only(void)
{
    configure(POKE_WORD);
    make_keys();
    toggle(key, true);
    EXPECT(call(entry) == on_value && word_batches() == 1);
    struct sigaction action;
    EXPECT(!sigaction(SIGTRAP, NULL, &action) && action.sa_handler == SIG_DFL);
}

/* By int3 only, the engine does not look. */
static void int3_only(void)
{
    configure(POKE_INT3);
    make_keys();
    thread_that_blocks(0);
    toggle(key, true);
    EXPECT(call_elsewhere() == on_value && word_batches() == 0);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(a_thread_blocks_sigtrap),
        TEST(the_rest_of_the_slot_stays),
        TEST(an_old_trap),
        TEST(an_old_trap_within_the_batch),
        TEST(a_sync_fails),
        TEST(two_states),
        TEST(words_only),
        TEST(int3_only),
        {0},
    };
    return run_named(tests, argc, argv);
}
