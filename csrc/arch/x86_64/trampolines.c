#include "trampoline.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

/* The last bytes of a slot, which its code reads; trampoline_x86_64.S knows the offsets. */
struct words {
    void *off_entry; /* of a switch or branch only: the others' code may need the room */
    void *on_entry;
    void *on_argument;
    void *off_argument;
};
#define WORDS (SLOT_SIZE - sizeof(struct words))

#define TEMPLATE(name) extern const uint8_t jumplabel_##name[], jumplabel_##name##_on[], jumplabel_##name##_end[]
TEMPLATE(constant);
TEMPLATE(counted32);
TEMPLATE(counted64);
TEMPLATE(switch);
TEMPLATE(branch);
extern const uint8_t jumplabel_target[], jumplabel_target_end[];

static const struct {
    const uint8_t *start, *on, *end;
} templates[] = {
    [TRAMPOLINE_CONSTANT] = {jumplabel_constant, jumplabel_constant_on, jumplabel_constant_end},
    [TRAMPOLINE_COUNTED32] = {jumplabel_counted32, jumplabel_counted32_on, jumplabel_counted32_end},
    [TRAMPOLINE_COUNTED64] = {jumplabel_counted64, jumplabel_counted64_on, jumplabel_counted64_end},
    [TRAMPOLINE_SWITCH] = {jumplabel_switch, jumplabel_switch_on, jumplabel_switch_end},
    [TRAMPOLINE_BRANCH] = {jumplabel_branch, jumplabel_branch_on, jumplabel_branch_end},
};

static bool started;

int trampolines_start(enum sync_method method, const char **what)
{
    if (started)
        return 0;
    *what = "core synchronization";
    int error = sync_core_start(method);
    if (error)
        return error;
    *what = "executable memory";
    struct slot *slot = arena_alloc(&error);
    if (slot) {
        arena_free(slot);
        *what = "the SIGTRAP handler";
        error = text_poke_start();
    }
    started = !error;
    if (error)
        sync_core_stop();
    return error;
}

bool trampolines_started(void) { return started; }

struct slot *trampoline_new(enum trampoline_kind kind, struct trampoline_target off, struct trampoline_target on,
                            bool enabled, int *error)
{
    struct slot *slot = arena_alloc(error);
    if (!slot)
        return NULL;
    struct words words = {off.entry, on.entry, on.argument, off.argument};
    memcpy(slot->write + WORDS, &words, sizeof(words));
    memcpy(slot->write, templates[kind].start, (size_t)(templates[kind].end - templates[kind].start));
    text_poke_site(slot, (int32_t)(templates[kind].on - templates[kind].start) - SITE_SIZE, enabled);
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
    if (!slot)
        return NULL;
    struct words words = {.on_entry = target.entry, .on_argument = target.argument};
    memcpy(slot->write + WORDS, &words, sizeof(words));
    memcpy(slot->write, jumplabel_target, (size_t)(jumplabel_target_end - jumplabel_target));
    return slot;
}

void trampoline_set_off_argument(struct slot *slot, void *argument)
{
    memcpy(slot->write + WORDS + offsetof(struct words, off_argument), &argument, sizeof(argument));
}

void trampoline_free(struct slot *slot) { arena_free(slot); }
