/*
 * Sites in bytecode: nothing is patched; the commit stores their arguments (code_poke.h).
 */
#include "array_room.h"
#include "jump_entry.h"
#include "os.h"

/*
 * All stores, one barrier, and then a look for readers that have the old argument in hand (see code_poke.h), of so many
 * sites at a time as a cache holds. Sites stand side by side, because a toggle of very many takes as long as their
 * bytes.
 */
#define TOGETHER 512

static void commit(struct static_key *key)
{
    for (size_t from = 0, to; from < key->n_code; from = to) {
        to = key->n_code - from > TOGETHER ? from + TOGETHER : key->n_code;
        for (size_t i = from; i < to; i++)
            code_poke(&key->code[i].site, key->next_enabled);
        atomic_thread_fence(memory_order_seq_cst);
        for (size_t i = from; i < to; i++)
            if (i == from || key->code[i].site.code != key->code[i - 1].site.code)
                code_poke_look(key->code[i].site.code);
    }
}

static void put(struct static_key *key, size_t index, struct code_place place)
{
    key->code[index] = place;
    place.entry->code_index = index;
}

static void bury(struct jump_entry *entry)
{
    struct static_key *key = entry->key;
    put(key, entry->code_index, key->code[--key->n_code]);
}

static void *address(struct jump_entry *entry) { return entry->code.unit; }

static enum site describe(const struct jump_entry *entry)
{
    (void)entry;
    return SITE_BYTECODE;
}

const struct site_kind site_code = {.commit = commit, .bury = bury, .address = address, .describe = describe};

/* The entry has this site from now on. False: no memory. */
static bool join(struct jump_entry *entry, const struct code_site *site)
{
    struct static_key *key = entry->key;
    struct code_place *code = array_room(key->code, key->n_code, &key->code_room, sizeof(*code));
    if (!code)
        return false;
    key->code = code;
    entry->of = &site_code;
    entry->code = *site;
    put(key, key->n_code++, (struct code_place){*site, entry});
    return true;
}

struct jump_entry *jump_entry_new_code(struct static_key *key, const char *owner, const struct code_site *site)
{
    struct jump_entry *entry = jump_entry_enter(key, &site_plain, "branch", owner);
    if (!entry)
        return NULL;
    if (join(entry, site)) {
        code_poke(&entry->code, key->enabled);
    } else {
        jump_entry_bury(entry);
        entry = NULL;
    }
    text_unlock();
    return entry;
}

void jump_entries_lead(struct jump_entry *const *entries, const int *arguments, size_t n)
{
    jump_label_lock();
    for (size_t i = 0; i < n; i++) {
        struct jump_entry *entry = entries[i];
        struct code_site *site = &entry->key->code[entry->code_index].site; /* what toggles read */
        for (int state = 0; state < 2; state++)
            site->target[state] = arguments[i] < 0 ? entry->code.target[state] : (uint8_t)arguments[i];
        code_poke(site, entry->key->enabled);
    }
    atomic_thread_fence(memory_order_seq_cst);
    if (n)
        code_poke_look(entries[0]->code.code);
    text_unlock();
    code_poke_settle();
}

void jump_entries_remove(struct jump_entry **entries, size_t n, struct poked_code *code)
{
    jump_label_lock();
    code_poke_forget(code);
    for (size_t i = 0; i < n; i++)
        jump_entry_bury(entries[i]);
    text_unlock();
}
