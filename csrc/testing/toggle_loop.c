#include "toggle_loop.h"

#include <sched.h>
#include <time.h>

#define SECOND 1000000000
#define ASLEEP 200000 /* nanoseconds: a thread that sleeps for less wakes up too late */

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * (int64_t)SECOND + time.tv_nsec;
}

/* Not in one sleep: the thread that sets loop->stop waits for the end. */
static bool wait_until(int64_t due, const struct toggle_loop *loop)
{
    int64_t left;
    while (!__atomic_load_n(&loop->stop, __ATOMIC_RELAXED)) {
        if ((left = due - now()) <= 0)
            return true;
        if (left < ASLEEP)
            sched_yield();
        else
            nanosleep(&(struct timespec){.tv_nsec = left < SECOND / 100 ? left / 2 : SECOND / 100}, NULL);
    }
    return false;
}

int toggle_loop(const struct engine_functions *engine, struct static_key *key, int64_t period, struct toggle_loop *loop)
{
    int error = 0;
    for (int64_t due = now() + period; !error && wait_until(due, loop); due += period) {
        error = engine->toggle(key, loop->toggles & 1 ? KEY_DISABLE : KEY_ENABLE);
        __atomic_fetch_add(&loop->toggles, !error, __ATOMIC_RELAXED);
    }
    return error ? error : engine->toggle(key, KEY_DISABLE);
}
