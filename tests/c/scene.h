/*
 * A key with a site, another one, and threads that can be held: what the tests of single interleavings have in common.
 *
 * Built with hooks.h: a chosen thread is held at the handler's door, after its trap and before the handler's first
 * line, and the patcher runs code of ours between the steps of the protocol. Built with the linker's --wrap, so that
 * the n-th sync_core() can be made to fail.
 */
#ifndef SCENE_H
#define SCENE_H

#include "expect.h"
#include "arena.h"
#include "jump_label.h"
#include "text_poke.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

/* ---- the hooks ---- */

static __thread bool held_at_door;
static int door_reached, door_open;
static int in_handler; /* how often the door was passed */
static char *handler_stack;

void at_door(void)
{
    char here;
    __atomic_store_n(&handler_stack, &here, __ATOMIC_RELAXED);
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

static inline void *identity(void *argument) { return argument; }

static inline struct jump_entry *new_entry(struct static_key *key)
{
    struct jump_entry *entry =
        jump_entry_new(key, "test", __FILE__, TRAMPOLINE_SWITCH, (struct trampoline_target){identity, off_value},
                       (struct trampoline_target){identity, on_value});
    EXPECT(entry && entry->slot);
    return entry;
}

static struct static_key *key, *other_key;
static struct jump_entry *entry, *other_entry;

static inline void make_keys(void)
{
    key = static_key_new("key", 0);
    other_key = static_key_new("other", 0);
    entry = new_entry(key);
    other_entry = new_entry(other_key);
}

static inline void *call(struct jump_entry *called) { return ((function *)(void *)called->slot->exec)(NULL); }

static inline void toggle(struct static_key *toggled, bool on)
{
    EXPECT(static_key_toggle(toggled, on ? KEY_ENABLE : KEY_DISABLE) == 0);
    EXPECT(toggled->enabled == on);
}

static inline void expect_traps(uint64_t current, uint64_t previous, uint64_t stale, uint64_t chained)
{
    struct trap_counts counts = trap_counts();
    EXPECT(counts.current == current);
    EXPECT(counts.previous == previous);
    EXPECT(counts.stale == stale);
    EXPECT(counts.chained == chained);
}

/* A thread that meets the int3 of the batch being patched now, and stays at the handler's door until let_go(). */
static pthread_t held;

static inline void *call_and_be_held(void *unused)
{
    (void)unused;
    held_at_door = true;
    return call(entry);
}

static inline void send_thread_to_door(int number)
{
    if (number != 1)
        return;
    step_hook = NULL;
    pthread_create(&held, NULL, call_and_be_held, NULL);
    while (!__atomic_load_n(&door_reached, __ATOMIC_SEQ_CST))
        sched_yield();
}

static inline void *let_go(void)
{
    void *result;
    __atomic_store_n(&door_open, 1, __ATOMIC_SEQ_CST);
    pthread_join(held, &result);
    return result;
}

static void *result_of_held;

static inline void let_go_in_the_middle(int number)
{
    if (number == 2)
        result_of_held = let_go();
}

static inline void hold_a_trap_of_the_next_batch(void) { step_hook = send_thread_to_door; }

#endif
