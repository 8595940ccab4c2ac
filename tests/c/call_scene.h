/* A static call, and how it is led to one of four targets; beside scene.h. */
#ifndef CALL_SCENE_H
#define CALL_SCENE_H

#include "scene.h"

static char values[4][2] = {"a", "b", "c", "d"};
static struct static_call *site;

static inline struct trampoline_target to(int value) { return (struct trampoline_target){identity, values[value]}; }

static inline void make_call(struct static_key *const *keys, size_t n)
{
    site =
        static_call_new(keys, n, "call", __FILE__, TRAMPOLINE_SWITCH, (struct trampoline_target){identity, off_value});
    EXPECT(site && site->n_entries == n);
}

static inline void make_own(void)
{
    make_keys();
    make_call(&key, 1);
    EXPECT(site->slot);
}

static inline int lead_to(uint64_t state, int value, bool follows)
{
    struct call_update update = {
        .state = state, .to = value < 0 ? (struct trampoline_target){0} : to(value), .follows = follows};
    struct call_target *left;
    int error = static_call_update(site, &update, &left, NULL);
    call_target_retire(left); /* no other thread calls */
    return error;
}

static inline void lead(uint64_t state, int value) { EXPECT(!lead_to(state, value, false)); }

static inline void follow(int value) { EXPECT(!lead_to(1, value, true)); }

static inline void *result(void) { return ((function *)(void *)site->slot->exec)(NULL); }

#endif
