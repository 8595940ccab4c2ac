/*
 * A processor that the engine knows no instructions of: it has no native sites. See arch.h.
 */
#ifndef JUMPLABEL_GENERIC_ARCH_CPU_H
#define JUMPLABEL_GENERIC_ARCH_CPU_H

#include <stddef.h>

#define SLOT_SIZE 64
#define SLOT_FILL 0
#define SITE_SIZE 4

#define ARCH_REACH 0
#define ARCH_RESERVED 0
#define ARCH_PLAIN_BRANCHES 0

/* No code is written, and none changes under a thread. */
static inline void arch_serialize(void) {}
static inline void arch_flush(const void *code, size_t size) { (void)code, (void)size; }

#endif
