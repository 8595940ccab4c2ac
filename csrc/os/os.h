/*
 * What the engine asks of a system, whichever it is.
 *
 * Each folder beside this file answers for one system. `generic` answers for all others: it has locks and a clock, and
 * refuses what native sites need. A system's files include no header of ours but this one, arch_cpu.h and their own;
 * they know neither keys nor sites.
 */
#ifndef JUMPLABEL_OS_H
#define JUMPLABEL_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- executable memory: os/<system>/dual_mapping.c, the only file that maps any ---- */

/* The same pages at two addresses. No address is ever both executable and writable (W^X). */
struct os_mapping {
    uint8_t *exec, *write;
};

/*
 * Map `size` bytes of new memory twice, the executable side at `where`, or for NULL anywhere. Returns 0, or -errno with
 * nothing mapped.
 */
int os_map_twice(struct os_mapping *mapping, size_t size, void *where);
void os_unmap_twice(struct os_mapping *mapping, size_t size);

/*
 * Move a mapping to the addresses of another one, which it replaces; both are of this size. False: one side or both
 * could not be moved, and are unmapped.
 */
bool os_move_mapping(const struct os_mapping *to, const struct os_mapping *from, size_t size);

/* Take `size` bytes of addresses, without memory, for os_map_twice(). NULL: the process has none to spare. */
void *os_reserve(size_t size);

/* ---- forks ---- */

/*
 * From now on os_forked_untold() is true in the child of a fork that runs no handlers of pthread_atfork(3): one by
 * clone(2) or _Fork(3). A child whose handlers run calls this again.
 */
void os_watch_forks(void);
bool os_forked_untold(void);

#endif
