#include "jump_entry.h"
#include "arch.h"
#include "native_sites.h"
#include "os.h"
#include "text.h"
#include "trampoline.h"

#include <errno.h>

/* ---- the end of an entry ---- */

static struct jump_entry *_Atomic retired;
static struct call_target *_Atomic retired_targets;

static void free_call(struct static_call *call)
{
    struct call_target *target = atomic_load(&call->targets);
    while (target) {
        struct call_target *next = atomic_load(&target->next);
        call_target_free(target);
        target = next;
    }
    if (call->slot)
        trampoline_free(call->slot);
    free(call);
}

static void put(struct jump_entry *entry, size_t index)
{
    entry->key->entries[index] = entry;
    entry->index = index;
}

static void put_code(struct static_key *key, size_t index, struct code_place place)
{
    key->code[index] = place;
    place.entry->code_index = index;
}

/* Its place is taken by the last one of its part of key->entries, and the place of that by the last of all. */
static void leave(struct jump_entry *entry)
{
    struct static_key *key = entry->key;
    size_t hole = entry->index;
    if (hole < key->native.n) {
        size_t last = --key->native.n;
        put(key->entries[last], hole);
        key->native.slots[hole] = key->native.slots[last];
        hole = last;
    }
    if (hole != --key->n_entries)
        put(key->entries[key->n_entries], hole);
    if (entry->site == SITE_BYTECODE)
        put_code(key, entry->code_index, key->code[--key->n_code]);
}

static void bury(struct jump_entry *entry)
{
    struct static_key *key = entry->key;
    leave(entry);
    if (entry->call) {
        if (!--entry->call->n_entries)
            free_call(entry->call);
    } else if (entry->site == SITE_NATIVE) {
        trampoline_free(entry->slot);
    } else if (entry->site == SITE_PLAIN && entry->stub) {
        arch_sites->plain_branch_free(entry->stub);
    }
    free(entry->owner);
    free(entry);
    static_key_free_if_unused(key);
}

static void bury_retired(void)
{
    /* An exchange is a barrier, and there is rarely anything. */
    struct jump_entry *entry = atomic_load(&retired) ? atomic_exchange(&retired, NULL) : NULL;
    while (entry) {
        struct jump_entry *next = entry->next_retired;
        bury(entry);
        entry = next;
    }
    struct call_target *target = atomic_load(&retired_targets) ? atomic_exchange(&retired_targets, NULL) : NULL;
    while (target) {
        struct call_target *next = target->next_retired;
        call_target_free(target);
        target = next;
    }
}

void jump_label_lock(void)
{
    text_lock();
    bury_retired();
}

bool jump_label_trylock(void)
{
    bool taken = text_trylock();
    if (taken)
        bury_retired();
    return taken;
}

/* ---- entries ---- */

/* The array with room for one more than n, which is moved then; NULL, and nothing has changed, where there is none. */
static void *with_room(void *array, size_t n, size_t *room, size_t size)
{
    if (n < *room)
        return array;
    size_t more = *room + *room / 4 + 4; /* not twice: of a million, that is much */
    void *moved = realloc(array, more * size);
    if (moved)
        *room = more;
    return moved;
}

/* A new entry in the key's state, with the lock taken; or NULL, without. */
static struct jump_entry *enter(struct static_key *key, const char *kind, const char *owner)
{
    struct jump_entry *entry = calloc(1, sizeof(*entry));
    char *copy = text_copy(owner);
    jump_label_lock();
    struct jump_entry **entries = with_room(key->entries, key->n_entries, &key->room, sizeof(*entries));
    if (entries)
        key->entries = entries;
    if (!entry || !copy || !entries) {
        text_unlock();
        free(entry);
        free(copy);
        return NULL;
    }
    entry->kind = kind;
    entry->owner = copy;
    entry->enabled = key->enabled;
    entry->key = key;
    put(entry, key->n_entries++);
    return entry;
}

/* The last entry of its key has a site of its own from now on. */
static bool join_native(struct jump_entry *entry)
{
    struct static_key *key = entry->key;
    struct text_poke_group *native = &key->native;
    struct slot **slots = with_room(native->slots, native->n, &key->native_room, sizeof(*slots));
    if (!slots)
        return false;
    native->slots = slots;
    put(key->entries[native->n], entry->index);
    put(entry, native->n);
    native->slots[native->n++] = entry->slot;
    return true;
}

/* The entry has this site from now on. */
static bool join_code(struct jump_entry *entry, const struct code_site *site)
{
    struct static_key *key = entry->key;
    struct code_place *code = with_room(key->code, key->n_code, &key->code_room, sizeof(*code));
    if (!code)
        return false;
    key->code = code;
    entry->site = SITE_BYTECODE;
    entry->code = *site;
    put_code(key, key->n_code++, (struct code_place){*site, entry});
    return true;
}

