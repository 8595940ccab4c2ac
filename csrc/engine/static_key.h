/*
 * A static key: its state, its users, and the sites that follow it.
 *
 * After Linux kernel/jump_label.c: a key counts its users, and entries join a site to it (jump_entry.h). A change of
 * keys is a transaction (transaction.h).
 *
 * Below entries. Every function takes the text lock itself unless it says otherwise, and may be called from any thread,
 * but not from a signal handler.
 */
#ifndef JUMPLABEL_STATIC_KEY_H
#define JUMPLABEL_STATIC_KEY_H

#include "code_poke.h"
#include "slot.h"

struct jump_entry;

/* A site in bytecode, and whose it is. */
struct code_place {
    struct code_site site;
    struct jump_entry *entry;
};

struct key_override {
    int enabled;
    struct key_override *next;
};

struct static_key {
    int count;   /* users; read it from any thread, change it through a transaction */
    int enabled; /* what the sites show: count > 0 or until, unless an override says otherwise */

    /* After Linux include/linux/jump_label_ratelimit.h, in nanoseconds of CLOCK_MONOTONIC. */
    int64_t deferred; /* how long the key lingers, on, when its last user has gone; 0: it does not */
    int64_t until;    /* it lingers, and goes off then unless it is used again; 0: it does not linger */

    char *name;
    struct key_override *overrides; /* newest first */
    struct jump_entry **entries;
    size_t n_entries, room;
    struct text_poke_group native; /* the sites of the first of them, which have one of their own */
    size_t native_room;
    struct code_place *code; /* the sites of those in bytecode, once more, side by side: see site_code.c */
    size_t n_code, code_room;
    bool dropped; /* the owner is done with it; it goes with its last entry */
    struct static_key *next, **link;

    /* Within a transaction: */
    bool touched;
    int next_count, next_enabled;
    int64_t next_until;
    struct static_key *next_touched;
};

/* NULL: no memory. The key lives until static_key_drop() and the end of its last entry. */
struct static_key *static_key_new(const char *name, int enabled);
void static_key_drop(struct static_key *key);

/* Make a new key a deferred one, before its first toggle. */
void static_key_defer(struct static_key *key, int64_t nanoseconds);

/* ---- the caller of the rest holds the text lock ---- */

extern struct static_key *static_keys; /* all of them */

/* Whether some entries are neither in key->native nor in key->code: of calls, or plain branches. Mostly none is. */
static inline bool static_key_has_others(const struct static_key *key)
{
    return key->native.n + key->n_code < key->n_entries;
}

/* Free a key that its owner has dropped and that has no entries. */
void static_key_free_if_unused(struct static_key *key);

#endif
