/*
 * sync_core() against the system calls it makes: built with the linker's --wrap, so that they can be refused, and
 * moments forced, that the kernel at hand does not show. Exits with 0, or says which expectation failed and aborts.
 */
#define _GNU_SOURCE
#include "expect.h"
#include "os.h"

#include <dirent.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- the wraps ---- */

static bool membarrier_refused, membarrier_forgotten;
static int registrations;
long __real_syscall(long number, ...);

long __wrap_syscall(long number, ...)
{
    va_list list;
    va_start(list, number);
    long a = va_arg(list, long), b = va_arg(list, long), c = va_arg(list, long), d = va_arg(list, long);
    va_end(list);
    if (number == SYS_membarrier) {
        bool registers = a == MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE;
        registrations += registers;
        membarrier_forgotten = membarrier_forgotten && !registers;
        if (membarrier_refused || membarrier_forgotten) {
            errno = EPERM;
            return -1;
        }
    }
    return __real_syscall(number, a, b, c, d);
}

static void (*after_listing)(void);
struct dirent *__real_readdir(DIR *directory);

struct dirent *__wrap_readdir(DIR *directory)
{
    struct dirent *entry = __real_readdir(directory);
    void (*hook)(void) = after_listing;
    if (!entry && hook) {
        after_listing = NULL;
        hook();
    }
    return entry;
}

/* The engine's clock stands still, and its patience never ends, but for the cases about threads that never answer. */
static bool clock_goes_on;
int __real_clock_gettime(clockid_t clock, struct timespec *now);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    if (clock_goes_on)
        return __real_clock_gettime(clock, now);
    *now = (struct timespec){.tv_sec = 1};
    return 0;
}

/* ---- membarrier ---- */

/* A kernel may forget the registration, in the child of a fork: it is made anew, and the signal is not needed. */
static void registration_forgotten(void)
{
    EXPECT(sync_core_start(SYNC_NONE) == 0);
    EXPECT(registrations == 1);
    membarrier_forgotten = true;
    EXPECT(sync_core() == 0);
    EXPECT(registrations == 2 && sync_core_method() == SYNC_MEMBARRIER);
}

/* A filter that comes later refuses it: the signal takes over; where that is not allowed, an error. */
static void refused_later(void)
{
    EXPECT(sync_core_start(SYNC_NONE) == 0);
    membarrier_refused = true;
    EXPECT(sync_core() == 0);
    EXPECT(sync_core_method() == SYNC_SIGNAL);
}

static void refused_later_without_signal(void)
{
    EXPECT(sync_core_start(SYNC_MEMBARRIER) == 0);
    membarrier_refused = true;
    uint64_t count = sync_core_count();
    EXPECT(sync_core() == -EPERM);
    EXPECT(sync_core_count() == count);
    membarrier_refused = false;
    EXPECT(sync_core() == 0);
}

static void refused_from_the_start(void)
{
    membarrier_refused = true;
    EXPECT(sync_core_start(SYNC_MEMBARRIER) == -EPERM);
    EXPECT(sync_core_method() == SYNC_NONE);
    EXPECT(sync_core_start(SYNC_NONE) == 0);
    EXPECT(sync_core_method() == SYNC_SIGNAL);
}

/* ---- the signal ---- */

static int answered; /* by threads that a handler let out of sigsuspend() */

static void *wait_for_a_signal(void *unused)
{
    sigset_t none;
    sigemptyset(&none);
    sigsuspend(&none);
    __atomic_fetch_add(&answered, 1, __ATOMIC_SEQ_CST);
    return unused;
}

/* Its signals are blocked until it waits for one, so that none comes too early. */
static pthread_t waiting_thread(void *(*run)(void *))
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    pthread_t thread;
    EXPECT(!pthread_create(&thread, NULL, run, NULL));
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return thread;
}

static pthread_t late;

static void make_late_thread(void) { late = waiting_thread(wait_for_a_signal); }

