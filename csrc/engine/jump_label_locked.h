/*
 * What the three files behind jump_label.h share: jump_label.c (keys, and the transactions that change them),
 * jump_entry.c (entries and static calls, their beginning and end) and jump_table.c (what there is, and what the
 * process can do). But for the first two functions, the caller holds the text mutex.
 */
#ifndef JUMPLABEL_JUMP_LABEL_LOCKED_H
#define JUMPLABEL_JUMP_LABEL_LOCKED_H

#include "jump_label.h"

/* Take the text mutex, and bury what has been retired. text_unlock() is its end. */
void jump_label_lock(void);

/* False, and nothing is taken, where somebody holds it. */
bool jump_label_trylock(void);

extern struct static_key *static_keys; /* all of them */

/* If its owner is done with it and it has no entries. */
void static_key_free_if_unused(struct static_key *key);

/* A transaction: touch every key that changes, set what is next_, update. Adds to the list of the touched ones. */
struct static_key *static_key_touch(struct static_key *key, struct static_key *touched);

/*
 * Bring the touched keys to their next count, and the touched calls to where they then lead, all or none; and forget
 * that they were touched. Nothing changes where it is not `valid`. 0 or -errno.
 */
int static_keys_update(struct static_key *touched, struct static_call *calls, bool valid, struct key_report *report);

#endif
