/*
 * How the engine finds that a thread blocks a signal, or may do so. Exits with 0, or says which expectation failed and
 * aborts.
 */
#define _GNU_SOURCE
#include "blocking_thread.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/select.h>
#include <sys/wait.h>

static uint64_t word_batches(void) { return text_poke_counts().word_batches; }

/* ---- threads that block signals ---- */

static void looking_at_one(void)
{
    pid_t self = (pid_t)syscall(SYS_gettid);
    EXPECT(blocked_in(self, SIGTRAP) == 0);
    pthread_t thread = thread_that_blocks(SIGTRAP);
    EXPECT(blocked_in(other_tid, SIGTRAP) == 1);
    EXPECT(blocked_in(other_tid, SIGILL) == 0 && blocked_in(other_tid, SIGABRT) == 0); /* its neighbours */
    EXPECT(blocked_in(self, SIGTRAP) == 0);
    end(thread);
    EXPECT(blocked_in(other_tid, SIGTRAP) == -ESRCH);
    EXPECT(blocked_in(1 << 30, SIGTRAP) == -ESRCH);
    thread = thread_that_blocks(SIGRTMAX);
    EXPECT(blocked_in(other_tid, SIGRTMAX) == 1 && blocked_in(other_tid, SIGTRAP) == 0);
}

static void looking_at_all(void)
{
    EXPECT(!blocked_anywhere(SIGTRAP));
    pthread_t harmless = thread_that_blocks(SIGUSR1);
    EXPECT(!blocked_anywhere(SIGTRAP) && blocked_anywhere(SIGUSR1));
    end(harmless);
    for (int twice = 0; twice < 2; twice++) {
        pthread_t thread = thread_that_blocks(0);
        EXPECT(blocked_anywhere(SIGTRAP));
        EXPECT(blocked_anywhere(SIGTRAP)); /* it is asked first now */
        end(thread);
        EXPECT(!blocked_anywhere(SIGTRAP));
    }
}

/* The thread that patches counts as well: a handler may call a site on it. */
static void blocked_by_the_patcher(void)
{
    sigset_t trap = trap_alone();
    pthread_sigmask(SIG_BLOCK, &trap, NULL);
    EXPECT(blocked_anywhere(SIGTRAP));
    make_keys();
    toggle(key, true);
    EXPECT(word_batches() == 1);
}

static void nothing(int signal_number) { (void)signal_number; }

/* Another thread may be in a handler that blocks it by the time it meets the site. A single one is not: see below. */
static void blocked_by_a_handler_s_mask(void)
{
    struct sigaction action = {.sa_handler = nothing, .sa_mask = trap_alone()};
    EXPECT(!sigaction(SIGPROF, &action, NULL));
    EXPECT(!blocked_anywhere(SIGTRAP));
    pthread_t thread = thread_that_blocks(SIGUSR1);
    EXPECT(blocked_anywhere(SIGTRAP));
    action.sa_handler = SIG_IGN;
    EXPECT(!sigaction(SIGPROF, &action, NULL));
    EXPECT(!blocked_anywhere(SIGTRAP));
    end(thread);
}

/* A first thread that has ended stays, as a zombie that blocks all signals, while there are others. */
static void *look_at_the_first(void *first)
{
    pthread_join(*(pthread_t *)first, NULL);
    EXPECT(blocked_in(getpid(), SIGTRAP) == -ESRCH);
    EXPECT(!blocked_anywhere(SIGTRAP));
    exit(0);
}

static void the_first_thread_ends(void)
{
    static pthread_t first;
    pthread_t second;
    sigset_t trap = trap_alone();
    first = pthread_self();
    EXPECT(!pthread_create(&second, NULL, look_at_the_first, &first));
    pthread_sigmask(SIG_BLOCK, &trap, NULL);
    pthread_exit(NULL);
}

/* ---- a thread that blocks it, but while it waits ---- */

static int pipe_ends[2];

static int wait_in_sigwait(const sigset_t *all, const sigset_t *none)
{
    (void)none;
    int number;
    return sigwait(all, &number);
}

static int wait_in_sigsuspend(const sigset_t *all, const sigset_t *none)
{
    (void)all;
    return sigsuspend(none);
}

static int wait_in_ppoll(const sigset_t *all, const sigset_t *none)
{
    (void)all;
    return ppoll(&(struct pollfd){.fd = pipe_ends[0], .events = POLLIN}, 1, NULL, none);
}

static int wait_in_pselect(const sigset_t *all, const sigset_t *none)
{
    (void)all;
    fd_set files;
    FD_ZERO(&files);
    FD_SET(pipe_ends[0], &files);
    return pselect(pipe_ends[0] + 1, &files, NULL, NULL, NULL, none);
}

static int wait_in_epoll(const sigset_t *all, const sigset_t *none)
{
    (void)all;
    struct epoll_event event = {.events = EPOLLIN};
    int epoll = epoll_create1(0);
    EXPECT(!epoll_ctl(epoll, EPOLL_CTL_ADD, pipe_ends[0], &event));
    return epoll_pwait(epoll, &event, 1, -1, none);
}

static int (*const waits[])(const sigset_t *all, const sigset_t *none) = {
    wait_in_sigwait, wait_in_sigsuspend, wait_in_ppoll, wait_in_pselect, wait_in_epoll,
};

static void *wait_and_call(void *which)
{
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    __atomic_store_n(&other_tid, (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
    waits[(intptr_t)which](&all, &none);
    return call(entry);
}

static pthread_t waiting;

static void wake_and_call(int number)
{
    if (number != 1)
        return;
    void *called;
    EXPECT(write(pipe_ends[1], "", 1) == 1);
    pthread_kill(waiting, SIGUSR1);
    pthread_join(waiting, &called);
    EXPECT(called == off_value);
}

static void blocked_but_while_waiting(void)
{
    make_keys();
    EXPECT(!pipe(pipe_ends));
    struct sigaction action = {.sa_handler = nothing};
    EXPECT(!sigaction(SIGUSR1, &action, NULL));
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        other_tid = 0;
        EXPECT(!pthread_create(&waiting, NULL, wait_and_call, (void *)(intptr_t)i));
        while (!__atomic_load_n(&other_tid, __ATOMIC_SEQ_CST) || blocked_in(other_tid, SIGTRAP))
            sched_yield();
        step_hook = wake_and_call;
        toggle(key, true);
        step_hook = NULL;
        EXPECT(word_batches() == 2 * i + 1);
        char byte;
        EXPECT(read(pipe_ends[0], &byte, 1) == 1);
        pthread_t thread = thread_that_blocks(SIGTRAP);
        toggle(key, false);
        end(thread);
    }
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(looking_at_one),
        TEST(looking_at_all),
        TEST(blocked_by_the_patcher),
        TEST(blocked_by_a_handler_s_mask),
        TEST(the_first_thread_ends),
        TEST(blocked_but_while_waiting),
        {0},
    };
    return run_named(tests, argc, argv);
}
