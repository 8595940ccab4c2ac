/*
 * Which code objects test names in which dicts.
 *
 * There are very many: a name that one function tests takes one record here, and no object of Python's. Records are
 * found by the dict, whose names change, and by the code object, which goes.
 *
 * Knows addresses only. It may not look into what they stand for, nor hold a reference: whose dict or code object goes
 * tells it to forget that. The caller of every function holds the table's lock. On a build with the GIL that is the
 * GIL; nothing here releases it.
 */
#ifndef JUMPLABEL_NAME_TABLE_H
#define JUMPLABEL_NAME_TABLE_H

#include <stdbool.h>
#include <stddef.h>

struct name_user {
    void *dict, *code;
    /* Of functions with these globals; where it goes first, the globals again. NULL: dict is no function's globals. */
    void *builtins;
    struct name_user *next_of_dict, *next_of_code; /* in their buckets */
};

/* The last lock to take: its holder takes no other one, and drops no reference that may be the last one. */
void name_table_lock(void);
void name_table_unlock(void);

/* Returns 1 where it is known; 0, it is now; -1 for no memory. */
int name_table_add(void *dict, void *builtins, void *code);

/* The users of a dict, one after the other: the first one for NULL. */
struct name_user *name_table_next_of_dict(void *dict, struct name_user *before);
/* The records of a code object, likewise. */
struct name_user *name_table_next_of_code(void *code, struct name_user *before);

void name_table_forget_dict(void *dict);
void name_table_forget_code(void *code);

/* How many records there are. */
size_t name_table_count(void);

#endif
