#include "trampolines.h"
#include "instructions.h"

/* The last bytes of a slot, which its code reads; trampoline_templates.S knows the offsets. */
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

static void write_words(struct slot *slot, struct words words) { memcpy(slot->write + WORDS, &words, sizeof(words)); }

static void write_new_site(struct slot *slot, int32_t on, bool enabled)
{
    uint8_t insn[SITE_SIZE];
    slot->on = on;
    slot->displacement = enabled ? on : NO_JUMP;
    encode(insn, slot->displacement);
    memcpy(slot->write, insn, SITE_SIZE);
    record(slot, trap_record(trap_batch(), slot->displacement));
}

void write_trampoline(struct slot *slot, enum trampoline_kind kind, struct trampoline_target off,
                      struct trampoline_target on, bool enabled)
{
    const uint8_t *start = templates[kind].start;
    write_words(slot, (struct words){off.entry, on.entry, on.argument, off.argument});
    memcpy(slot->write, start, (size_t)(templates[kind].end - start));
    write_new_site(slot, (int32_t)(templates[kind].on - start) - SITE_SIZE, enabled);
}

void write_target(struct slot *slot, struct trampoline_target target)
{
    write_words(slot, (struct words){.on_entry = target.entry, .on_argument = target.argument});
    memcpy(slot->write, jumplabel_target, (size_t)(jumplabel_target_end - jumplabel_target));
}

void set_off_argument(struct slot *slot, void *argument)
{
    memcpy(slot->write + WORDS + offsetof(struct words, off_argument), &argument, sizeof(argument));
}
