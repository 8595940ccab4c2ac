/*
 * Sites with a trampoline of their own: gates, switches and native branches. A key has theirs side by side, and queues
 * them as one group.
 */
#include "arch.h"
#include "array_room.h"
#include "jump_entry.h"
#include "native_sites.h"
#include "os.h"
#include "text_poke.h"
#include "trampoline.h"

#include <errno.h>

static void queue(struct static_key *key)
{
    if (key->native.n)
        text_poke_queue(&key->native, key->next_enabled);
}

/* Its place among the key's native ones is taken by the last of these. */
static void bury(struct jump_entry *entry)
{
    struct static_key *key = entry->key;
    size_t hole = entry->index, last = --key->native.n;
    jump_entry_put(key->entries[last], hole);
    jump_entry_put(entry, last);
    key->native.slots[hole] = key->native.slots[last];
    trampoline_free(entry->slot);
}

static void *address(struct jump_entry *entry) { return entry->slot->exec; }

static enum site describe(const struct jump_entry *entry)
{
    (void)entry;
    return SITE_NATIVE;
}

const struct site_kind site_native = {.queue = queue, .bury = bury, .address = address, .describe = describe};

/* The last entry of its key joins its native ones, which are the first. False: no memory. */
static bool join(struct jump_entry *entry)
{
    struct static_key *key = entry->key;
    struct text_poke_group *native = &key->native;
    struct slot **slots = array_room(native->slots, native->n, &key->native_room, sizeof(*slots));
    if (!slots)
        return false;
    native->slots = slots;
    jump_entry_put(key->entries[native->n], entry->index);
    jump_entry_put(entry, native->n);
    native->slots[native->n++] = entry->slot;
    return true;
}

/* It stays a plain branch where it cannot, and the refusal is kept. */
static void go_native(struct jump_entry *entry, enum trampoline_kind trampoline, struct trampoline_target off,
                      struct trampoline_target on)
{
    if (native_sites_start())
        return;
    int error;
    entry->slot = trampoline_new(trampoline, off, on, entry->key->enabled, &error);
    if (entry->slot && join(entry)) {
        entry->of = &site_native;
        return;
    }
    if (entry->slot) {
        trampoline_free(entry->slot);
        entry->slot = NULL;
        error = -ENOMEM;
    }
    native_sites_refuse("a trampoline", error);
}

struct jump_entry *jump_entry_new(struct static_key *key, const char *kind, const char *owner,
                                  enum trampoline_kind trampoline, struct trampoline_target off,
                                  struct trampoline_target on)
{
    struct jump_entry *entry = jump_entry_enter(key, &site_plain, kind, owner);
    if (!entry)
        return NULL;
    go_native(entry, trampoline, off, on);
    text_unlock();
    return entry;
}

struct jump_entry *jump_entry_new_branch(struct static_key *key, const char *owner, void *off, void *on, int *error)
{
    struct jump_entry *entry = jump_entry_enter(key, &site_plain, "native_branch", owner);
    *error = -ENOMEM;
    if (!entry)
        return NULL;
    go_native(entry, TRAMPOLINE_BRANCH, (struct trampoline_target){off, NULL}, (struct trampoline_target){on, NULL});
    if (!entry->slot && arch_sites)
        entry->stub = arch_sites->plain_branch_new(&entry->enabled, off, on);
    if (!entry->slot && !entry->stub) {
        *error = arch_sites ? -EAGAIN : -ENOSYS;
        jump_entry_bury(entry);
        entry = NULL;
    }
    text_unlock();
    return entry;
}
