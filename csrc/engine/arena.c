#define _GNU_SOURCE
#include "arena.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* Regions double in size, so that a handler finds an address among a few of them however many slots there are. */
#define FIRST_REGION (64 * 1024)
#define LARGEST_REGION (16 * 1024 * 1024)

/*
 * Addresses for the executable side of the regions, so that a jump from any slot reaches any other: rel32 goes 2 GiB.
 * Where they are used up, or were refused, a region is where the kernel puts it.
 */
#define RESERVED (256 * 1024 * 1024)

struct mapping {
    uint8_t *exec, *write;
};

struct region {
    struct mapping code;
    size_t size;
    size_t used;         /* bytes, from the start, that were ever handed out; behind them no page was ever touched */
    struct mapping twin; /* the child's copy, from just before a fork to just after it */
    struct region *next;
    struct slot slots[];
};

static struct region *_Atomic regions; /* newest first; only ever grows */
static struct slot *free_slots;
static uint64_t mapped;
static uint8_t *reserved;     /* RESERVED bytes of addresses; NULL: none */
static size_t taken;          /* of them */
static int shared;            /* see arena_shared() */
static volatile char *marker; /* NULL, or a page that the kernel zeroes in a child, however it is made; else not 0 */

/* Who may have only 2 GiB of addresses needs them, and mmap(2) puts so few next to one another by itself. */
static bool may_reserve(void)
{
    struct rlimit limit;
    return !getrlimit(RLIMIT_AS, &limit) && limit.rlim_cur > (rlim_t)8 * RESERVED;
}

/* So many of them, or NULL. They are never taken again: what becomes of a mapping there may leave a hole for others. */
static void *take_reserved(size_t size)
{
    if (!reserved && !may_reserve())
        return NULL;
    if (!reserved) {
        void *address = mmap(NULL, RESERVED, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (address == MAP_FAILED)
            return NULL;
        reserved = address;
    }
    if (size > RESERVED - taken)
        return NULL;
    taken += size;
    return reserved + taken - size;
}

static void unmap_twice(struct mapping *mapping, size_t size)
{
    if (mapping->exec)
        munmap(mapping->exec, size);
    if (mapping->write)
        munmap(mapping->write, size);
    *mapping = (struct mapping){0};
}

static void *map(void *where, size_t size, int protection, int flags, int fd)
{
    void *address = mmap(where, size, protection, MAP_SHARED | (where ? MAP_FIXED : 0) | flags, fd, 0);
    return address == MAP_FAILED ? NULL : address;
}

/*
 * The executable mapping is made executable from the start, and the writable one never is: under
 * prctl(PR_SET_MDWE) no mapping may gain PROT_EXEC later.
 */
static int map_file_twice(struct mapping *mapping, size_t size, void *where)
{
    int fd = memfd_create("jumplabel", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int error = 0;
    if (ftruncate(fd, (off_t)size) || !(mapping->exec = map(where, size, PROT_READ | PROT_EXEC, 0, fd)) ||
        !(mapping->write = map(NULL, size, PROT_READ | PROT_WRITE, 0, fd)))
        error = -errno;
    close(fd);
    return error;
}

/* Without a file: an old size of zero makes mremap(2) map the pages of a shared mapping a second time. */
static int map_pages_twice(struct mapping *mapping, size_t size)
{
    mapping->exec = map(NULL, size, PROT_READ | PROT_EXEC, MAP_ANONYMOUS, -1);
    if (!mapping->exec)
        return -errno;
    void *again = mremap(mapping->exec, 0, size, MREMAP_MAYMOVE);
    if (again == MAP_FAILED)
        return -errno;
    mapping->write = again;
    return mprotect(again, size, PROT_READ | PROT_WRITE) ? -errno : 0;
}

static int map_twice(struct mapping *mapping, size_t size, void *where)
{
    *mapping = (struct mapping){0};
    int error = map_file_twice(mapping, size, where);
    if (!error)
        return 0;
    unmap_twice(mapping, size);
    if (!map_pages_twice(mapping, size))
        return 0;
    unmap_twice(mapping, size);
    return error; /* the file is the usual way: its error is the one to explain */
}

/* MADV_WIPEONFORK is Linux 4.14; where there is none, nobody notices a child that pthread_atfork(3) was not told of. */
static void make_marker(void)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return;
    if (madvise(page, size, MADV_WIPEONFORK)) {
        munmap(page, size);
        return;
    }
    marker = page;
    *marker = 1;
}

static int add_region(void)
{
    struct region *newest = atomic_load(&regions);
    size_t size = !newest ? FIRST_REGION : newest->size < LARGEST_REGION ? 2 * newest->size : LARGEST_REGION;
    size_t n = size / SLOT_SIZE;
    struct region *region = calloc(1, sizeof(*region) + n * sizeof(region->slots[0]));
    if (!region)
        return -ENOMEM;
    int error = map_twice(&region->code, size, take_reserved(size));
    if (error) {
        free(region);
        return error;
    }
    if (!marker)
        make_marker();
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
    memset(slot->write, INT3, SLOT_SIZE);
    return slot;
}

void arena_free(struct slot *slot)
{
    if (arena_shared())
        return; /* the parent may have threads in it */
    atomic_store(&slot->poke, 0);
    memset(slot->write, INT3, SLOT_SIZE); /* who still enters it dies at once instead of running another's code */
    slot->next = free_slots;
    free_slots = slot;
}

/* The copy is made before the fork: afterwards the parent goes on patching, and the child would copy half a patch. */
void arena_fork_prepare(void)
{
    if (arena_shared())
        return; /* it may be half a patch of the parent's right now */
    for (struct region *region = atomic_load(&regions); region; region = region->next)
        if (!map_twice(&region->twin, region->size, NULL))
            memcpy(region->twin.write, region->code.write, region->used);
}

void arena_fork_parent(void)
{
    for (struct region *region = atomic_load(&regions); region; region = region->next)
        unmap_twice(&region->twin, region->size);
}

static bool replace(uint8_t *old, uint8_t *new, size_t size)
{
    if (mremap(new, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, old) != MAP_FAILED)
        return true;
    munmap(new, size);
    return false;
}

void arena_fork_child(void)
{
    if (shared)
        return;
    if (marker)
        *marker = 1;
    for (struct region *region = atomic_load(&regions); region; region = region->next) {
        struct mapping twin = region->twin;
        region->twin = (struct mapping){0};
        bool exec = twin.exec && replace(region->code.exec, twin.exec, region->size);
        bool write = twin.write && replace(region->code.write, twin.write, region->size);
        if (!exec || !write)
            shared = -ENOMEM;
    }
}

int arena_shared(void)
{
    if (!shared && marker && !*marker)
        shared = -ENOTSUP;
    return shared;
}

uint64_t arena_size(void) { return mapped; }
