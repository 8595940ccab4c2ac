/*
 * Make every other thread's core execute a serializing instruction.
 *
 * Code that one thread writes and another executes is cross-modifying code: the Intel SDM (vol. 3, "Handling
 * Self- and Cross-Modifying Code") and the AMD APM (vol. 2, "Cross-Modifying Code") both demand a serializing
 * instruction on the executing core between the write and the execution.
 *
 * The first layer: knows nothing of code, sites or traps. All functions want the caller to hold the text mutex.
 */
#ifndef JUMPLABEL_SYNC_CORE_H
#define JUMPLABEL_SYNC_CORE_H

#include <stdint.h>

enum sync_method {
    SYNC_NONE,       /* not started */
    SYNC_MEMBARRIER, /* membarrier(2), MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE */
    SYNC_SIGNAL,     /* a real-time signal to every thread, and an answer from each */
};

/*
 * Find a method that works and leave it ready: `wanted` alone, or either one for SYNC_NONE.
 * Returns 0 or -errno, and then changed nothing. Idempotent.
 */
int sync_core_start(enum sync_method wanted);

/* Undo sync_core_start(). */
void sync_core_stop(void);

/*
 * On return every thread of the process has executed a serializing instruction since the call.
 * Returns 0, or -errno when some thread could not be reached: -EDEADLK is a thread that blocks the signal.
 */
int sync_core(void);

/* In the child of a fork: forget the parent's threads and counts. */
void sync_core_forked(void);

/* Needs no mutex. */
enum sync_method sync_core_method(void);

/* The signal that it uses, 0 while it uses none. */
int sync_core_signal(void);

/* How often sync_core() succeeded. */
uint64_t sync_core_count(void);

#endif
