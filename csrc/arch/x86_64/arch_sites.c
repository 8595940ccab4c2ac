#include "arch.h"
#include "instructions.h"
#include "os.h"
#include "plain_branch.h"
#include "pokes.h"
#include "trampolines.h"
#include "trap_handler.h"

static int start_poke(enum text_poke_way way) { return way == POKE_WORD ? 0 : os_trap_take(&x86_trap); }

static int poke(struct text_poke_group *batch, const struct text_poke_settings *settings, bool *by_words)
{
    *by_words = settings->way == POKE_WORD || (settings->way == POKE_AUTO && os_trap_blocked());
    return *by_words ? word_poke(batch) : int3_poke(batch, settings->syncs > 2);
}

static int poke_bare(const struct text_poke_group *group)
{
    for (size_t i = 0; i < group->n; i++)
        write_first(group->slots[i], PREFIX);
    int error = sync_core();
    for (size_t i = 0; i < group->n; i++) {
        uint64_t *word = (uint64_t *)(void *)group->slots[i]->write;
        __atomic_store_n(word, *word, __ATOMIC_RELEASE);
    }
    for (size_t i = 0; i < group->n; i++)
        write_first(group->slots[i], PREFIX);
    return error ? error : sync_core();
}

static const struct arch_sites x86_64 = {
    .write_trampoline = write_trampoline,
    .write_target = write_target,
    .set_off_argument = set_off_argument,
    .start_poke = start_poke,
    .poke = poke,
    .poke_bare = poke_bare,
    .plain_branch_new = plain_branch_new,
    .plain_branch_free = plain_branch_free,
};

const struct arch_sites *const arch_sites = &x86_64;
