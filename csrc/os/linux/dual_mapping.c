#define _GNU_SOURCE
#include "os.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

void os_unmap_twice(struct os_mapping *mapping, size_t size)
{
    if (mapping->exec)
        munmap(mapping->exec, size);
    if (mapping->write)
        munmap(mapping->write, size);
    *mapping = (struct os_mapping){0};
}

static void *map(void *where, size_t size, int protection, int flags, int fd)
{
    void *address = mmap(where, size, protection, MAP_SHARED | (where ? MAP_FIXED : 0) | flags, fd, 0);
    return address == MAP_FAILED ? NULL : address;
}

/*
 * The executable side is executable from the start, and the writable side never is: under prctl(PR_SET_MDWE) no
 * mapping may gain PROT_EXEC later.
 */
static int map_file_twice(struct os_mapping *mapping, size_t size, void *where)
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

/* Without a file: mremap(2) with an old size of zero maps the pages of a shared mapping a second time. */
static int map_pages_twice(struct os_mapping *mapping, size_t size)
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

int os_map_twice(struct os_mapping *mapping, size_t size, void *where)
{
    *mapping = (struct os_mapping){0};
    int error = map_file_twice(mapping, size, where);
    if (!error)
        return 0;
    os_unmap_twice(mapping, size);
    if (!map_pages_twice(mapping, size))
        return 0;
    os_unmap_twice(mapping, size);
    return error; /* the file is the usual way: its error is the one to explain */
}

static bool move(uint8_t *to, uint8_t *from, size_t size)
{
    if (mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to) != MAP_FAILED)
        return true;
    munmap(from, size);
    return false;
}

bool os_move_mapping(const struct os_mapping *to, const struct os_mapping *from, size_t size)
{
    bool exec = from->exec && move(to->exec, from->exec, size);
    bool write = from->write && move(to->write, from->write, size);
    return exec && write;
}

/* A process that may have only 2 GiB of addresses needs them itself, and mmap(2) puts so few side by side anyway. */
static bool may_reserve(size_t size)
{
    struct rlimit limit;
    return !getrlimit(RLIMIT_AS, &limit) && limit.rlim_cur > (rlim_t)8 * size;
}

void *os_reserve(size_t size)
{
    if (!may_reserve(size))
        return NULL;
    void *address = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return address == MAP_FAILED ? NULL : address;
}
