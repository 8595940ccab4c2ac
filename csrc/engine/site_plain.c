/*
 * Entries without a trampoline: the owner reads entry->enabled, or a stub does. Those of plain static calls are turned
 * here, too.
 */
#include "arch.h"
#include "jump_entry.h"

/* Plain branches, and the plain entries of static calls, are among those that are neither native nor in bytecode. */
static void commit(struct static_key *key)
{
    for (size_t i = key->native.n; static_key_has_others(key) && i < key->n_entries; i++)
        if (jump_entry_site(key->entries[i]) == SITE_PLAIN)
            atomic_store_explicit(&key->entries[i]->enabled, key->next_enabled, memory_order_release);
}

static void bury(struct jump_entry *entry)
{
    if (entry->stub)
        arch_sites->plain_branch_free(entry->stub);
}

static void *address(struct jump_entry *entry) { return &entry->enabled; }

static enum site describe(const struct jump_entry *entry)
{
    (void)entry;
    return SITE_PLAIN;
}

const struct site_kind site_plain = {.commit = commit, .bury = bury, .address = address, .describe = describe};
