/*
 * What native sites need of a system. This one has none of it, and says so.
 */
#include "os.h"

#include <errno.h>

int os_map_twice(struct os_mapping *mapping, size_t size, void *where)
{
    (void)size, (void)where;
    *mapping = (struct os_mapping){0};
    return -ENOTSUP;
}

void os_unmap_twice(struct os_mapping *mapping, size_t size) { (void)mapping, (void)size; }

bool os_move_mapping(const struct os_mapping *to, const struct os_mapping *from, size_t size)
{
    (void)to, (void)from, (void)size;
    return false;
}

void *os_reserve(size_t size)
{
    (void)size;
    return NULL;
}

int sync_core_start(enum sync_method wanted)
{
    (void)wanted;
    return -ENOTSUP;
}

void sync_core_stop(void) {}
int sync_core(void) { return -ENOTSUP; }
void sync_core_forked(void) {}
enum sync_method sync_core_method(void) { return SYNC_NONE; }
uint64_t sync_core_count(void) { return 0; }

int os_trap_take(const struct os_trap *trap)
{
    (void)trap;
    return -ENOTSUP;
}

bool os_trap_blocked(void) { return true; }
size_t os_threads_asked(void) { return 0; }
void os_unblock_signals(void) {}

void os_watch_forks(void) {}
bool os_forked_untold(void) { return false; }
