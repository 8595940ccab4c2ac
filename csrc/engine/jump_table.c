#include "jump_table.h"
#include "arena.h"
#include "text_poke.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what there is ---- */

static size_t text_size(const char *text) { return strlen(text) + 1; }

static const char *keep(char **texts, const char *text)
{
    char *copy = memcpy(*texts, text, text_size(text));
    *texts += text_size(text);
    return copy;
}

/* One block: the head, the rows, and behind them the texts, which may change once the lock is released. */
struct jump_table *jump_table_read(struct static_key *only)
{
    size_t n = 0, texts_size = 0;
    jump_label_lock();
    for (struct static_key *key = static_keys; key; key = key->next) {
        if (only && key != only)
            continue;
        n += key->n_entries;
        for (size_t i = 0; i < key->n_entries; i++)
            texts_size += text_size(key->name) + text_size(key->entries[i]->kind) + text_size(key->entries[i]->owner);
    }
    struct jump_table *table = malloc(sizeof(*table) + n * sizeof(table->rows[0]) + texts_size);
    if (table) {
        struct jump_table_row *row = table->rows;
        char *texts = (char *)&table->rows[n];
        table->n = n;
        for (struct static_key *key = static_keys; key; key = key->next)
            for (size_t i = 0; i < key->n_entries && (!only || key == only); i++) {
                struct jump_entry *entry = key->entries[i];
                row->key = keep(&texts, key->name);
                row->kind = keep(&texts, entry->kind);
                row->owner = keep(&texts, entry->owner);
                row->address = jump_entry_address(entry);
                row->site = jump_entry_site(entry);
                row->enabled = key->enabled;
                row++;
            }
    }
    text_unlock();
    return table;
}

void jump_label_info(struct jump_label_info *info)
{
    uint64_t *entries[] = {&info->plain_entries, &info->native_entries, &info->bytecode_entries};
    memset(info, 0, sizeof(*info));
    jump_label_lock();
    for (struct static_key *key = static_keys; key; key = key->next) {
        info->keys++;
        for (size_t i = 0; i < key->n_entries; i++)
            (*entries[jump_entry_site(key->entries[i])])++;
    }
    struct text_poke_counts poked = text_poke_counts();
    info->native = native_sites_started();
    info->method = sync_core_method();
    info->syncs = native_sites_settings().syncs;
    info->poke = native_sites_settings().poke;
    info->arena_bytes = arena_size();
    info->batches = poked.batches;
    info->word_batches = poked.word_batches;
    info->sites_patched = poked.sites;
    info->sync_calls = sync_core_count();
    info->int3 = trap_counts();
    struct native_refusal refusal = native_sites_refusal();
    info->refused = -refusal.error;
    snprintf(info->refusal, sizeof(info->refusal), "%s", refusal.what);
    text_unlock();
}

int jump_label_start(void)
{
    jump_label_lock();
    int error = native_sites_start();
    text_unlock();
    return error;
}

int jump_label_bare_toggles(struct static_key *key, size_t n)
{
    jump_label_lock();
    int error = native_sites_start();
    while (n-- && !error) {
        error = text_poke_bare(&key->native);
        for (size_t i = 0; i < key->n_code; i++)
            code_poke(&key->code[i].site, key->enabled);
    }
    text_unlock();
    return error;
}

int jump_label_sync(size_t n)
{
    jump_label_lock();
    int error = native_sites_start();
    while (n-- && !error)
        error = sync_core();
    text_unlock();
    return error;
}
