#include "static_call.h"
#include "text_poke.h"
#include "trampoline.h"

#include <errno.h>
#include <stdlib.h>

static ptrdiff_t distance(const struct slot *site, const struct slot *target)
{
    return target->exec - (site->exec + SITE_SIZE);
}

static bool reaches(const struct slot *site, const struct slot *target)
{
    ptrdiff_t bytes = distance(site, target);
    return -ARCH_REACH <= bytes && bytes <= ARCH_REACH;
}

struct call_target *call_target_new(const struct static_call *call, uint64_t state, struct trampoline_target to,
                                    int *error)
{
    struct call_target *target = calloc(1, sizeof(*target));
    *error = target ? 0 : -ENOMEM;
    if (!target)
        return NULL;
    target->state = state;
    target->to = to;
    if (call->slot) {
        target->slot = trampoline_target_new(to, error);
        if (target->slot && !reaches(call->slot, target->slot))
            *error = -ENOMEM; /* see arena.c: there was no room for it in the addresses that were reserved */
    }
    if (!*error)
        return target;
    call_target_free(target);
    return NULL;
}

void call_target_free(struct call_target *target)
{
    if (target->slot)
        trampoline_free(target->slot);
    free(target);
}

struct call_target *static_call_find(const struct static_call *call, uint64_t state)
{
    struct call_target *target = atomic_load(&call->targets);
    while (target && target->state != state)
        target = atomic_load(&target->next);
    return target;
}

/* One store, behind which a reader finds the new one or the old one, and from either the rest of the list. */
struct call_target *static_call_replace(struct static_call *call, uint64_t state, struct call_target *target)
{
    struct call_target *_Atomic *link = &call->targets;
    struct call_target *old;
    while ((old = atomic_load(link)) && old->state != state)
        link = &old->next;
    struct call_target *rest = old ? atomic_load(&old->next) : NULL;
    if (target)
        atomic_store(&target->next, rest);
    atomic_store(link, target ? target : rest);
    return old;
}

struct static_call *static_call_touch(struct static_call *call, struct static_call *touched)
{
    if (call->touched)
        return touched;
    call->touched = true;
    call->next_state = atomic_load(&call->state);
    call->next_touched = touched;
    return call;
}

static int32_t displacement(const struct static_call *call, const struct call_target *target)
{
    return target ? (int32_t)distance(call->slot, target->slot) : NO_JUMP;
}

void static_call_queue(struct static_call *call)
{
    call->next_target = static_call_find(call, call->next_state);
    if (call->slot && call->next_target != atomic_load(&call->current)) {
        call->slot->on = displacement(call, call->next_target);
        call->site = (struct text_poke_group){.slots = &call->slot, .n = 1};
        text_poke_queue(&call->site, true);
    }
}

void static_call_finish(struct static_call *call, bool poked)
{
    call->touched = false;
    if (!poked)
        return;
    atomic_store(&call->state, call->next_state);
    atomic_store(&call->current, call->next_target);
}

void static_call_free(struct static_call *call)
{
    struct call_target *target = atomic_load(&call->targets);
    while (target) {
        struct call_target *next = atomic_load(&target->next);
        call_target_free(target);
        target = next;
    }
    if (call->slot)
        trampoline_free(call->slot);
    free(call);
}

static struct call_target *_Atomic retired;

void call_target_retire(struct call_target *target)
{
    if (!target)
        return;
    target->next_retired = atomic_load(&retired);
    while (!atomic_compare_exchange_weak(&retired, &target->next_retired, target))
        ;
}

void call_targets_free_retired(void)
{
    struct call_target *target = atomic_load(&retired) ? atomic_exchange(&retired, NULL) : NULL;
    while (target) {
        struct call_target *next = target->next_retired;
        call_target_free(target);
        target = next;
    }
}
