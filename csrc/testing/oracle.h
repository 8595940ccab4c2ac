/*
 * What a call may return while another thread toggles.
 *
 * The toggler numbers its toggles: `begun` is set before a toggle starts, `done` after it returned. A caller reads
 * `done`, calls, and reads `begun`. Where both are the same number no toggle overlapped the call, and the result must
 * be that number's: the check is strict. Otherwise it is the old or the new value. So a call that began after the
 * toggle returned never may return the old value. Even numbers are off, odd ones are on.
 */
#ifndef JUMPLABEL_ORACLE_H
#define JUMPLABEL_ORACLE_H

#include <stdint.h>

struct oracle {
    uint64_t begun, done;
};

static inline uint64_t oracle_before_call(const struct oracle *oracle)
{
    return __atomic_load_n(&oracle->done, __ATOMIC_SEQ_CST);
}

/* Also counts the check in *strict, if it was strict. */
static inline int oracle_accepts(const struct oracle *oracle, uint64_t done, void *result, void *off, void *on,
                                 uint64_t *strict)
{
    uint64_t begun = __atomic_load_n(&oracle->begun, __ATOMIC_SEQ_CST);
    if (begun != done)
        return result == off || result == on;
    ++*strict;
    return result == (done & 1 ? on : off);
}

#endif
