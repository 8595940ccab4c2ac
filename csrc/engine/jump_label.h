/*
 * Static keys and the jump table: what a key knows, who uses it, and which sites follow it.
 *
 * After Linux kernel/jump_label.c: keys count their users, entries join a site to a key, and a change of keys becomes
 * one batch for the text poke, and a store for each site in bytecode. An entry whose site no trampoline could be had
 * for is a plain branch: its owner reads entry->enabled, or a stub does (plain_branch.h).
 *
 * No Python here. Every function locks for itself and may be called from any thread, but not from a signal handler.
 */
#ifndef JUMPLABEL_JUMP_LABEL_H
#define JUMPLABEL_JUMP_LABEL_H

#include "code_poke.h"
#include "native_sites.h"
#include "static_call.h"
#include "trap_outcome.h"

#include <stddef.h>

struct key_override {
    int enabled;
    struct key_override *next;
};

struct static_key {
    int count;   /* users; read it from any thread, change it through static_key_apply */
    int enabled; /* what the sites show: count > 0 or until, unless an override says otherwise */

    /* After Linux include/linux/jump_label_ratelimit.h, in nanoseconds of CLOCK_MONOTONIC. */
    int64_t deferred; /* how long the key lingers, on, when its last user has gone; 0: it does not */
    int64_t until;    /* it lingers, and goes off then unless somebody uses it again; 0: it does not linger */

    char *name;
    struct key_override *overrides; /* newest first */
    struct jump_entry **entries;
    size_t n_entries, room;
    struct text_poke_group native; /* the sites of the first of them, which have one of their own */
    size_t native_room;
    struct code_place *code; /* the sites of those in bytecode, once more, side by side: see turn_code() */
    size_t n_code, code_room;
    bool dropped; /* the owner is done with it; it goes with its last entry */
    struct static_key *next, **link;

    /* Within a transaction: */
    bool touched;
    int next_count, next_enabled;
    int64_t next_until;
    struct static_key *next_touched;
};

enum site {
    SITE_PLAIN,
    SITE_NATIVE,
    SITE_BYTECODE,
};

struct code_place {
    struct code_site site;
    struct jump_entry *entry;
};

struct jump_entry {
    _Atomic int enabled; /* of a plain branch; any other's state is the key's */
    enum site site;
    const char *kind;         /* what its owner calls it; a static string */
    char *owner;              /* "module.qualname:line" */
    struct static_call *call; /* whose site this is, with `bit` of its state; NULL: of no call */
    unsigned bit;
    union {
        struct {
            struct slot *slot;
            void *stub; /* of a plain branch that is called as C functions are, see jump_entry_new_branch() */
        };
        struct code_site code;
    };
    struct static_key *key;
    size_t index;      /* in key->entries */
    size_t code_index; /* in key->code, of a site in bytecode */
    struct jump_entry *next_retired;
};

/* ---- keys ---- */

/* NULL: no memory. The key lives until static_key_drop() and the end of its last entry. */
struct static_key *static_key_new(const char *name, int enabled);
void static_key_drop(struct static_key *key);

/* Make a new key a deferred one, before its first toggle. */
void static_key_defer(struct static_key *key, int64_t nanoseconds);

enum key_operation {
    KEY_ENABLE,  /* one user, if it had none */
    KEY_DISABLE, /* no user, if it had one; and it does not linger */
    KEY_INC,
    KEY_DEC,   /* the last one: a deferred key that was on lingers from now on */
    KEY_FLUSH, /* it does not linger */
};

struct key_step {
    struct static_key *key;
    enum key_operation operation;
};

enum key_error {                        /* positive, where a negative result is -errno of the patch */
                 KEY_SEVERAL_USERS = 1, /* disable() of a key with several users */
                 KEY_NO_USERS,          /* dec() of a key with none */
                 KEY_TOO_MANY_USERS,    /* inc() beyond INT_MAX */
};

struct key_change {
    struct static_key *key;
    int enabled;  /* from now on; it was the other one */
    size_t sites; /* that follow the key */
};

/*
 * What a transaction has changed, written with the mutex held. NULL: nobody asks. Who asks brings room for every key
 * that may change, and keeps those alive whose addresses are to mean something afterwards.
 */
struct key_report {
    int64_t nanoseconds; /* that the whole transaction took, from the mutex on: no wait for others, no second step */
    size_t room, n;
    struct key_change changes[]; /* in no order; none where the transaction failed */
};

/*
 * Take all steps, in order, in one transaction: one batch for all sites of all keys whose state changes.
 * Returns 0; or an error, and then no step was taken and *failed is the first that could not be (n: the patch).
 * On return every later pass through a site sees the new state. Waits for the GIL where code_poke.h says.
 */
int static_key_apply(const struct key_step *steps, size_t n, size_t *failed, struct key_report *report);

/* The same for one step, of which nobody asks. */
int static_key_toggle(struct static_key *key, enum key_operation operation);

/* The same, but where it would wait for another patch, or a fork, it changes nothing and returns -EBUSY. */
int static_key_try_toggle(struct static_key *key, enum key_operation operation);

/*
 * Hold the key on or off, over its count, until the override is lifted; the newest one counts. Returns 0, or -errno
 * with the sites as they were: *override is set only where it is in force. One that is lifted is gone in any case;
 * where the sites could not follow, the next transaction of the key makes up for it. To lift NULL is to do nothing.
 */
int static_key_override(struct static_key *key, int enabled, struct key_override **override, struct key_report *report);
int static_key_lift(struct static_key *key, struct key_override **override, struct key_report *report);

