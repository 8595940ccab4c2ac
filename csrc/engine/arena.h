/*
 * Executable memory in slots of one cache line.
 *
 * Every page is mapped twice, once readable and executable, once readable and writable, so no address is ever both
 * (W^X). A slot never moves, and its description is never unmapped, so a signal handler may look slots up.
 * As long as reserved addresses (ARCH_RESERVED) are left, a jump from any slot reaches any other.
 * Memory is private to a process: a fork gives the child its own copy at the same addresses.
 *
 * Above the system (os.h), below all that is in slots. Except for arena_find, the caller holds the text lock.
 */
#ifndef JUMPLABEL_ARENA_H
#define JUMPLABEL_ARENA_H

#include "slot.h"

/* A slot filled with SLOT_FILL, or NULL with *error set to -errno. */
struct slot *arena_alloc(int *error);

/* The caller promises that no thread is in the slot or can still enter it: it may be handed out again at once. */
void arena_free(struct slot *slot);

/* The slot that holds an executable address, or NULL. Async-signal-safe, lock-free. */
struct slot *arena_find(const void *address);

/* Around fork(2). */
void arena_fork_prepare(void);
void arena_fork_parent(void);
void arena_fork_child(void);

/*
 * -errno where this process has its parent's code, which is not its own to write; or 0. -ENOTSUP: it was made by a
 * clone(2) or _Fork(3), which run no handlers.
 */
int arena_shared(void);

/* Bytes of executable memory mapped. */
uint64_t arena_size(void);

#endif
