/*
 * Two threads call a static call while another one updates it, all without pause. Exits with 0, or says which
 * expectation failed and aborts.
 */
#define _GNU_SOURCE
#include "call_scene.h"

#include <time.h>

#define CALLERS 2
#define KEPT 1024

static uint64_t begun, done;
static uint64_t calls[CALLERS];
static int stop;

static void *call_without_pause(void *number)
{
    uint64_t *counted = &calls[(uintptr_t)number];
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        uint64_t first = __atomic_load_n(&done, __ATOMIC_SEQ_CST);
        void *got = result();
        uint64_t last = __atomic_load_n(&begun, __ATOMIC_SEQ_CST);
        bool right = false;
        for (uint64_t i = first; i <= last; i++)
            right |= got == values[i % 4];
        EXPECT(right);
        __atomic_fetch_add(counted, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

/* Every caller has come out of a call that it began since. */
static void wait_for_callers(void)
{
    for (int i = 0; i < CALLERS; i++) {
        uint64_t seen = __atomic_load_n(&calls[i], __ATOMIC_SEQ_CST);
        while (__atomic_load_n(&calls[i], __ATOMIC_SEQ_CST) < seen + 2)
            sched_yield();
    }
}

static void under_fire(void)
{
    pthread_t threads[CALLERS];
    struct call_target *old[KEPT];
    make_own();
    toggle(key, true);
    lead(1, 0);
    for (uintptr_t i = 0; i < CALLERS; i++)
        EXPECT(!pthread_create(&threads[i], NULL, call_without_pause, (void *)i));
    for (time_t end = time(NULL) + 2; time(NULL) < end || !trap_counts().current;) {
        for (size_t n = 0; n < KEPT; n++) {
            struct call_update update = {.state = 1, .to = to((int)((done + 1) % 4))};
            __atomic_fetch_add(&begun, 1, __ATOMIC_SEQ_CST);
            EXPECT(!static_call_update(site, &update, &old[n], NULL));
            __atomic_fetch_add(&done, 1, __ATOMIC_SEQ_CST);
        }
        wait_for_callers();
        for (size_t n = 0; n < KEPT; n++)
            call_target_retire(old[n]);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(under_fire),
        {0},
    };
    text_lock();
    text_poke_configure((struct text_poke_settings){POKE_INT3, 2}); /* the thread in the handler may block SIGTRAP */
    text_unlock();
    return run_named(tests, argc, argv);
}