/* ---- keys that linger: somebody has to call, in a thread of its own, what switches them off ---- */

struct key_expiry {
    int64_t next;  /* when the first of those that still linger is due; 0: none does */
    size_t failed; /* keys that were due and could not be switched off */
    char name[96]; /* of one of them */
};

/*
 * Switch off, in one transaction, the keys that are due at `now` (INT64_MAX: all that linger). Whoever was used again
 * meanwhile is not due: this is looked at under the mutex. Returns 0 or -errno; those that were due then linger as
 * long again, and a second at least. Those that there is no room for in a report stay due.
 */
int static_keys_expire(int64_t now, struct key_expiry *expiry, struct key_report *report);

/*
 * Whether static_keys_expire() is to be called sooner than its last result says. Set before a toggle returns, reset by
 * that call alone; read it from any thread.
 */
extern int static_keys_wake;

/* ---- entries ---- */

/* A new entry in the key's state, native where the process allows it. NULL: no memory. Copies owner. */
struct jump_entry *jump_entry_new(struct static_key *key, const char *kind, const char *owner,
                                  enum trampoline_kind trampoline, struct trampoline_target off,
                                  struct trampoline_target on);

/*
 * The same for a function pointer: jump_entry_function() goes on to `off` or to `on`, whatever their arguments, as if
 * the caller had called it. Where there is no trampoline it is a stub. NULL with *error set to -errno: -ENOMEM, or
 * -EAGAIN, all stubs are taken, or -ENOSYS, this processor has none.
 */
struct jump_entry *jump_entry_new_branch(struct static_key *key, const char *owner, void *off, void *on, int *error);

/* What to call. It keeps its address until the entry is retired; any thread may call it, a signal handler too. */
void *jump_entry_function(struct jump_entry *entry);

/*
 * The entry is gone, and so is whoever could enter its trampoline. Lock-free, so that a destructor may call it while
 * it holds a lock that a thread in a transaction waits for; the next caller of this file does the work.
 */
void jump_entry_retire(struct jump_entry *entry);

/*
 * A static call with an entry for each of n keys, at most CALL_KEYS, that shows their states; native where the process
 * allows it. It has no target, so it goes to `off`, as a trampoline of this kind (not before static_call_goes_off(),
 * where the argument is not known yet). NULL: no memory. Copies owner.
 */
struct static_call *static_call_new(struct static_key *const *keys, size_t n, const char *kind, const char *owner,
                                    enum trampoline_kind trampoline, struct trampoline_target off);

/* As jump_entry_retire(), for all its entries; targets that it still has go with it. */
void static_call_retire(struct static_call *call);

/* Positive, as the kernel may have any -errno for a patch, and for ever. */
enum call_error { CALL_CHANGED = 1 };

struct call_update {
    uint64_t state;
    struct trampoline_target to; /* entry NULL: none */
    bool conditional;            /* only if the target for that state has this argument now, NULL: if there is none */
    void *expected;
    bool follows; /* its first key is to be on where there is a target, and off where there is none; else stays */
};

/*
 * Replace the target for a state, in one transaction with what follows from it. Returns 0; CALL_CHANGED where it was
 * not as expected, -errno where it could not be had or patched, and then nothing has changed. *left is the target that
 * the call does not have (any more), if there is one: for call_target_retire(), when nobody can be in its trampoline.
 */
int static_call_update(struct static_call *call, const struct call_update *update, struct call_target **left,
                       struct key_report *report);

/* Lock-free, as jump_entry_retire(). NULL is nothing. */
void call_target_retire(struct call_target *target);

/* A new entry for a site in bytecode, which is brought to the key's state. NULL: no memory. Copies owner and site. */
struct jump_entry *jump_entry_new_code(struct static_key *key, const char *owner, const struct code_site *site);

/* These entries of one code object are gone, all of them, before its memory goes. Takes the mutex. */
void jump_entries_remove(struct jump_entry **entries, size_t n, struct poked_code *code);

/* The address of an entry's site: its first instruction, or the word that a plain branch reads. */
void *jump_entry_address(struct jump_entry *entry);

/* ---- what there is ---- */

struct jump_table_row {
    const char *key, *kind, *owner;
    void *address;
    enum site site;
    int enabled;
};

struct jump_table {
    size_t n;
    struct jump_table_row rows[];
};

/* All entries of a key, or of all keys for NULL, as of one moment. Free it with free(). NULL: no memory. */
struct jump_table *jump_table_read(struct static_key *key);

struct jump_label_info {
    int native;              /* whether trampolines could be made ready */
    enum sync_method method; /* SYNC_NONE while they are not */
    int syncs;
    enum text_poke_way poke;
    uint64_t keys, native_entries, plain_entries, bytecode_entries, arena_bytes;
    uint64_t batches, word_batches, sites_patched, sync_calls; /* native; of this process, since it began or forked */
    struct trap_counts int3;
    int refused; /* errno of the last refusal to make a native entry, 0 for none; the text says of what */
    char refusal[128];
};
void jump_label_info(struct jump_label_info *info);

/* Make native entries possible before the first one is made, to see whether they are. 0 or -errno. */
int jump_label_start(void);

/* For benchmarks: n bare syncs; and what n toggles of a key cannot do without, see text_poke_bare(). 0 or -errno. */
int jump_label_sync(size_t n);
int jump_label_bare_toggles(struct static_key *key, size_t n);

#endif
