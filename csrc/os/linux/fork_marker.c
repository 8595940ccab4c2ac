#define _GNU_SOURCE
#include "os.h"

#include <sys/mman.h>
#include <unistd.h>

static volatile char *marker; /* a page that the kernel zeroes in every child, and that is not 0 otherwise; or NULL */

/* MADV_WIPEONFORK is Linux 4.14. An older kernel leaves a child that no handler was told of unnoticed. */
static volatile char *make_marker(void)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return NULL;
    if (madvise(page, size, MADV_WIPEONFORK)) {
        munmap(page, size);
        return NULL;
    }
    return page;
}

void os_watch_forks(void)
{
    if (!marker)
        marker = make_marker();
    if (marker)
        *marker = 1;
}

bool os_forked_untold(void) { return marker && !*marker; }
