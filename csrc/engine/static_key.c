#include "static_key.h"
#include "at_fork.h"
#include "os.h"
#include "text.h"

#include <stdlib.h>

struct static_key *static_keys;

void static_key_free_if_unused(struct static_key *key)
{
    if (!key->dropped || key->n_entries)
        return;
    *key->link = key->next;
    if (key->next)
        key->next->link = key->link;
    while (key->overrides) {
        struct key_override *override = key->overrides;
        key->overrides = override->next;
        free(override);
    }
    free(key->entries);
    free(key->native.slots);
    free(key->code);
    free(key->name);
    free(key);
}

struct static_key *static_key_new(const char *name, int enabled)
{
    struct static_key *key = calloc(1, sizeof(*key));
    char *copy = text_copy(name);
    if (!key || !copy || at_fork_start()) {
        free(key);
        free(copy);
        return NULL;
    }
    key->name = copy;
    key->count = key->enabled = !!enabled;
    text_lock();
    key->next = static_keys;
    key->link = &static_keys;
    if (static_keys)
        static_keys->link = &key->next;
    static_keys = key;
    text_unlock();
    return key;
}

void static_key_drop(struct static_key *key)
{
    text_lock();
    key->dropped = true;
    static_key_free_if_unused(key);
    text_unlock();
}

void static_key_defer(struct static_key *key, int64_t nanoseconds)
{
    text_lock();
    key->deferred = nanoseconds;
    text_unlock();
}
