/*
 * x86-64 in numbers, and the one instruction that a system needs of it. See arch.h.
 */
#ifndef JUMPLABEL_X86_64_ARCH_CPU_H
#define JUMPLABEL_X86_64_ARCH_CPU_H

/*
 * A site is a prefix without effect, and behind it nop5 or jmp rel32. Only the prefix ever gives way to an int3. So a
 * thread that goes on behind the int3 executes a whole instruction all the same, the old one or the new one. That
 * happens where a tracer keeps the SIGTRAP to itself, or another handler has just taken the signal, and returned.
 */
#define SITE_SIZE 6

#define INT3 0xcc

#define SLOT_SIZE 64   /* bytes: a cache line */
#define SLOT_FILL INT3 /* every byte of a slot that is free */

#endif
