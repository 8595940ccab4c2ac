#include "trampoline.h"
#include "arch.h"
#include "arena.h"
#include "os.h"

struct slot *trampoline_new(enum trampoline_kind kind, struct trampoline_target off, struct trampoline_target on,
                            bool enabled, int *error)
{
    struct slot *slot = arena_alloc(error);
    if (!slot)
        return NULL;
    arch_sites->write_trampoline(slot, kind, off, on, enabled);
    /* The slot may have held other code a moment ago; a core that has fetched it must not run it. */
    if ((*error = sync_core())) {
        arena_free(slot);
        return NULL;
    }
    return slot;
}

struct slot *trampoline_target_new(struct trampoline_target target, int *error)
{
    struct slot *slot = arena_alloc(error);
    if (slot)
        arch_sites->write_target(slot, target);
    return slot;
}

void trampoline_set_off_argument(struct slot *slot, void *argument) { arch_sites->set_off_argument(slot, argument); }

void trampoline_free(struct slot *slot) { arena_free(slot); }
