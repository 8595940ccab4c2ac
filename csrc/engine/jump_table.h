/*
 * The jump table: what there is, and what this process runs on.
 *
 * Above entries. Every function takes the text lock itself, and may be called from any thread, but not from a signal
 * handler.
 */
#ifndef JUMPLABEL_JUMP_TABLE_H
#define JUMPLABEL_JUMP_TABLE_H

#include "jump_entry.h"
#include "native_sites.h"
#include "trap_outcome.h"

struct jump_table_row {
    const char *key, *kind, *owner;
    void *address;
    enum site site;
    int enabled;
};

struct jump_table {
    size_t n;
    struct jump_table_row rows[];
};

/* All entries of a key, or of all keys for NULL, as of one moment. Free it with free(). NULL: no memory. */
struct jump_table *jump_table_read(struct static_key *key);

struct jump_label_info {
    int native;              /* whether trampolines could be made ready */
    enum sync_method method; /* SYNC_NONE while they are not */
    int syncs;
    enum text_poke_way poke;
    uint64_t keys, native_entries, plain_entries, bytecode_entries, arena_bytes;
    uint64_t batches, word_batches, sites_patched, sync_calls; /* native; of this process, since it began or forked */
    struct trap_counts int3;
    int refused; /* errno of the last refusal to make a native entry, 0 for none; the text says of what */
    char refusal[128];
};
void jump_label_info(struct jump_label_info *info);

/* Make native entries possible before the first one is made, to see whether they are. 0 or -errno. */
int jump_label_start(void);

/* For benchmarks: n bare syncs; and what n toggles of a key cannot do without, see text_poke_bare(). 0 or -errno. */
int jump_label_sync(size_t n);
int jump_label_bare_toggles(struct static_key *key, size_t n);

#endif
