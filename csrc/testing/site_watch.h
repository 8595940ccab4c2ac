/*
 * Watch a site while others patch it; for demonstrations and tests. Reads only.
 */
#ifndef JUMPLABEL_SITE_WATCH_H
#define JUMPLABEL_SITE_WATCH_H

#include <stddef.h>
#include <stdint.h>

/*
 * Look at the bytes of the site at `address` (8-byte aligned) without pause until *stop is set. Keep every different
 * value once, as a little-endian number, in the order of first appearance. Returns how many there were, at most `room`.
 */
size_t site_watch(const void *address, const int *stop, uint64_t *seen, size_t room);

#endif
