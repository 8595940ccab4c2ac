/*
 * The code of trampolines: trampoline_templates.S, copied into a slot. See arch.h for what each function does.
 */
#ifndef JUMPLABEL_X86_64_TRAMPOLINES_H
#define JUMPLABEL_X86_64_TRAMPOLINES_H

#include "slot.h"

void write_trampoline(struct slot *slot, enum trampoline_kind kind, struct trampoline_target off,
                      struct trampoline_target on, bool enabled);
void write_target(struct slot *slot, struct trampoline_target target);
void set_off_argument(struct slot *slot, void *argument);

#endif
