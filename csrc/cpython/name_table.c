#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "name_table.h"

#include <stdint.h>
#include <stdlib.h>

#ifdef Py_GIL_DISABLED
static PyMutex lock;
void name_table_lock(void) { PyMutex_Lock(&lock); }
void name_table_unlock(void) { PyMutex_Unlock(&lock); }
#else
void name_table_lock(void) {}
void name_table_unlock(void) {}
#endif

#define A_BUCKET 4 /* the most records a bucket on average: a bucket takes 8 bytes in each of the two tables */

static struct name_user **by_dict, **by_code;
static size_t n_buckets, n; /* n_buckets is a power of two, or 0 */

static size_t bucket(const void *address)
{
    return (size_t)((uintptr_t)address * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (n_buckets - 1);
}

static void put(struct name_user *user)
{
    struct name_user **of_dict = &by_dict[bucket(user->dict)], **of_code = &by_code[bucket(user->code)];
    user->next_of_dict = *of_dict;
    user->next_of_code = *of_code;
    *of_dict = *of_code = user;
}

static bool grow(void)
{
    size_t n_before = n_buckets, more = n_buckets ? 2 * n_buckets : 16;
    struct name_user **before = by_dict, **made = calloc(2 * more, sizeof(struct name_user *));
    if (!made)
        return false;
    by_dict = made;
    by_code = made + more;
    n_buckets = more;
    for (size_t i = 0; i < n_before; i++) {
        for (struct name_user *user = before[i], *next; user; user = next) {
            next = user->next_of_dict;
            put(user);
        }
    }
    free(before);
    return true;
}

/* The record of exactly these three. NULL: there is none. */
static struct name_user *find(void *dict, void *builtins, void *code)
{
    struct name_user *user = NULL;
    while ((user = name_table_next_of_code(code, user)))
        if (user->dict == dict && user->builtins == builtins)
            return user;
    return NULL;
}

int name_table_add(void *dict, void *builtins, void *code)
{
    if (find(dict, builtins, code))
        return 1;
    struct name_user *user = n < A_BUCKET * n_buckets || grow() ? malloc(sizeof(*user)) : NULL;
    if (!user)
        return -1;
    *user = (struct name_user){.dict = dict, .code = code, .builtins = builtins};
    put(user);
    n++;
    return 0;
}

struct name_user *name_table_next_of_dict(void *dict, struct name_user *user)
{
    user = user ? user->next_of_dict : n_buckets ? by_dict[bucket(dict)] : NULL;
    while (user && user->dict != dict)
        user = user->next_of_dict;
    return user;
}

struct name_user *name_table_next_of_code(void *code, struct name_user *user)
{
    user = user ? user->next_of_code : n_buckets ? by_code[bucket(code)] : NULL;
    while (user && user->code != code)
        user = user->next_of_code;
    return user;
}

/* A dict's bucket has a record for each of the dict's users. So use name_table_forget_dict() to forget all of them. */
static void forget(struct name_user *user)
{
    struct name_user **link = &by_dict[bucket(user->dict)];
    while (*link != user)
        link = &(*link)->next_of_dict;
    *link = user->next_of_dict;
    link = &by_code[bucket(user->code)];
    while (*link != user)
        link = &(*link)->next_of_code;
    *link = user->next_of_code;
    free(user);
    n--;
}

static void forget_builtins(void *builtins, void *code)
{
    struct name_user *user = NULL;
    while ((user = name_table_next_of_code(code, user)))
        if (user->builtins == builtins)
            user->builtins = user->dict;
}

void name_table_forget_dict(void *dict)
{
    struct name_user *user;
    while ((user = name_table_next_of_dict(dict, NULL))) {
        forget_builtins(dict, user->code);
        forget(user);
    }
}

void name_table_forget_code(void *code)
{
    struct name_user *user;
    while ((user = name_table_next_of_code(code, NULL)))
        forget(user);
}

size_t name_table_count(void) { return n; }
