/*
 * What the engine asks of a system, whichever it is.
 *
 * Each folder beside this file answers for one system. `generic` answers for all others: it has locks and a clock, and
 * refuses what native sites need. A system's files include no header of ours but this one, arch_cpu.h and their own;
 * they know neither keys nor sites.
 */
#ifndef JUMPLABEL_OS_H
#define JUMPLABEL_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- the lock: os/<system>/lock.c ---- */

/*
 * The one lock of all that changes code, keys or the arena. A thread that holds it runs no signal handlers: one might
 * fork, or meet an int3 with all signals blocked. Real-time signals are let through, since sync_core() asks threads by
 * one of them.
 */
void text_lock(void);
void text_unlock(void);

/* False, and nothing is taken, where another thread holds the lock. */
bool text_trylock(void);

/* ---- the clock: os/<system>/clock.c ---- */

/*
 * Nanoseconds of CLOCK_MONOTONIC, and of CLOCK_REALTIME since 1970. Libraries that move time for tests replace
 * functions of Python's `time`, in every module that has one, and even in the C structures of that module. They do not
 * find these.
 */
int64_t clock_monotonic(void);
int64_t clock_wall(void);

/* Sleep for so many nanoseconds; less where a signal comes. */
void clock_sleep(int64_t nanoseconds);

/* ---- executable memory: os/<system>/dual_mapping.c, the only file that maps any ---- */

/* The same pages at two addresses. No address is ever both executable and writable (W^X). */
struct os_mapping {
    uint8_t *exec, *write;
};

/*
 * Map `size` bytes of new memory twice, the executable side at `where`, or for NULL anywhere. Returns 0, or -errno with
 * nothing mapped.
 */
int os_map_twice(struct os_mapping *mapping, size_t size, void *where);
void os_unmap_twice(struct os_mapping *mapping, size_t size);

/*
 * Move a mapping to the addresses of another one, which it replaces; both are of this size. False: one side or both
 * could not be moved, and are unmapped.
 */
bool os_move_mapping(const struct os_mapping *to, const struct os_mapping *from, size_t size);

/* Take `size` bytes of addresses, without memory, for os_map_twice(). NULL: the process has none to spare. */
void *os_reserve(size_t size);

/* ---- core synchronization: os/<system>/sync_core.c ---- */

/*
 * Make every other thread's core execute a serializing instruction.
 *
 * Code that one thread writes and another executes is cross-modifying code: the Intel SDM (vol. 3, "Handling
 * Self- and Cross-Modifying Code") and the AMD APM (vol. 2, "Cross-Modifying Code") both demand a serializing
 * instruction on the executing core between the write and the execution. The caller of these functions holds the text
 * lock.
 */
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

/* Needs no lock. */
enum sync_method sync_core_method(void);

/* How often sync_core() succeeded. */
uint64_t sync_core_count(void);

/* ---- the signal of a trap: os/<system>/trap_signal.c ---- */

struct os_trap {
    /*
     * Called in the signal handler for each trap. True: it was a site's, and the machine context now says where the
     * thread goes on. False: the trap is passed to the handler that held the signal before. `by_kernel`: the kernel
     * sent the signal, for an instruction.
     */
    bool (*handle)(void *context, bool by_kernel);
    void (*trap)(void); /* executes an instruction that traps */
};

/*
 * Be the process's handler of traps (SIGTRAP). Called before each batch, as another library may have taken the signal
 * since. Returns 0 or -errno. The caller holds the text lock.
 */
int os_trap_take(const struct os_trap *trap);

/*
 * Whether any thread blocks the signal of a trap, or may do so: the kernel kills a process for a trap in such a thread.
 * True, too, where the system cannot tell. The caller holds the text lock.
 */
bool os_trap_blocked(void);

/* How many threads the last such look has asked. Any thread may call this. */
size_t os_threads_asked(void);

/* The calling thread, one of the library's own, blocks none of the signals that a patch may send it. */
void os_unblock_signals(void);

/* ---- forks ---- */

/* Run these around every fork from now on, as pthread_atfork(3) does. Returns 0 or -errno. */
int os_at_fork(void (*prepare)(void), void (*parent)(void), void (*child)(void));

/*
 * From now on os_forked_untold() is true in the child of a fork that runs no handlers of pthread_atfork(3): one by
 * clone(2) or _Fork(3). A child whose handlers run calls this again.
 */
void os_watch_forks(void);
bool os_forked_untold(void);

#endif
