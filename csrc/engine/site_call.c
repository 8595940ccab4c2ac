/*
 * Sites of static calls, tracepoints and snapshots (static_call.h): an entry for each key that has a part in the call,
 * and one site for them all, which leads where the states of all these keys say.
 */
#include "jump_entry.h"
#include "native_sites.h"
#include "os.h"
#include "trampoline.h"

#include <stdlib.h>

/* Those of this transaction. */
static struct static_call *touched;

void static_call_join(struct static_call *call) { touched = static_call_touch(call, touched); }

static void queue(struct static_key *key)
{
    for (size_t i = key->native.n; static_key_has_others(key) && i < key->n_entries; i++) {
        struct jump_entry *entry = key->entries[i];
        if (entry->call) {
            static_call_join(entry->call);
            entry->call->next_state ^= UINT64_C(1) << entry->bit;
        }
    }
}

static void queue_rest(void)
{
    for (struct static_call *call = touched; call; call = call->next_touched)
        static_call_queue(call);
}

static void patched(bool success)
{
    for (struct static_call *call = touched; call; call = call->next_touched)
        static_call_finish(call, success);
    touched = NULL;
}

static void bury(struct jump_entry *entry)
{
    if (!--entry->call->n_entries)
        static_call_free(entry->call);
}

static void *address(struct jump_entry *entry) { return entry->slot ? (void *)entry->slot->exec : &entry->enabled; }

static enum site describe(const struct jump_entry *entry) { return entry->slot ? SITE_NATIVE : SITE_PLAIN; }

const struct site_kind site_call = {
    .queue = queue,
    .queue_rest = queue_rest,
    .patched = patched,
    .bury = bury,
    .address = address,
    .describe = describe,
};

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
    static_call_free(call);
    text_unlock();
}

struct static_call *static_call_new(struct static_key *const *keys, size_t n, const char *kind, const char *owner,
                                    enum trampoline_kind trampoline, struct trampoline_target off)
{
    struct static_call *call = call_alloc(n, trampoline, off);
    for (unsigned bit = 0; call && bit < n; bit++) {
        struct jump_entry *entry = jump_entry_enter(keys[bit], &site_call, kind, owner);
        if (!entry) {
            give_up(call);
            return NULL;
        }
        entry->call = call;
        entry->bit = bit;
        entry->slot = call->slot;
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
