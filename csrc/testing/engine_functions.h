/*
 * What this room calls of the engine. It is an extension module of its own (jumplabel._testing), which does not link
 * with the engine's: the caller passes the addresses.
 */
#ifndef JUMPLABEL_ENGINE_FUNCTIONS_H
#define JUMPLABEL_ENGINE_FUNCTIONS_H

#include "jump_label.h"

struct engine_functions {
    int (*toggle)(struct static_key *key, enum key_operation operation);
    struct jump_entry *(*new_entry)(struct static_key *key, const char *kind, const char *owner,
                                    enum trampoline_kind trampoline, struct trampoline_target off,
                                    struct trampoline_target on);
    void *(*function_of)(struct jump_entry *entry);
    void (*retire)(struct jump_entry *entry);
};

/* For a program that links with the engine. */
#define ENGINE_FUNCTIONS {static_key_toggle, jump_entry_new, jump_entry_function, jump_entry_retire}

#endif
