/*
 * Static calls: a site whose jump leads to a target that may be replaced, `jmp` to `jmp`.
 *
 * After Linux include/linux/static_call.h. But here a call has a state, a bit for each key that has a part in it, and
 * up to one target for each state: a plain static call has a key of its own, and one target for when that is on; code
 * that keeps its keys' values for a whole pass has one for each combination. Where there is no target for the present
 * state the site is a no-op, and the trampoline's off path is taken.
 *
 * Above trampolines, below entries: knows bits. The caller holds the text lock, but where it says otherwise.
 */
#ifndef JUMPLABEL_STATIC_CALL_H
#define JUMPLABEL_STATIC_CALL_H

#include "slot.h"

#define CALL_KEYS 64 /* bits of a state */

struct call_target {
    uint64_t state;
    struct trampoline_target to;
    struct slot *slot; /* NULL where the call has none */
    struct call_target *_Atomic next;
    struct call_target *next_retired;
};

struct static_call {
    struct slot *slot; /* NULL: a plain call, whose owner does what the trampoline would, by `current` */
    _Atomic uint64_t state;
    struct call_target *_Atomic current; /* where the site leads; NULL: the off path */
    struct call_target *_Atomic targets;

    /* Within a transaction: */
    bool touched;
    uint64_t next_state;
    struct call_target *next_target;
    struct static_call *next_touched;
    struct text_poke_group site; /* its only one */

    size_t n_entries;             /* of its keys, that are not buried */
    struct jump_entry *entries[]; /* bit by bit */
};

/* A target that no site leads to yet, for static_call_replace(). NULL with *error set to -errno. */
struct call_target *call_target_new(const struct static_call *call, uint64_t state, struct trampoline_target to,
                                    int *error);
void call_target_free(struct call_target *target);

/*
 * End a target that the call does not have (any more). Lock-free, so that a destructor may call it. The next
 * call_targets_free_retired() does the work. NULL is nothing.
 */
void call_target_retire(struct call_target *target);
void call_targets_free_retired(void);

/* Free the call, and the targets that it still has. */
void static_call_free(struct static_call *call);

/*
 * The target for a state; NULL: none. Needs no lock if no target is freed before every thread has left this function,
 * and has stopped using what it returned.
 */
struct call_target *static_call_find(const struct static_call *call, uint64_t state);

/* Put a target, or none for NULL, in the place of the one for that state, which is returned. */
struct call_target *static_call_replace(struct static_call *call, uint64_t state, struct call_target *target);

/*
 * A transaction: touch every call that may change, flip bits in next_state, queue them all, text_poke_finish(), and
 * tell each how that went. static_call_touch() adds to the list of the touched ones, and returns it.
 */
struct static_call *static_call_touch(struct static_call *call, struct static_call *touched);
void static_call_queue(struct static_call *call);
void static_call_finish(struct static_call *call, bool poked);

#endif
