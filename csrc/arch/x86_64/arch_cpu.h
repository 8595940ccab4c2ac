/*
 * x86-64 in numbers, how it serializes and flushes. See arch.h.
 */
#ifndef JUMPLABEL_X86_64_ARCH_CPU_H
#define JUMPLABEL_X86_64_ARCH_CPU_H

#include "plain_branch.h"

#include <cpuid.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A site is a prefix without effect, and behind it nop5 or jmp rel32. Only the prefix ever gives way to an int3. So a
 * thread that goes on behind the int3 executes a whole instruction all the same, the old one or the new one. That
 * happens where a tracer keeps the SIGTRAP to itself, or another handler has just taken the signal, and returned.
 */
#define SITE_SIZE 6

#define INT3 0xcc

#define SLOT_SIZE 64   /* bytes: a cache line */
#define SLOT_FILL INT3 /* every byte of a free slot */

#define ARCH_REACH INT32_MAX /* of jmp rel32, in bytes from the end of the site */

/* Addresses to reserve for slots, so that a jump from any slot reaches any other; no more than ARCH_REACH. */
#define ARCH_RESERVED (256 * 1024 * 1024)

/* Execute a serializing instruction. */
static inline void arch_serialize(void)
{
    unsigned a, b, c, d;
    __cpuid(0, a, b, c, d); /* serializing in user mode on every x86-64, and known to valgrind */
    __asm__ volatile("" ::: "memory");
}

/*
 * Have instruction fetches see what was written into this code, at its executable addresses. Nothing to do: x86 keeps
 * its caches coherent.
 */
static inline void arch_flush(const void *code, size_t size) { (void)code, (void)size; }

#endif