/* A thread is made after the others were listed, as one of them might do: it is asked too. */
static void thread_made_meanwhile(void)
{
    EXPECT(sync_core_start(SYNC_SIGNAL) == 0);
    pthread_t early = waiting_thread(wait_for_a_signal);
    after_listing = make_late_thread;
    EXPECT(sync_core() == 0);
    pthread_join(early, NULL);
    pthread_join(late, NULL);
    EXPECT(answered == 2);
}

/* More threads than one group. */
static void many_threads(void)
{
    pthread_t threads[150];
    EXPECT(sync_core_start(SYNC_SIGNAL) == 0);
    for (int i = 0; i < 150; i++)
        threads[i] = waiting_thread(wait_for_a_signal);
    EXPECT(sync_core() == 0);
    for (int i = 0; i < 150; i++)
        pthread_join(threads[i], NULL);
    EXPECT(answered == 150);
}

static int taken_signal(void)
{
    for (int number = SIGRTMAX; number >= SIGRTMIN; number--) {
        struct sigaction action;
        sigaction(number, NULL, &action);
        if (action.sa_handler != SIG_DFL)
            return number;
    }
    return 0;
}

/* A signal that another library handles is left to it. */
static void signal_in_use(void)
{
    signal(SIGRTMAX, SIG_IGN);
    EXPECT(sync_core_start(SYNC_SIGNAL) == 0);
    struct sigaction action;
    sigaction(SIGRTMAX, NULL, &action);
    EXPECT(action.sa_handler == SIG_IGN);
    EXPECT(sync_core() == 0);
    sync_core_stop();
    signal(SIGRTMAX, SIG_DFL);
    EXPECT(!taken_signal());
}

static int leave;

static void *stay(void *unused)
{
    while (!__atomic_load_n(&leave, __ATOMIC_SEQ_CST))
        sched_yield();
    return unused;
}

/* Others may send the signal, even with a value that looks like an answer to a later question. */
static void stray_signal(void)
{
    EXPECT(sync_core_start(SYNC_SIGNAL) == 0);
    pid_t pid = fork();
    if (!pid) {
        for (uint64_t place = 0; place < 64; place++)
            sigqueue(getppid(), taken_signal(), (union sigval){.sival_ptr = (void *)(0x7fff0000ull << 32 | place)});
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    raise(taken_signal());
    pthread_t thread;
    pthread_create(&thread, NULL, stay, NULL);
    EXPECT(sync_core() == 0);
    __atomic_store_n(&leave, 1, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
}

/* Another library takes the signal that was ours: it is left to that library, and another signal serves. */
static void not_the_question(int number) { (void)number; }

static void signal_taken(void)
{
    EXPECT(sync_core_start(SYNC_SIGNAL) == 0);
    int ours = taken_signal();
    signal(ours, not_the_question);
    pthread_t thread;
    pthread_create(&thread, NULL, stay, NULL);
    EXPECT(sync_core() == 0);
    __atomic_store_n(&leave, 1, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
    struct sigaction action;
    sigaction(ours, NULL, &action);
    EXPECT(action.sa_handler == not_the_question);
}

static int blocking;

static void *block_everything(void *unused)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    __atomic_store_n(&blocking, 1, __ATOMIC_SEQ_CST);
    return stay(unused);
}

/* Threads that block the signal cannot be reached: an error, not a wait without end. They end, and all is well. */
static void blocked(void)
{
    clock_goes_on = true;
    EXPECT(sync_core_start(SYNC_SIGNAL) == 0);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        pthread_create(&threads[i], NULL, block_everything, NULL);
        while (!__atomic_load_n(&blocking, __ATOMIC_SEQ_CST))
            sched_yield();
        __atomic_store_n(&blocking, 0, __ATOMIC_SEQ_CST);
    }
    for (int i = 0; i < 100; i++) /* the wait for it is not repeated: alarm() would end this */
        EXPECT(sync_core() == -EDEADLK);
    __atomic_store_n(&leave, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    EXPECT(sync_core() == 0);
}

/* What a thread was asked while it blocked the signal it answers one by one: its stack may be small. */
static void *block_and_unblock_on_a_small_stack(void *unused)
{
    static char stack[16 * 1024];
    stack_t before; /* a sanitizer's own */
    EXPECT(!sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof(stack)}, &before));
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    __atomic_store_n(&blocking, 1, __ATOMIC_SEQ_CST);
    stay(unused);
    pthread_sigmask(SIG_UNBLOCK, &all, NULL);
    EXPECT(!sigaltstack(&before, NULL));
    return unused;
}

