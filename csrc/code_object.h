/*
 * Sites in CPython's code objects: who owns them, and the second step of a store into them (code_poke.h).
 *
 * The code object's own record of its sites hangs on it (PyUnstable_Code_SetExtra) and goes with it. All functions here
 * may be called with or without the GIL, never with the text mutex: the order is GIL first, mutex second, and nobody
 * waits for the GIL who holds the mutex. Objects are passed as their id(), as cffi cannot pass them otherwise.
 */
#ifndef JUMPLABEL_CODE_OBJECT_H
#define JUMPLABEL_CODE_OBJECT_H

#include "jump_label.h"

struct branch {
    struct static_key *key;
    const char *owner;
    size_t unit; /* its index in the code */
    uint8_t target_off, target_on;
    bool twin;
};

/*
 * Make sites of these units of a code object that nobody runs yet, and bring them to their keys' states. The entries
 * live as long as it does. Returns 0, or -1 for no memory, with nothing made.
 */
int code_object_branches(uintptr_t code, const struct branch *branches, size_t n);

/* Before the first branch is made. jit: whether this interpreter compiles. Returns -1: it does, and cannot be told. */
int code_object_start(bool jit);

/*
 * Whether the function's version is the one that its code gave it, as for every function that nobody has changed.
 * CPython calls such a function without building arguments in between; setting __code__ ends that for good from 3.13
 * on (Objects/funcobject.c, "Function versions"). function_restore_version() then gives it the version of its new
 * code, as if it had been made with it.
 */
int function_has_version(uintptr_t function);
void function_restore_version(uintptr_t function);

#endif
