#include "site_watch.h"

size_t site_watch(const void *address, const int *stop, uint64_t *seen, size_t room)
{
    const uint64_t six_bytes = 0xffffffffffff;
    size_t n = 0;
    while (!__atomic_load_n(stop, __ATOMIC_RELAXED)) {
        uint64_t now = __atomic_load_n((const uint64_t *)address, __ATOMIC_RELAXED) & six_bytes;
        size_t i = 0;
        while (i < n && seen[i] != now)
            i++;
        if (i == n && n < room)
            seen[n++] = now;
    }
    return n;
}
