/*
 * Interleavings of patcher, caller and handler, each one forced.
 *
 * Built with hooks.h: a chosen thread is held at the handler's door, after its trap and before the handler's first
 * line, and the patcher runs code of ours between the steps of the protocol. Built with the linker's --wrap, so that
 * the n-th sync_core() can be made to fail. Exits with 0, or says which expectation failed and aborts.
 */
#define _GNU_SOURCE
#include "expect.h"
#include "jump_label.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

/* ---- the hooks ---- */

static __thread bool held_at_door;
static int door_reached, door_open;
static int in_handler; /* how often the door was passed */
static char *handler_stack;

void at_door(void)
{
    char here;
    handler_stack = &here;
    __atomic_fetch_add(&in_handler, 1, __ATOMIC_SEQ_CST);
    if (!held_at_door)
        return;
    held_at_door = false;
    __atomic_store_n(&door_reached, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&door_open, __ATOMIC_SEQ_CST))
        sched_yield();
}

static void (*step_hook)(int number);

void at_step(int number)
{
    if (step_hook)
        step_hook(number);
}

static int sync_fails_at; /* 1 is the next one, 0 none */
static int syncs_made;
int __real_sync_core(void);

int __wrap_sync_core(void)
{
    syncs_made++;
    if (sync_fails_at && --sync_fails_at == 0)
        return -EIO;
    return __real_sync_core();
}

/* ---- a key with a site, and a thread that calls it ---- */

typedef void *function(void *argument);

static char off_value[] = "off", on_value[] = "on";

static void *identity(void *argument) { return argument; }

static struct jump_entry *new_entry(struct static_key *key)
{
    struct jump_entry *entry =
        jump_entry_new(key, "test", "interleavings.c", TRAMPOLINE_SWITCH,
                       (struct trampoline_target){identity, off_value}, (struct trampoline_target){identity, on_value});
    EXPECT(entry && entry->slot);
    return entry;
}

static struct static_key *key, *other_key;
static struct jump_entry *entry, *other_entry;

static void make_keys(void)
{
    key = static_key_new("key", 0);
    other_key = static_key_new("other", 0);
    entry = new_entry(key);
    other_entry = new_entry(other_key);
}

static void *call(struct jump_entry *called) { return ((function *)(void *)called->slot->exec)(NULL); }

static void toggle(struct static_key *toggled, bool on)
{
    EXPECT(static_key_toggle(toggled, on ? KEY_ENABLE : KEY_DISABLE) == 0);
    EXPECT(toggled->enabled == on);
}

static void expect_traps(uint64_t current, uint64_t previous, uint64_t stale, uint64_t chained)
{
    struct int3_counts counts = int3_counts();
    EXPECT(counts.current == current);
    EXPECT(counts.previous == previous);
    EXPECT(counts.stale == stale);
    EXPECT(counts.chained == chained);
}

/* A thread that meets the int3 of the batch being patched now, and stays at the handler's door until let_go(). */
static pthread_t held;

static void *call_and_be_held(void *unused)
{
    (void)unused;
    held_at_door = true;
    return call(entry);
}

static void send_thread_to_door(int number)
{
    if (number != 1)
        return;
    step_hook = NULL;
    pthread_create(&held, NULL, call_and_be_held, NULL);
    while (!__atomic_load_n(&door_reached, __ATOMIC_SEQ_CST))
        sched_yield();
}

static void *let_go(void)
{
    void *result;
    __atomic_store_n(&door_open, 1, __ATOMIC_SEQ_CST);
    pthread_join(held, &result);
    return result;
}

static void hold_a_trap_of_the_next_batch(void) { step_hook = send_thread_to_door; }

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
    text_poke_set_syncs(3);
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

static void *result_of_held;

