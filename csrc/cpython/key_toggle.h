/*
 * The one way from Python into a transaction: without cffi, which takes as long as a system call, and where that is
 * safe without letting go of the GIL, which takes several times as long as the whole patch when other threads want it.
 *
 * Above transactions (transaction.h).
 */
#ifndef JUMPLABEL_KEY_TOGGLE_H
#define JUMPLABEL_KEY_TOGGLE_H

#include <stdint.h>

/*
 * Publish a function (publish.h):
 *
 *     transact(report, key, operation, ...) -> outcome
 *
 *     report      the address of a key_report, 0: none
 *     key         the address of a key, which the caller keeps alive
 *     operation   a key_operation; a key and an operation for each further step follow
 *
 * Returns None for a success, and (0, n) for one that leaves static_keys_wake set. Otherwise returns the error of
 * static_key_apply(), and *failed.
 *
 * First tidies up the child of a fork that Python was not told of (fork_notice.h). Raises TypeError, OverflowError for
 * other arguments, MemoryError; then it has changed nothing.
 */
int key_toggle_function(uintptr_t list);

#endif
