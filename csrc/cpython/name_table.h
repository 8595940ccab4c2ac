/*
 * The table of code objects that test names, and of the dicts with those names.
 *
 * There are very many. So a record is one small C struct and no Python object. Records are found by the dict when its
 * names change, and by the code object when it goes.
 *
 * The table knows addresses only. It never reads the objects, and holds no reference to them. When a dict or a code
 * object goes, the caller has the table forget it. The caller of every function holds the table's lock. On a build with
 * the GIL the lock is the GIL, and nothing here releases it.
 */
#ifndef JUMPLABEL_NAME_TABLE_H
#define JUMPLABEL_NAME_TABLE_H

#include <stdbool.h>
#include <stddef.h>

struct name_user {
    void *dict, *code;
    /* The builtins of functions with these globals. If that dict goes first, this is `dict` again. NULL: `dict` is not
     * the globals of a function. */
    void *builtins;
    struct name_user *next_of_dict, *next_of_code; /* the next record in the same bucket */
};

/* The innermost lock: a thread that holds it takes no other lock, and drops no reference that may be the last. */
void name_table_lock(void);
void name_table_unlock(void);

/* Add a record. Returns 1 if it was there already, 0 if it is new, -1 for no memory. */
int name_table_add(void *dict, void *builtins, void *code);

/* The record of the dict behind `before`. NULL for `before`: the first one. Returns NULL behind the last one. */
struct name_user *name_table_next_of_dict(void *dict, struct name_user *before);
/* The same for the records of a code object. */
struct name_user *name_table_next_of_code(void *code, struct name_user *before);

void name_table_forget_dict(void *dict);
void name_table_forget_code(void *code);

/* The number of records. */
size_t name_table_count(void);

#endif
