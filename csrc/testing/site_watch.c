#include "site_watch.h"
#include "slot.h"

#define SITE_BYTES ((UINT64_C(1) << 8 * SITE_SIZE) - 1)

size_t site_watch(const void *address, const int *stop, uint64_t *seen, size_t room)
{
    size_t n = 0;
    while (!__atomic_load_n(stop, __ATOMIC_RELAXED)) {
        uint64_t now = __atomic_load_n((const uint64_t *)address, __ATOMIC_RELAXED) & SITE_BYTES;
        size_t i = 0;
        while (i < n && seen[i] != now)
            i++;
        if (i == n && n < room)
            seen[n++] = now;
    }
    return n;
}