static void many_questions_at_once(void)
{
    clock_goes_on = true;
    EXPECT(sync_core_start(SYNC_SIGNAL) == 0);
    pthread_t thread;
    pthread_create(&thread, NULL, block_and_unblock_on_a_small_stack, NULL);
    while (!__atomic_load_n(&blocking, __ATOMIC_SEQ_CST))
        sched_yield();
    for (int i = 0; i < 30; i++)
        EXPECT(sync_core() == -EDEADLK);
    __atomic_store_n(&leave, 1, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
    EXPECT(sync_core() == 0);
}

/*
 * A late answer to an old question does not wipe out a newer one. The thread that blocks its signals is second in the
 * first question's group, and first in the next one's. There another thread is second, and has answered when the late
 * one answers both questions, in their order.
 */
static void *block_until_another_answered(void *unused)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    __atomic_store_n(&blocking, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&answered, __ATOMIC_SEQ_CST))
        sched_yield();
    pthread_sigmask(SIG_UNBLOCK, &all, NULL);
    return stay(unused);
}

static void *answer_once_and_stay(void *unused)
{
    wait_for_a_signal(unused);
    return stay(unused);
}

static int threads_listed(void)
{
    int n = 0;
    DIR *directory = opendir("/proc/self/task");
    for (struct dirent *entry; (entry = __real_readdir(directory));)
        n += entry->d_name[0] != '.';
    closedir(directory);
    return n;
}

static void late_answer(void)
{
    EXPECT(sync_core_start(SYNC_SIGNAL) == 0);
    pthread_t first, late_one;
    pthread_create(&first, NULL, stay, NULL);
    pthread_create(&late_one, NULL, block_until_another_answered, NULL);
    while (!__atomic_load_n(&blocking, __ATOMIC_SEQ_CST))
        sched_yield();
    clock_goes_on = true;
    EXPECT(sync_core() == -EDEADLK);
    clock_goes_on = false;
    __atomic_store_n(&leave, 1, __ATOMIC_SEQ_CST);
    pthread_join(first, NULL);
    while (threads_listed() > 2) /* a thread is listed until shortly after its end */
        sched_yield();
    __atomic_store_n(&leave, 0, __ATOMIC_SEQ_CST);
    pthread_t another = waiting_thread(answer_once_and_stay);
    EXPECT(sync_core() == 0);
    EXPECT(answered == 1);
    __atomic_store_n(&leave, 1, __ATOMIC_SEQ_CST);
    pthread_join(late_one, NULL);
    pthread_join(another, NULL);
}

static void *end_at_once(void *unused) { return unused; }

static void *make_threads(void *unused)
{
    while (!__atomic_load_n(&leave, __ATOMIC_SEQ_CST)) {
        pthread_t thread;
        if (!pthread_create(&thread, NULL, end_at_once, NULL))
            pthread_join(thread, NULL);
    }
    return unused;
}

/* Threads come and end all the time: none of them is waited for after its end. A stress test. */
static void threads_come_and_end(void)
{
    EXPECT(sync_core_start(SYNC_SIGNAL) == 0);
    pthread_t maker;
    pthread_create(&maker, NULL, make_threads, NULL);
    for (int i = 0; i < 200; i++)
        EXPECT(sync_core() == 0);
    __atomic_store_n(&leave, 1, __ATOMIC_SEQ_CST);
    pthread_join(maker, NULL);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(registration_forgotten),
        TEST(refused_later),
        TEST(refused_later_without_signal),
        TEST(refused_from_the_start),
        TEST(thread_made_meanwhile),
        TEST(many_threads),
        TEST(stray_signal),
        TEST(signal_in_use),
        TEST(signal_taken),
        TEST(blocked),
        TEST(many_questions_at_once),
        TEST(late_answer),
        TEST(threads_come_and_end),
        {0},
    };
    return run_named(tests, argc, argv);
}
