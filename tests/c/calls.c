/*
 * Static calls: `jmp` to `jmp` at every step of the protocol, one site for several keys, targets near and far.
 *
 * Exits with 0, or says which expectation failed and aborts.
 */
#define _GNU_SOURCE
#include "call_scene.h"

#include <sys/mman.h>

/* ---- one key ---- */

static void *before, *after;

static void call_it_at_every_step(int number)
{
    EXPECT(result() == (number > 1 ? after : before));
    /* The key's other site, in the same batch. */
    EXPECT(call(entry) == ((number > 1 ? after : before) == off_value ? off_value : on_value));
}

static void jump_to_jump(void)
{
    make_own();
    int sequence[] = {0, 1, 2, 1, -1, 3, 3, -1, -1, 0};
    before = off_value;
    for (size_t i = 0; i < sizeof(sequence) / sizeof(sequence[0]); i++) {
        after = sequence[i] < 0 ? off_value : values[sequence[i]];
        step_hook = call_it_at_every_step;
        uint64_t batches = text_poke_counts().batches;
        follow(sequence[i]);
        EXPECT(text_poke_counts().batches - batches == (before != off_value || after != off_value));
        EXPECT(key->enabled == (after != off_value) && key->count == key->enabled);
        step_hook = NULL;
        EXPECT(result() == after);
        before = after;
    }
}

static void by_words(void)
{
    jump_label_configure((struct jump_label_settings){.native = 1, .syncs = 2, .poke = POKE_WORD});
    make_own();
    for (int value = 0; value < 4; value++) {
        follow(value);
        EXPECT(result() == values[value]);
    }
    follow(-1);
    EXPECT(result() == off_value && in_handler == 0);
    EXPECT(text_poke_counts().word_batches == 5);
}

static void *call_site_and_be_held(void *unused)
{
    (void)unused;
    held_at_door = true;
    return result();
}

static void send_to_door(int number)
{
    if (number != 1)
        return;
    step_hook = NULL;
    pthread_create(&held, NULL, call_site_and_be_held, NULL);
    while (!__atomic_load_n(&door_reached, __ATOMIC_SEQ_CST))
        sched_yield();
}

/* Its trap is of an update before the last one: it goes where the site leads now. */
static void old_trap(void)
{
    make_own();
    follow(0);
    step_hook = send_to_door;
    follow(1);
    follow(2);
    toggle(other_key, true);
    toggle(other_key, false);
    EXPECT(let_go() == values[2]);
    expect_traps(0, 0, 1, 0);
}

static void let_site_go_in_the_middle(int number)
{
    if (number == 2)
        result_of_held = let_go();
}

/* Its trap is of the batch before, and the site is being led elsewhere: it goes there. */
static void old_trap_of_a_call_updated_again(void)
{
    make_own();
    follow(0);
    step_hook = send_to_door;
    follow(1);
    step_hook = let_site_go_in_the_middle;
    follow(2);
    EXPECT(result_of_held == values[2]);
    expect_traps(1, 0, 0, 0);
}

static void a_failed_update_changes_nothing(void)
{
    make_own();
    follow(0);
    for (int value = -1; value < 2; value++) {
        sync_fails_at = 1;
        EXPECT(lead_to(1, value, true) == -EIO);
        EXPECT(result() == values[0] && key->enabled && call(entry) == on_value);
        EXPECT(static_call_find(site, 1)->to.argument == values[0] && atomic_load(&site->targets->next) == NULL);
        toggle(key, false);
        EXPECT(result() == off_value);
        toggle(key, true);
        EXPECT(result() == values[0]);
    }
    follow(-1);
    sync_fails_at = 1;
    EXPECT(lead_to(1, 2, true) == -EIO);
    EXPECT(result() == off_value && !key->enabled && !static_call_find(site, 1));
}

static void conditional(void)
{
    make_own();
    struct call_target *left;
    struct call_update update = {.state = 1, .to = to(0), .conditional = true, .expected = values[1], .follows = true};
    EXPECT(static_call_update(site, &update, &left, NULL) == CALL_CHANGED && !left && result() == off_value);
    update.expected = NULL;
    EXPECT(!static_call_update(site, &update, &left, NULL) && !left && result() == values[0]);
    EXPECT(static_call_update(site, &update, &left, NULL) == CALL_CHANGED && !left);
    update.expected = values[0];
    update.to = to(1);
    EXPECT(!static_call_update(site, &update, &left, NULL) && left->to.argument == values[0] && result() == values[1]);
    call_target_retire(left);
    update.expected = values[1];
    update.to.entry = NULL;
    EXPECT(!static_call_update(site, &update, &left, NULL) && left->to.argument == values[1] && result() == off_value);
    call_target_retire(left);
}

/* ---- several keys ---- */

static void apply(enum key_operation operation)
{
    struct key_step steps[] = {{key, operation}, {other_key, operation}};
    size_t failed;
    EXPECT(!static_key_apply(steps, 2, &failed, NULL));
}

static void all_or_none_of_a_batch(int number) { EXPECT(result() == (number > 1 ? after : before)); }

