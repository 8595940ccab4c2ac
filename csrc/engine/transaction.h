/*
 * Transactions: what one change of keys does, in order.
 *
 * A toggle, a batch, an override, the end of a lingering key and the update of a static call are all this: take the
 * lock, plan (each key's next count and state), patch (one batch for all native sites that follow), commit (the stores
 * in bytecode and plain branches, then the keys), settle (readers of bytecode that have the old argument in hand), and
 * report what has changed.
 *
 * Above entries. Every function takes the text lock itself, and may be called from any thread, but not from a signal
 * handler.
 */
#ifndef JUMPLABEL_TRANSACTION_H
#define JUMPLABEL_TRANSACTION_H

#include "jump_entry.h"

/* ---- keys ---- */

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

/* Positive: a negative result is -errno of the patch. */
enum key_error {
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
 * What a transaction has changed, written with the lock held. NULL: the caller does not ask. A caller that asks brings
 * room for every key that may change, and keeps a key alive as long as it uses its address.
 */
struct key_report {
    int64_t
        nanoseconds; /* that the whole transaction took, with the lock: without the wait for it, and without settling */
    size_t room, n;
    struct key_change changes[]; /* in no order; none where the transaction failed */
};

/*
 * Take all steps, in order, in one transaction: one batch for all sites of all keys whose state changes.
 * Returns 0; or an error, and then no step was taken and *failed is the first that could not be (n: the patch).
 * On return every later pass through a site sees the new state. Waits for the GIL where code_poke.h says.
 */
int static_key_apply(const struct key_step *steps, size_t n, size_t *failed, struct key_report *report);

/* The same, but where it would wait for another patch, or a fork, it changes nothing and returns -EBUSY. */
int static_key_try_apply(const struct key_step *steps, size_t n, size_t *failed, struct key_report *report);

/* static_key_apply() for one step, without a report. */
int static_key_toggle(struct static_key *key, enum key_operation operation);

/*
 * Hold the key on or off, over its count, until the override is lifted; the newest one counts. Returns 0, or -errno
 * with the sites as they were: *override is set only where it is in force. One that is lifted is gone in any case;
 * where the sites could not follow, the next transaction of the key makes up for it. To lift NULL is to do nothing.
 */
int static_key_override(struct static_key *key, int enabled, struct key_override **override, struct key_report *report);
int static_key_lift(struct static_key *key, struct key_override **override, struct key_report *report);

/* ---- keys that linger: a thread of the caller's switches them off ---- */

struct key_expiry {
    int64_t next;  /* when the first of those that still linger is due; 0: none does */
    size_t failed; /* keys that were due and could not be switched off */
    char name[96]; /* of one of them */
};

/*
 * Switch off, in one transaction, the keys that are due at `now` (INT64_MAX: all that linger). A key that was used
 * again meanwhile is not due: the lock is held for the look. Returns 0 or -errno; those that were due then linger as
 * long again, and a second at least. Those that there is no room for in a report stay due.
 */
int static_keys_expire(int64_t now, struct key_expiry *expiry, struct key_report *report);

/*
 * Whether static_keys_expire() is to be called sooner than its last result says. Set before a toggle returns, reset by
 * that call alone; read it from any thread.
 */
extern int static_keys_wake;

/* ---- static calls ---- */

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
 * the call does not have (any more), if there is one: for call_target_retire(), when no thread can be in its
 * trampoline.
 */
int static_call_update(struct static_call *call, const struct call_update *update, struct call_target **left,
                       struct key_report *report);

#endif