static void let_go_in_the_middle(int number)
{
    if (number == 2)
        result_of_held = let_go();
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

/* An old trap whose site is armed again: the answer is the new batch's, not that of the trap's own. */
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

/* The entry dies while it is being patched: nobody waits, and the slot is not handed out before the batch ends. */
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
    EXPECT(dying_slot[0] == 0xe9);
    toggle(key, false);
    EXPECT(dying_slot[0] == 0xcc); /* buried: whoever entered now would die */
    EXPECT(key->n_entries == 1);
    EXPECT(new_entry(other_key)->slot->exec == dying_slot);
    EXPECT(call(entry) == off_value);
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
    EXPECT(entry->slot->exec[0] == 0xe9);
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

/* An override that cannot be patched in is not there; one that cannot be patched out is gone with the next toggle. */
static void override_fails(void)
{
    make_keys();
    struct key_override *override = NULL;
    sync_fails_at = 1;
    EXPECT(static_key_override(key, 1, &override) == -EIO && !override);
    expect_override(false);
    EXPECT(static_key_override(key, 1, &override) == 0 && override);
    expect_override(true);
    sync_fails_at = 1;
    EXPECT(static_key_lift(key, &override) == -EIO);
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

/* ---- chained ---- */

static volatile int seen_signals, seen_code;
static volatile bool trap_was_blocked;

static void note(int signal_number, siginfo_t *info, void *context)
{
    (void)context;
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    trap_was_blocked = sigismember(&mask, SIGTRAP);
    seen_signals += signal_number == SIGTRAP;
    seen_code = info->si_code;
    errno = EIO;
}

static void note_plainly(int signal_number) { seen_signals += signal_number == SIGTRAP; }

static void hold_sigtrap(void (*action)(int, siginfo_t *, void *), int flags)
{
    struct sigaction sa = {.sa_sigaction = action, .sa_flags = flags | SA_SIGINFO};
    EXPECT(!sigaction(SIGTRAP, &sa, NULL));
}

static void foreign_int3(void) { __asm__ volatile("int3"); }

/* The status with which a child ends that does `cause` under the handler that is installed now. */
static int end_of(void (*cause)(void))
{
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (!pid) {
        alarm(60); /* a child inherits none */
        cause();
        _exit(0);
    }
    int status;
    EXPECT(waitpid(pid, &status, 0) == pid);
    return status;
}

static bool died_of_sigtrap(int status) { return WIFSIGNALED(status) && WTERMSIG(status) == SIGTRAP; }

static void raise_trap(void) { raise(SIGTRAP); }

static void kill_trap(void) { kill(getpid(), SIGTRAP); }

static void call_freed_slot(void)
{
    struct jump_entry *gone = new_entry(key);
    function *stale_pointer = (function *)(void *)gone->slot->exec;
    jump_entry_retire(gone);
    toggle(key, true);
    stale_pointer(NULL);
}

static void jump_into_a_site(void)
{
    /* An int3 of somebody else's inside a slot, but not at its site. */
    entry->slot->write[SITE_SIZE] = 0xcc;
    call(entry);
}

static void chained_to_handler(void)
{
    hold_sigtrap(note, 0);
    make_keys();
    toggle(key, true);
    errno = 0;
    foreign_int3();
    EXPECT(seen_signals == 1 && seen_code == SI_KERNEL && trap_was_blocked);
    EXPECT(errno == 0);
    raise(SIGTRAP);
    EXPECT(seen_signals == 2 && seen_code == SI_TKILL);
    kill(getpid(), SIGTRAP);
    EXPECT(seen_signals == 3 && seen_code == SI_USER);
    expect_traps(0, 0, 0, 3);
    EXPECT(call(entry) == on_value);
}

static void chained_to_plain_handler(void)
{
    signal(SIGTRAP, note_plainly);
    make_keys();
    raise(SIGTRAP);
    foreign_int3();
    EXPECT(seen_signals == 2);
    expect_traps(0, 0, 0, 2);
}

static void chained_to_nodefer_handler(void)
{
    hold_sigtrap(note, SA_NODEFER);
    make_keys();
    raise(SIGTRAP);
    EXPECT(seen_signals == 1 && !trap_was_blocked);
}

static void raise_twice(void)
{
    raise(SIGTRAP);
    raise(SIGTRAP);
}

static void chained_to_handler_that_resets(void)
{
    hold_sigtrap(note, (int)SA_RESETHAND);
    make_keys();
    EXPECT(end_of(raise_trap) == 0);
    EXPECT(died_of_sigtrap(end_of(raise_twice)));
}

static void chained_to_nobody(void)
{
    signal(SIGTRAP, SIG_DFL);
    make_keys();
    toggle(key, true);
    EXPECT(died_of_sigtrap(end_of(foreign_int3)));
    EXPECT(died_of_sigtrap(end_of(raise_trap)));
    EXPECT(died_of_sigtrap(end_of(kill_trap)));
    EXPECT(died_of_sigtrap(end_of(call_freed_slot)));
    toggle(key, false);
    EXPECT(died_of_sigtrap(end_of(jump_into_a_site)));
}

/* Process 1 of a PID namespace is killed by no signal that anybody sends, but by the kernel's own. */
static void chained_as_init(void)
{
    if (unshare(CLONE_NEWPID) && unshare(CLONE_NEWUSER | CLONE_NEWPID))
        exit(NOT_POSSIBLE_HERE);
    signal(SIGTRAP, SIG_DFL);
    make_keys();
    EXPECT(died_of_sigtrap(end_of(foreign_int3)));
}

static void chained_to_ignore(void)
{
    signal(SIGTRAP, SIG_IGN);
    make_keys();
    EXPECT(end_of(raise_trap) == 0);
    EXPECT(end_of(kill_trap) == 0);
    EXPECT(died_of_sigtrap(end_of(foreign_int3))); /* the kernel forces that one, ignored or not */
}

/* Somebody takes SIGTRAP after us: the next batch takes it back, and whoever it was still gets its traps. */
static void displaced(void)
{
    make_keys();
    hold_sigtrap(note, 0);
    toggle(key, true);
    now_on = false;
    step_hook = call_at_every_step;
    toggle(key, false);
    expect_traps(3, 0, 0, 0);
    raise(SIGTRAP);
    EXPECT(seen_signals == 1);
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
        TEST(displaced),
        TEST(chained_to_handler),
        TEST(chained_to_plain_handler),
        TEST(chained_to_nodefer_handler),
        TEST(chained_to_handler_that_resets),
        TEST(chained_to_nobody),
        TEST(chained_as_init),
        TEST(chained_to_ignore),
        {0},
    };
    return run_named(tests, argc, argv);
}
