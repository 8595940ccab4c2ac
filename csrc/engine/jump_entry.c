#include "jump_entry.h"
#include "array_room.h"
#include "os.h"
#include "text.h"

/* ---- the beginning of an entry ---- */

void jump_entry_put(struct jump_entry *entry, size_t index)
{
    entry->key->entries[index] = entry;
    entry->index = index;
}

struct jump_entry *jump_entry_enter(struct static_key *key, const struct site_kind *of, const char *kind,
                                    const char *owner)
{
    struct jump_entry *entry = calloc(1, sizeof(*entry));
    char *copy = text_copy(owner);
    jump_label_lock();
    struct jump_entry **entries = array_room(key->entries, key->n_entries, &key->room, sizeof(*entries));
    if (entries)
        key->entries = entries;
    if (!entry || !copy || !entries) {
        text_unlock();
        free(entry);
        free(copy);
        return NULL;
    }
    entry->of = of;
    entry->kind = kind;
    entry->owner = copy;
    entry->enabled = key->enabled;
    entry->key = key;
    jump_entry_put(entry, key->n_entries++);
    return entry;
}

/* ---- the end of an entry ---- */

static struct jump_entry *_Atomic retired;

void jump_entry_bury(struct jump_entry *entry)
{
    struct static_key *key = entry->key;
    entry->of->bury(entry);
    if (entry->index != --key->n_entries)
        jump_entry_put(key->entries[key->n_entries], entry->index);
    free(entry->owner);
    free(entry);
    static_key_free_if_unused(key);
}

void jump_entry_retire(struct jump_entry *entry)
{
    entry->next_retired = atomic_load(&retired);
    while (!atomic_compare_exchange_weak(&retired, &entry->next_retired, entry))
        ;
}

static void bury_retired(void)
{
    /* An exchange is a barrier, and there is rarely anything. */
    struct jump_entry *entry = atomic_load(&retired) ? atomic_exchange(&retired, NULL) : NULL;
    while (entry) {
        struct jump_entry *next = entry->next_retired;
        jump_entry_bury(entry);
        entry = next;
    }
    call_targets_free_retired();
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

/* ---- what there is to know of it ---- */

void *jump_entry_address(struct jump_entry *entry) { return entry->of->address(entry); }

enum site jump_entry_site(const struct jump_entry *entry) { return entry->of->describe(entry); }

void *jump_entry_function(struct jump_entry *entry) { return entry->slot ? entry->slot->exec : entry->stub; }
