/*
 * Entries: each joins one site to a key, from its making to its end.
 *
 * A site is native (a trampoline's), in bytecode, or a plain branch: where no trampoline could be had, the owner reads
 * entry->enabled, or a stub does (arch.h).
 *
 * Above keys and static calls, below transactions. Every function takes the text lock itself unless it says otherwise,
 * and may be called from any thread, but not from a signal handler.
 */
#ifndef JUMPLABEL_JUMP_ENTRY_H
#define JUMPLABEL_JUMP_ENTRY_H

#include "site_kind.h"
#include "static_call.h"
#include "static_key.h"

struct jump_entry {
    _Atomic int enabled; /* of a plain branch; any other's state is the key's */
    const struct site_kind *of;
    const char *kind;         /* what its owner calls it; a static string */
    char *owner;              /* "module.qualname:line" */
    struct static_call *call; /* whose site this is, with `bit` of its state; NULL: of no call */
    unsigned bit;
    union {
        struct {
            struct slot *slot; /* NULL: it is plain */
            void *stub;        /* of a plain branch that is called as C functions are, see jump_entry_new_branch() */
        };
        struct code_site code;
    };
    struct static_key *key;
    size_t index;      /* in key->entries */
    size_t code_index; /* in key->code, of a site in bytecode */
    struct jump_entry *next_retired;
};

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
 * End an entry. The caller promises that no thread is in its trampoline or can still enter it. Lock-free, so that a
 * destructor may call it while it holds a lock that a thread in a transaction waits for. The next jump_label_lock()
 * does the work.
 */
void jump_entry_retire(struct jump_entry *entry);

/*
 * A static call with an entry for each of n keys, at most CALL_KEYS, that shows their states; native where the process
 * allows it. It has no target, so it goes to `off`, as a trampoline of this kind. (Where the argument of `off` is not
 * known yet, trampoline_set_off_argument() comes before the first call.) NULL: no memory. Copies owner.
 */
struct static_call *static_call_new(struct static_key *const *keys, size_t n, const char *kind, const char *owner,
                                    enum trampoline_kind trampoline, struct trampoline_target off);

/* As jump_entry_retire(), for all its entries; targets that it still has go with it. */
void static_call_retire(struct static_call *call);

/* A new entry for a site in bytecode, which is brought to the key's state. NULL: no memory. Copies owner and site. */
struct jump_entry *jump_entry_new_code(struct static_key *key, const char *owner, const struct code_site *site);

/*
 * Have sites in bytecode lead to one place whatever their keys' state, from now on; or have them follow their keys
 * again. `arguments` has for each that place, or a negative number. All entries are of one code object. Waits as a
 * toggle does.
 */
void jump_entries_lead(struct jump_entry *const *entries, const int *arguments, size_t n);

/* End these entries, which are all of one code object, before its memory goes. */
void jump_entries_remove(struct jump_entry **entries, size_t n, struct poked_code *code);

/* The address of an entry's site: its first instruction, or the word that a plain branch reads. */
void *jump_entry_address(struct jump_entry *entry);
enum site jump_entry_site(const struct jump_entry *entry);

/* ---- the lock of all that looks at entries ---- */

/* Take the text lock, and bury what has been retired. text_unlock() is its end. */
void jump_label_lock(void);

/* False, and nothing is taken, where another thread holds the lock. */
bool jump_label_trylock(void);

/* ---- for the kinds of sites: the caller holds the text lock, unless it says otherwise ---- */

/*
 * A new entry of this kind in the key's state, the last of its key, with the lock taken; NULL, without the lock: no
 * memory. Copies owner.
 */
struct jump_entry *jump_entry_enter(struct static_key *key, const struct site_kind *of, const char *kind,
                                    const char *owner);

/* Put the entry at this place in key->entries. */
void jump_entry_put(struct jump_entry *entry, size_t index);

/* End the entry now. */
void jump_entry_bury(struct jump_entry *entry);

/* The call takes part in this transaction. */
void static_call_join(struct static_call *call);

#endif
