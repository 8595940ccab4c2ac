/*
 * The engine on a processor or a system that it does not know. Built with csrc/arch/generic, csrc/os/generic, or both.
 *
 * There are no native sites. Every request for one is answered with the reason, every entry is a plain branch, and
 * keys, sites in bytecode, static calls, overrides and lingering work. Exits with 0, or says which expectation failed
 * and aborts.
 */
#include "expect.h"
#include "arch.h"
#include "jump_label.h"

#include <errno.h>
#include <sys/wait.h>
#include <time.h>

/* The processor's refusal comes before the system's. */
static int refusal(void) { return arch_sites ? -ENOTSUP : -ENOSYS; }

static const char *refused_what(void) { return arch_sites ? "core synchronization" : "native sites on this processor"; }

static struct static_key *key;

static void make_key(void) { EXPECT((key = static_key_new("key", 0))); }

static void toggle(bool on) { EXPECT(static_key_toggle(key, on ? KEY_ENABLE : KEY_DISABLE) == 0); }

static void *identity(void *argument) { return argument; }

static struct jump_entry *make_gate(struct static_key *of)
{
    struct trampoline_target off = {(void *)identity, "off"}, on = {(void *)identity, "on"};
    struct jump_entry *entry = jump_entry_new(of, "gate", "owner", TRAMPOLINE_SWITCH, off, on);
    EXPECT(entry);
    return entry;
}

/* ---- refusals ---- */

static void expect_refusal(void)
{
    struct jump_label_info info;
    jump_label_info(&info);
    EXPECT(!info.native && info.method == SYNC_NONE && !info.native_entries && !info.arena_bytes && !info.batches);
    EXPECT(info.refused == -refusal() && !strcmp(info.refusal, refused_what()));
}

static void every_request_is_answered_with_the_reason(void)
{
    make_key();
    EXPECT(jump_label_start() == refusal());
    expect_refusal();
    EXPECT(jump_label_sync(1) == refusal());
    EXPECT(jump_label_bare_toggles(key, 1) == refusal());
    make_gate(key);
    expect_refusal();
}

static void switched_off_by_the_settings(void)
{
    struct jump_label_info info;
    jump_label_configure((struct jump_label_settings){.native = 0, .syncs = 2});
    EXPECT(jump_label_start() == -ECANCELED);
    jump_label_info(&info);
    EXPECT(info.refused == ECANCELED);
}

static void a_function_pointer_needs_a_stub(void)
{
    int error;
    make_key();
    struct jump_entry *entry = jump_entry_new_branch(key, "owner", (void *)identity, (void *)abort, &error);
    if (!arch_sites) {
        EXPECT(!entry && error == -ENOSYS && key->n_entries == 0);
        return;
    }
    EXPECT(entry && jump_entry_site(entry) == SITE_PLAIN);
    EXPECT(((void *(*)(void *))jump_entry_function(entry))(key) == key);
}

#ifdef GENERIC_OS
static void the_system_refuses(void)
{
    struct os_mapping mapping = {(uint8_t *)1, (uint8_t *)1};
    EXPECT(os_map_twice(&mapping, SLOT_SIZE, NULL) == -ENOTSUP && !mapping.exec && !mapping.write);
    os_unmap_twice(&mapping, SLOT_SIZE);
    EXPECT(!os_move_mapping(&mapping, &mapping, SLOT_SIZE) && !os_reserve(SLOT_SIZE));
    EXPECT(sync_core_start(SYNC_NONE) == -ENOTSUP && sync_core() == -ENOTSUP);
    sync_core_stop();
    EXPECT(sync_core_method() == SYNC_NONE && !sync_core_count());
    EXPECT(os_trap_take(NULL) == -ENOTSUP && os_trap_blocked() && !os_threads_asked());
    os_unblock_signals();
    os_watch_forks();
    EXPECT(!os_forked_untold());
}
#endif

/* ---- what works ---- */

static void a_gate_is_a_plain_branch(void)
{
    make_key();
    struct jump_entry *entry = make_gate(key);
    EXPECT(jump_entry_site(entry) == SITE_PLAIN && !entry->slot && !entry->enabled);
    EXPECT(jump_entry_address(entry) == (void *)&entry->enabled);
    for (int i = 0; i < 3; i++) {
        toggle(true);
        EXPECT(entry->enabled && key->enabled);
        toggle(false);
        EXPECT(!entry->enabled && !key->enabled);
    }
    toggle(true);
    EXPECT(make_gate(key)->enabled);
    jump_entry_retire(entry);
    toggle(false);
    EXPECT(key->n_entries == 1);
}

static int settled;

static bool has_readers(const struct poked_code *code) { return code != NULL; }

static void settle(void)
{
    struct poked_code *code;
    text_lock();
    while ((code = code_poke_unsettled()))
        settled++;
    text_unlock();
}