/* With the lock taken: the entry has a trampoline from now on, or is a plain branch. */
static void go_native(struct jump_entry *entry, enum trampoline_kind trampoline, struct trampoline_target off,
                      struct trampoline_target on)
{
    if (native_sites_start())
        return;
    int error;
    entry->slot = trampoline_new(trampoline, off, on, entry->key->enabled, &error);
    if (entry->slot && !join_native(entry)) {
        trampoline_free(entry->slot);
        entry->slot = NULL;
        error = -ENOMEM;
    }
    entry->site = entry->slot ? SITE_NATIVE : SITE_PLAIN;
    if (!entry->slot)
        native_sites_refuse("a trampoline", error);
}

struct jump_entry *jump_entry_new(struct static_key *key, const char *kind, const char *owner,
                                  enum trampoline_kind trampoline, struct trampoline_target off,
                                  struct trampoline_target on)
{
    struct jump_entry *entry = enter(key, kind, owner);
    if (!entry)
        return NULL;
    go_native(entry, trampoline, off, on);
    text_unlock();
    return entry;
}

struct jump_entry *jump_entry_new_branch(struct static_key *key, const char *owner, void *off, void *on, int *error)
{
    struct jump_entry *entry = enter(key, "native_branch", owner);
    *error = -ENOMEM;
    if (!entry)
        return NULL;
    go_native(entry, TRAMPOLINE_BRANCH, (struct trampoline_target){off, NULL}, (struct trampoline_target){on, NULL});
    if (entry->site == SITE_PLAIN) {
        entry->stub = arch_sites ? arch_sites->plain_branch_new(&entry->enabled, off, on) : NULL;
        *error = entry->stub ? 0 : arch_sites ? -EAGAIN : -ENOSYS;
    }
    if (entry->site == SITE_PLAIN && !entry->stub) {
        bury(entry);
        entry = NULL;
    }
    text_unlock();
    return entry;
}

static struct static_call *call_alloc(size_t n, enum trampoline_kind trampoline, struct trampoline_target off)
{
    struct static_call *call = calloc(1, sizeof(*call) + n * sizeof(call->entries[0]));
    if (!call)
        return NULL;
    jump_label_lock();
    if (!native_sites_start()) {
        int error;
        call->slot = trampoline_new(trampoline, off, (struct trampoline_target){0}, false, &error);
        if (!call->slot)
            native_sites_refuse("a trampoline", error);
    }
    text_unlock();
    return call;
}

static void give_up(struct static_call *call)
{
    if (call->n_entries) {
        static_call_retire(call);
        return;
    }
    jump_label_lock();
    free_call(call);
    text_unlock();
}

struct static_call *static_call_new(struct static_key *const *keys, size_t n, const char *kind, const char *owner,
                                    enum trampoline_kind trampoline, struct trampoline_target off)
{
    struct static_call *call = call_alloc(n, trampoline, off);
    for (unsigned bit = 0; call && bit < n; bit++) {
        struct jump_entry *entry = enter(keys[bit], kind, owner);
        if (!entry) {
            give_up(call);
            return NULL;
        }
        entry->call = call;
        entry->bit = bit;
        entry->slot = call->slot;
        entry->site = call->slot ? SITE_NATIVE : SITE_PLAIN;
        call->entries[call->n_entries++] = entry;
        atomic_fetch_or(&call->state, (uint64_t)!!keys[bit]->enabled << bit);
        text_unlock();
    }
    return call;
}

void static_call_retire(struct static_call *call)
{
    size_t n = call->n_entries; /* once the last one is retired, the call may go at any moment */
    for (size_t i = 0; i < n; i++)
        jump_entry_retire(call->entries[i]);
}

void call_target_retire(struct call_target *target)
{
    if (!target)
        return;
    target->next_retired = atomic_load(&retired_targets);
    while (!atomic_compare_exchange_weak(&retired_targets, &target->next_retired, target))
        ;
}

void *jump_entry_function(struct jump_entry *entry)
{
    return entry->site == SITE_NATIVE ? entry->slot->exec : entry->stub;
}

struct jump_entry *jump_entry_new_code(struct static_key *key, const char *owner, const struct code_site *site)
{
    struct jump_entry *entry = enter(key, "branch", owner);
    if (!entry)
        return NULL;
    if (join_code(entry, site)) {
        code_poke(&entry->code, key->enabled);
    } else {
        bury(entry);
        entry = NULL;
    }
    text_unlock();
    return entry;
}

void jump_entries_remove(struct jump_entry **entries, size_t n, struct poked_code *code)
{
    jump_label_lock();
    code_poke_forget(code);
    for (size_t i = 0; i < n; i++)
        bury(entries[i]);
    text_unlock();
}

void jump_entry_retire(struct jump_entry *entry)
{
    entry->next_retired = atomic_load(&retired);
    while (!atomic_compare_exchange_weak(&retired, &entry->next_retired, entry))
        ;
}

void *jump_entry_address(struct jump_entry *entry)
{
    switch (entry->site) {
    case SITE_NATIVE:
        return entry->slot->exec;
    case SITE_BYTECODE:
        return entry->code.unit;
    default:
        return &entry->enabled;
    }
}