static void one_site_for_two_keys(void)
{
    make_keys();
    make_call((struct static_key *[]){key, other_key}, 2);
    for (int state = 0; state < 4; state++)
        lead((uint64_t)state, state);
    lead(1, 0);
    lead(1, -1);
    lead(1, 1);
    lead(2, 0); /* in the middle of the list */
    lead(2, 2);
    EXPECT(result() == values[0]);
    struct text_poke_counts counts = text_poke_counts();
    before = values[0];
    after = values[3];
    step_hook = all_or_none_of_a_batch;
    apply(KEY_ENABLE);
    before = values[3];
    after = values[0];
    apply(KEY_DISABLE);
    step_hook = NULL;
    EXPECT(text_poke_counts().batches == counts.batches + 2);
    EXPECT(text_poke_counts().sites == counts.sites + 2 * 3); /* and the site that each key has of its own */
    toggle(key, true);
    EXPECT(result() == values[1] && site->state == 1);
    toggle(other_key, true);
    EXPECT(result() == values[3]);
    toggle(key, false);
    EXPECT(result() == values[2]);
    sync_fails_at = 1;
    EXPECT(static_key_toggle(key, KEY_ENABLE) == -EIO && result() == values[2] && site->state == 2);
    lead(2, -1);
    EXPECT(result() == off_value);
    toggle(key, true);
    EXPECT(result() == values[3]);
}

/* What is said of another state than the present one is patched when that comes. */
static void no_patch_for_another_state(void)
{
    make_own();
    uint64_t batches = text_poke_counts().batches;
    lead(1, 0);
    lead(1, 1);
    EXPECT(text_poke_counts().batches == batches && result() == off_value);
    toggle(key, true);
    EXPECT(result() == values[1]);
    toggle(key, false);
    EXPECT(result() == off_value);
}

static void plain(void)
{
    jump_label_configure((struct jump_label_settings){.native = 0, .syncs = 2});
    key = static_key_new("key", 1);
    make_call(&key, 1);
    EXPECT(!site->slot && !site->current && site->state == 1);
    lead(1, 0);
    EXPECT(site->current->to.argument == values[0] && !site->current->slot);
    lead(0, 1);
    toggle(key, false);
    EXPECT(site->current->to.argument == values[1]);
    static_call_retire(site);
    static_key_drop(key);
}

/* ---- memory ---- */

static void *far;
static int far_maps;
void *__real_mmap(void *, size_t, int, int, int, off_t);

void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (far && protection == PROT_NONE)
        return MAP_FAILED;
    if (far && protection & PROT_EXEC) {
        address = (char *)far + ((size_t)far_maps++ << 33);
        flags |= MAP_FIXED_NOREPLACE;
    }
    return __real_mmap(address, size, protection, flags, fd, offset);
}

#define SLOTS_OF_THE_FIRST_REGION 1024

static struct slot *fill_the_first_region(void)
{
    int error;
    struct slot *slot = NULL;
    text_lock();
    uint64_t size = arena_size();
    for (int i = 0; i < SLOTS_OF_THE_FIRST_REGION && arena_size() == size; i++)
        slot = arena_alloc(&error);
    text_unlock();
    EXPECT(slot && arena_size() > size);
    return slot;
}

static void a_target_out_of_reach(void)
{
    far = (void *)(UINT64_C(1) << 44);
    make_own();
    follow(0);
    struct slot *there = fill_the_first_region();
    EXPECT(there->exec - site->slot->exec > INT32_MAX);
    EXPECT(lead_to(1, 1, true) == -ENOMEM);
    EXPECT(result() == values[0] && static_call_find(site, 1)->to.argument == values[0]);
}

static void every_slot_is_within_reach(void)
{
    make_own();
    const uint8_t *first = site->slot->exec;
    int error;
    text_lock();
    for (int i = 0; i < 64 * SLOTS_OF_THE_FIRST_REGION; i++) {
        ptrdiff_t distance = arena_alloc(&error)->exec - first;
        EXPECT(!error && -SLOT_SIZE < distance && distance < 256 * 1024 * 1024);
    }
    text_unlock();
    follow(1);
    EXPECT(result() == values[1]);
}

static void what_is_retired_is_used_again(void)
{
    make_keys();
    uint64_t size = arena_size();
    for (int i = 0; i < 3 * SLOTS_OF_THE_FIRST_REGION; i++) {
        make_call((struct static_key *[]){key, other_key}, 2);
        for (int value = 0; value < 4; value++)
            lead(value & 2, value);
        static_call_retire(site);
    }
    struct jump_label_info info;
    jump_label_info(&info);
    EXPECT(info.native_entries == 2 && arena_size() == size);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(jump_to_jump),
        TEST(by_words),
        TEST(old_trap),
        TEST(old_trap_of_a_call_updated_again),
        TEST(a_failed_update_changes_nothing),
        TEST(conditional),
        TEST(one_site_for_two_keys),
        TEST(no_patch_for_another_state),
        TEST(plain),
        TEST(a_target_out_of_reach),
        TEST(every_slot_is_within_reach),
        TEST(what_is_retired_is_used_again),
        {0},
    };
    text_lock();
    text_poke_configure((struct text_poke_settings){POKE_INT3, 2}); /* the thread in the handler may block SIGTRAP */
    text_unlock();
    return run_named(tests, argc, argv);
}
