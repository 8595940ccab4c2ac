/*
 * Kinds of sites: what a transaction does with the sites of a key, and the jump table with one of them.
 *
 * Each kind is one file (site_native.c, site_call.c, site_code.c, site_plain.c) and one row of EACH_SITE_KIND. To add a
 * kind, add both. Transactions, entries and the jump table go through these operations.
 *
 * Below entries. The caller of every function holds the text lock.
 */
#ifndef JUMPLABEL_SITE_KIND_H
#define JUMPLABEL_SITE_KIND_H

#include <stdbool.h>
#include <stddef.h>

struct jump_entry;
struct static_key;

/* What the jump table calls a site. */
enum site {
    SITE_PLAIN,
    SITE_NATIVE,
    SITE_BYTECODE,
};

struct site_kind {
    /* ---- a transaction; NULL: nothing to do ---- */

    /* Plan: queue the patch of the key's sites of this kind for key->next_enabled. Cannot fail. */
    void (*queue)(struct static_key *key);
    /* The same, for what needs to know all keys that change. Called once, behind the last queue(). */
    void (*queue_rest)(void);
    /* The patch has succeeded, or nothing was patched. Called once in every transaction. */
    void (*patched)(bool success);
    /* After a successful patch: turn what no patch turns, for key->next_enabled. */
    void (*commit)(struct static_key *key);

    /* ---- one entry ---- */

    /* It ends: let go of its site. */
    void (*bury)(struct jump_entry *entry);
    /* Its site: the first instruction, or the word that is read. */
    void *(*address)(struct jump_entry *entry);
    enum site (*describe)(const struct jump_entry *entry);
};

extern const struct site_kind site_native, site_call, site_code, site_plain;

/* All of them, a row each. A list, not an array: a toggle goes through it several times. */
#define EACH_SITE_KIND(DO) \
    DO(site_native)        \
    DO(site_call)          \
    DO(site_code)          \
    DO(site_plain)

#endif
