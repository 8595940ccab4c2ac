#define _GNU_SOURCE
#include "trap_handler.h"
#include "arch_cpu.h"
#include "trap_outcome.h"

#include <ucontext.h>

static const struct slot *slot_with_site(const uint8_t *site)
{
    const struct slot *slot = arena_find(site);
    return slot && slot->exec == site ? slot : NULL;
}

static bool handle(void *context, bool by_kernel)
{
    greg_t *rip = &((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    /*
     * Not only where the kernel sent it: a thread stands one byte behind the start of a site only if it trapped there.
     * A SIGTRAP that another thread sends at that instant takes the place of the trap's own (a signal is pending once).
     */
    uint8_t *site = (uint8_t *)*rip - 1;
    const struct slot *slot = slot_with_site(site);
    /*
     * A debugger first puts the counter back to where it thinks its own breakpoint is, and then looks whose int3 it
     * was. If it detaches then, the signal is delivered there.
     */
    if (!slot && by_kernel)
        slot = slot_with_site(++site);
    int32_t displacement;
    switch (trap_outcome(slot, &displacement)) {
    case TRAP_CURRENT:
        *rip = (greg_t)(site + SITE_SIZE + displacement);
        return true;
    case TRAP_PREVIOUS:
    case TRAP_STALE:
        *rip = (greg_t)site;
        return true;
    default:
        return false;
    }
}

static void trap(void) { __asm__ volatile("int3"); }

const struct os_trap x86_trap = {.handle = handle, .trap = trap};
