#include "text_poke.h"
#include "arch.h"
#include "arena.h"

static struct text_poke_settings settings = {.way = POKE_AUTO, .syncs = 2};
static struct text_poke_group *queue;
static struct text_poke_counts counts;

void text_poke_configure(struct text_poke_settings new_settings) { settings = new_settings; }

int text_poke_start(void) { return arch_sites->start_poke(settings.way); }

void text_poke_queue(struct text_poke_group *group, bool enabled)
{
    group->enabled = enabled;
    group->next = queue;
    queue = group;
}

int text_poke_finish(void)
{
    struct text_poke_group *batch = queue;
    queue = NULL;
    if (!batch)
        return 0;
    bool by_words = false;
    int error = arena_shared();
    if (!error)
        error = text_poke_start();
    if (!error)
        error = arch_sites->poke(batch, &settings, &by_words);
    if (error)
        return error;
    counts.batches++;
    counts.word_batches += by_words;
    for (struct text_poke_group *group = batch; group; group = group->next)
        counts.sites += group->n;
    return 0;
}

int text_poke_bare(const struct text_poke_group *group)
{
    int error = arena_shared();
    return error ? error : arch_sites->poke_bare(group);
}

struct text_poke_counts text_poke_counts(void) { return counts; }

void text_poke_forked(void) { counts = (struct text_poke_counts){0}; }