static void a_site_in_bytecode_turns(void)
{
    static struct poked_code poked;
    uint8_t code[2 * CODE_UNIT] = {42, 7, 42, 6};
    struct code_site site = {code, {7, 9}, true, .code = &poked};
    make_key();
    struct jump_entry *entry = jump_entry_new_code(key, "owner", &site);
    code_poke_set_interpreter(has_readers, settle);
    EXPECT(entry && jump_entry_site(entry) == SITE_BYTECODE && jump_entry_address(entry) == code);
    toggle(true);
    EXPECT(code[0] == 42 && code[1] == 9 && code[2] == 42 && code[3] == 8 && settled == 1);
    toggle(false);
    EXPECT(code[1] == 7 && code[3] == 6 && settled == 2);
    jump_entries_remove(&entry, 1, &poked);
    EXPECT(key->n_entries == 0);
}

static void a_static_call_leads_where_its_keys_say(void)
{
    struct static_key *keys[] = {static_key_new("first", 0), static_key_new("second", 1)};
    struct static_call *call = static_call_new(keys, 2, "call", "owner", TRAMPOLINE_SWITCH,
                                               (struct trampoline_target){(void *)identity, NULL});
    struct call_update update = {.state = 3, .to = {(void *)identity, "both"}};
    struct call_target *left;
    EXPECT(call && !call->slot && call->state == 2);
    EXPECT(!static_call_update(call, &update, &left, NULL) && !left && !call->current);
    key = keys[0];
    toggle(true);
    EXPECT(call->state == 3 && call->current && !strcmp(call->current->to.argument, "both"));
    update.to.argument = "again";
    EXPECT(!static_call_update(call, &update, &left, NULL) && !strcmp(left->to.argument, "both"));
    call_target_retire(left);
    EXPECT(!strcmp(call->current->to.argument, "again"));
    toggle(false);
    EXPECT(call->state == 2 && !call->current);
    static_call_retire(call);
}

static void a_batch_is_taken_or_not(void)
{
    struct static_key *other = static_key_new("other", 0);
    make_key();
    struct jump_entry *gate = make_gate(key), *other_gate = make_gate(other);
    struct key_step steps[] = {{key, KEY_INC}, {other, KEY_ENABLE}, {other, KEY_DEC}, {other, KEY_DEC}};
    size_t failed;
    EXPECT(static_key_apply(steps, 4, &failed, NULL) == KEY_NO_USERS && failed == 3);
    EXPECT(!gate->enabled && !other_gate->enabled);
    EXPECT(static_key_apply(steps, 2, &failed, NULL) == 0);
    EXPECT(gate->enabled && other_gate->enabled);
    struct key_override *override = NULL;
    EXPECT(!static_key_override(key, 0, &override, NULL) && !gate->enabled);
    EXPECT(!static_key_lift(key, &override, NULL) && gate->enabled);
}

static void a_key_lingers(void)
{
    struct key_expiry expiry;
    make_key();
    static_key_defer(key, INT64_C(3600) * 1000000000);
    struct jump_entry *gate = make_gate(key);
    toggle(true);
    EXPECT(static_key_toggle(key, KEY_DEC) == 0 && gate->enabled);
    EXPECT(static_keys_expire(clock_monotonic(), &expiry, NULL) == 0 && gate->enabled &&
           expiry.next > clock_monotonic());
    EXPECT(static_keys_expire(expiry.next, &expiry, NULL) == 0 && !gate->enabled && !expiry.next);
}

static void a_child_has_its_own(void)
{
    int status;
    make_key();
    struct jump_entry *gate = make_gate(key);
    pid_t pid = fork();
    if (!pid) {
        toggle(true);
        _exit(!gate->enabled);
    }
    EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid && !status && !gate->enabled);
    toggle(true);
    EXPECT(gate->enabled);
}

static void the_clock_is_that_of_python(void)
{
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before); /* time.monotonic_ns() */
    int64_t now = clock_monotonic();
    clock_gettime(CLOCK_MONOTONIC, &after);
    EXPECT(before.tv_sec * INT64_C(1000000000) + before.tv_nsec <= now);
    EXPECT(now <= after.tv_sec * INT64_C(1000000000) + after.tv_nsec);
}

static void the_lock_is_tried(void)
{
    make_key();
    text_lock();
    EXPECT(!text_trylock() && static_key_try_toggle(key, KEY_ENABLE) == -EBUSY);
    text_unlock();
    EXPECT(static_key_try_toggle(key, KEY_ENABLE) == 0 && key->enabled);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(every_request_is_answered_with_the_reason),
        TEST(switched_off_by_the_settings),
        TEST(a_function_pointer_needs_a_stub),
#ifdef GENERIC_OS
        TEST(the_system_refuses),
#endif
        TEST(a_gate_is_a_plain_branch),
        TEST(a_site_in_bytecode_turns),
        TEST(a_static_call_leads_where_its_keys_say),
        TEST(a_batch_is_taken_or_not),
        TEST(a_key_lingers),
        TEST(a_child_has_its_own),
        TEST(the_clock_is_that_of_python),
        TEST(the_lock_is_tried),
        {0},
    };
    return run_named(tests, argc, argv);
}
