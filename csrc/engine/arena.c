#include "arena.h"
#include "os.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Regions double in size: however many slots there are, a handler finds an address among a few regions. */
#define FIRST_REGION (64 * 1024)
#define LARGEST_REGION (16 * 1024 * 1024)

struct region {
    struct os_mapping code;
    size_t size;
    size_t used;            /* bytes, from the start, that were ever handed out; behind them no page was ever touched */
    struct os_mapping twin; /* the child's copy, from just before a fork to just after it */
    struct region *next;
    struct slot slots[];
};

static struct region *_Atomic regions; /* newest first; only ever grows */
static struct slot *free_slots;
static uint64_t mapped;

/*
 * ARCH_RESERVED bytes of addresses for the executable side of the regions; NULL: none. Where they are used up, or were
 * refused, a region is where the kernel puts it.
 */
static uint8_t *reserved;
static size_t taken; /* of them */
static int shared;   /* see arena_shared() */

/* `size` bytes of them, or NULL. Never given back: a failed mapping there may have left a hole for other libraries. */
static void *take_reserved(size_t size)
{
    if (!reserved)
        reserved = os_reserve(ARCH_RESERVED);
    if (!reserved || size > ARCH_RESERVED - taken)
        return NULL;
    taken += size;
    return reserved + taken - size;
}

static int add_region(void)
{
    struct region *newest = atomic_load(&regions);
    size_t size = !newest ? FIRST_REGION : newest->size < LARGEST_REGION ? 2 * newest->size : LARGEST_REGION;
    size_t n = size / SLOT_SIZE;
    struct region *region = calloc(1, sizeof(*region) + n * sizeof(region->slots[0]));
    if (!region)
        return -ENOMEM;
    int error = os_map_twice(&region->code, size, take_reserved(size));
    if (error) {
        free(region);
        return error;
    }
    os_watch_forks();
    region->size = size;
    region->next = newest;
    for (size_t i = n; i-- > 0;) {
        struct slot *slot = &region->slots[i];
        slot->exec = region->code.exec + i * SLOT_SIZE;
        slot->write = region->code.write + i * SLOT_SIZE;
        slot->next = free_slots;
        free_slots = slot;
    }
    mapped += size;
    atomic_store(&regions, region);
    return 0;
}

static struct region *region_of(const void *address)
{
    struct region *region = atomic_load(&regions);
    while (region && (uintptr_t)address - (uintptr_t)region->code.exec >= region->size)
        region = region->next;
    return region;
}

struct slot *arena_find(const void *address)
{
    struct region *region = region_of(address);
    return region ? &region->slots[((uintptr_t)address - (uintptr_t)region->code.exec) / SLOT_SIZE] : NULL;
}

struct slot *arena_alloc(int *error)
{
    if ((*error = arena_shared()) || (!free_slots && (*error = add_region())))
        return NULL;
    struct slot *slot = free_slots;
    free_slots = slot->next;
    slot->next = NULL;
    struct region *region = region_of(slot->exec);
    size_t end = (size_t)(slot->exec - region->code.exec) + SLOT_SIZE;
    if (end > region->used)
        region->used = end;
    memset(slot->write, SLOT_FILL, SLOT_SIZE);
    return slot;
}

void arena_free(struct slot *slot)
{
    if (arena_shared())
        return; /* the parent may have threads in it */
    atomic_store(&slot->poke, 0);
    /* A thread that still enters it dies at once, and runs no code of another site. */
    memset(slot->write, SLOT_FILL, SLOT_SIZE);
    arch_flush(slot->exec, SLOT_SIZE);
    slot->next = free_slots;
    free_slots = slot;
}

/* The copy is made before the fork: afterwards the parent goes on patching, and the child would copy half a patch. */
void arena_fork_prepare(void)
{
    if (arena_shared())
        return; /* it may be half a patch of the parent's right now */
    for (struct region *region = atomic_load(&regions); region; region = region->next)
        if (!os_map_twice(&region->twin, region->size, NULL))
            memcpy(region->twin.write, region->code.write, region->used);
}

void arena_fork_parent(void)
{
    for (struct region *region = atomic_load(&regions); region; region = region->next)
        os_unmap_twice(&region->twin, region->size);
}

void arena_fork_child(void)
{
    if (shared || !atomic_load(&regions))
        return;
    os_watch_forks();
    for (struct region *region = atomic_load(&regions); region; region = region->next) {
        struct os_mapping twin = region->twin;
        region->twin = (struct os_mapping){0};
        if (!os_move_mapping(&region->code, &twin, region->size))
            shared = -ENOMEM;
        else
            arch_flush(region->code.exec, region->used);
    }
}

int arena_shared(void)
{
    if (!shared && os_forked_untold())
        shared = -ENOTSUP;
    return shared;
}

uint64_t arena_size(void) { return mapped; }
