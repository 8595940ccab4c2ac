/*
 * Which handler gets a SIGTRAP that is not of a site, and which one holds the signal when the engine needs it. Exits
 * with 0, or says which expectation failed and aborts.
 */
#define _GNU_SOURCE
#include "scene.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int seen_signals, seen_code;
static volatile bool trap_was_blocked;

static void note(int signal_number, siginfo_t *info, void *context)
{
    (void)context;
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    trap_was_blocked = sigismember(&mask, SIGTRAP);
    seen_signals += signal_number == SIGTRAP;
    seen_code = info->si_code;
    errno = EIO;
}

static void note_plainly(int signal_number) { seen_signals += signal_number == SIGTRAP; }

static void hold_sigtrap(void (*action)(int, siginfo_t *, void *), int flags)
{
    struct sigaction sa = {.sa_sigaction = action, .sa_flags = flags | SA_SIGINFO};
    EXPECT(!sigaction(SIGTRAP, &sa, NULL));
}

static void foreign_int3(void) { __asm__ volatile("int3"); }

/* The status with which a child ends that does `cause` under the handler that is installed now. */
static int end_of(void (*cause)(void))
{
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (!pid) {
        alarm(60); /* a child inherits none */
        cause();
        _exit(0);
    }
    int status;
    EXPECT(waitpid(pid, &status, 0) == pid);
    return status;
}

static bool died_of_sigtrap(int status) { return WIFSIGNALED(status) && WTERMSIG(status) == SIGTRAP; }

static void raise_trap(void) { raise(SIGTRAP); }

static void kill_trap(void) { kill(getpid(), SIGTRAP); }

static void call_freed_slot(void)
{
    struct jump_entry *gone = new_entry(key);
    function *stale_pointer = (function *)(void *)gone->slot->exec;
    jump_entry_retire(gone);
    toggle(key, true);
    stale_pointer(NULL);
}

static void jump_into_a_site(void)
{
    /* A foreign int3 inside a slot, but not at its site. */
    entry->slot->write[SITE_SIZE] = 0xcc;
    call(entry);
}

static void chained_to_handler(void)
{
    hold_sigtrap(note, 0);
    make_keys();
    toggle(key, true);
    errno = 0;
    foreign_int3();
    EXPECT(seen_signals == 1 && seen_code == SI_KERNEL && trap_was_blocked);
    EXPECT(errno == 0);
    raise(SIGTRAP);
    EXPECT(seen_signals == 2 && seen_code == SI_TKILL);
    kill(getpid(), SIGTRAP);
    EXPECT(seen_signals == 3 && seen_code == SI_USER);
    expect_traps(0, 0, 0, 3);
    EXPECT(call(entry) == on_value);
}

static void chained_to_plain_handler(void)
{
    signal(SIGTRAP, note_plainly);
    make_keys();
    raise(SIGTRAP);
    foreign_int3();
    EXPECT(seen_signals == 2);
    expect_traps(0, 0, 0, 2);
}

static void chained_to_nodefer_handler(void)
{
    hold_sigtrap(note, SA_NODEFER);
    make_keys();
    raise(SIGTRAP);
    EXPECT(seen_signals == 1 && !trap_was_blocked);
    hold_sigtrap(note, 0); /* the same, but for its flags */
    toggle(key, true);
    raise(SIGTRAP);
    EXPECT(seen_signals == 2 && trap_was_blocked);
}

static void raise_twice(void)
{
    raise(SIGTRAP);
    raise(SIGTRAP);
}

static void chained_to_handler_that_resets(void)
{
    hold_sigtrap(note, (int)SA_RESETHAND);
    make_keys();
    EXPECT(end_of(raise_trap) == 0);
    EXPECT(died_of_sigtrap(end_of(raise_twice)));
}

static void chained_to_no_handler(void)
{
    signal(SIGTRAP, SIG_DFL);
    make_keys();
    toggle(key, true);
    EXPECT(died_of_sigtrap(end_of(foreign_int3)));
    EXPECT(died_of_sigtrap(end_of(raise_trap)));
    EXPECT(died_of_sigtrap(end_of(kill_trap)));
    EXPECT(died_of_sigtrap(end_of(call_freed_slot)));
    toggle(key, false);
    EXPECT(died_of_sigtrap(end_of(jump_into_a_site)));
}

/* Process 1 of a PID namespace is killed by no signal that a process sends, but by the kernel's own. */
static void chained_as_init(void)
{
    if (unshare(CLONE_NEWPID) && unshare(CLONE_NEWUSER | CLONE_NEWPID))
        exit(NOT_POSSIBLE_HERE);
    signal(SIGTRAP, SIG_DFL);
    make_keys();
    EXPECT(died_of_sigtrap(end_of(foreign_int3)));
}

static void chained_to_ignore(void)
{
    signal(SIGTRAP, SIG_IGN);
    make_keys();
    EXPECT(end_of(raise_trap) == 0);
    EXPECT(end_of(kill_trap) == 0);
    EXPECT(died_of_sigtrap(end_of(foreign_int3))); /* the kernel forces that one, ignored or not */
}

static void call_while_armed(int number)
{
    if (number == 1)
        call(entry);
}

/* Another library takes SIGTRAP after us: the next batch takes it back, and that library still gets its traps. */
static void displaced(void)
{
    make_keys();
    hold_sigtrap(note, 0);
    toggle(key, true);
    step_hook = call_while_armed;
    toggle(key, false);
    expect_traps(1, 0, 0, 0);
    raise(SIGTRAP);
    EXPECT(seen_signals == 1);
}

/* ---- another thread takes the signal after the engine has looked which handler holds it ---- */

static void (*before_sigaction)(void);
int __real_sigaction(int signal_number, const struct sigaction *action, struct sigaction *old);

int __wrap_sigaction(int signal_number, const struct sigaction *action, struct sigaction *old)
{
    if (action && before_sigaction) {
        void (*hook)(void) = before_sigaction;
        before_sigaction = NULL;
        hook();
    }
    return __real_sigaction(signal_number, action, old);
}

static void take_sigtrap(void)
{
    struct sigaction sa = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
    EXPECT(!__real_sigaction(SIGTRAP, &sa, NULL));
}

static void displaced_meanwhile(void)
{
    signal(SIGTRAP, SIG_DFL);
    before_sigaction = take_sigtrap;
    make_keys();
    EXPECT(!before_sigaction);
    step_hook = call_while_armed;
    toggle(key, true);
    expect_traps(1, 0, 0, 0);
    raise(SIGTRAP);
    EXPECT(seen_signals == 1);
}

/* ---- handlers that hand on to us ---- */

static struct sigaction ours; /* as they saw it when they took the signal */
static volatile int handed_on;

/* As another copy of the engine does, and every handler that was written to share its signal. */
static void call_ours(int signal_number, siginfo_t *info, void *context)
{
    EXPECT(++handed_on < 10);
    ours.sa_sigaction(signal_number, info, context);
}

/* As faulthandler does with chain=True. */
static void raise_ours(int signal_number, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    struct sigaction self;
    EXPECT(++handed_on < 10);
    EXPECT(!sigaction(signal_number, &ours, &self));
    raise(signal_number);
    EXPECT(!sigaction(signal_number, &self, NULL));
}

static void take_it_from_us(void (*action)(int, siginfo_t *, void *), int flags)
{
    struct sigaction sa = {.sa_sigaction = action, .sa_flags = flags | SA_SIGINFO};
    EXPECT(!sigaction(SIGTRAP, &sa, &ours));
}

/* Our own traps reach us through them; others reach them once, and then the handler before them. */
static void handed_back_by_a_call(void)
{
    hold_sigtrap(note, 0);
    make_keys();
    take_it_from_us(call_ours, 0);
    raise(SIGTRAP); /* it has the signal */
    EXPECT(handed_on == 1 && seen_signals == 1);
    toggle(key, true);
    raise(SIGTRAP); /* we have it again */
    EXPECT(handed_on == 2 && seen_signals == 2);
    foreign_int3();
    EXPECT(handed_on == 3 && seen_signals == 3);
}

static void handed_back_by_a_signal(void)
{
    hold_sigtrap(note, SA_NODEFER);
    make_keys();
    take_it_from_us(raise_ours, SA_NODEFER);
    toggle(key, true);
    raise(SIGTRAP);
    EXPECT(handed_on == 1 && seen_signals == 1);
    raise(SIGTRAP);
    EXPECT(handed_on == 2 && seen_signals == 2);
    toggle(key, false);
    raise(SIGTRAP);
    EXPECT(handed_on == 3 && seen_signals == 3);
}

static void handed_back_to_no_handler(void)
{
    signal(SIGTRAP, SIG_DFL);
    make_keys();
    take_it_from_us(call_ours, 0);
    toggle(key, true);
    EXPECT(died_of_sigtrap(end_of(raise_trap)));
    EXPECT(died_of_sigtrap(end_of(foreign_int3)));
}

/* The first handler has none before it. */
static void handed_back_by_the_first(void)
{
    hold_sigtrap(call_ours, 0);
    make_keys();
    EXPECT(!sigaction(SIGTRAP, NULL, &ours));
    EXPECT(died_of_sigtrap(end_of(raise_trap)));
}

static sigjmp_buf out;

static void leave(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number, (void)info, (void)context;
    seen_signals++;
    siglongjmp(out, 1);
}

/* A handler that never returns gets the next trap as well. */
static void left_by_longjmp(void)
{
    hold_sigtrap(leave, 0);
    make_keys();
    for (int i = 1; i <= 3; i++) {
        if (!sigsetjmp(out, 1))
            raise(SIGTRAP);
        EXPECT(seen_signals == i);
    }
}

/* So does a handler that is left at some depth, with a trap at a greater depth. */
static __attribute__((noinline)) void trap_below(volatile int depth)
{
    if (depth)
        trap_below(depth - 1);
    else if (!sigsetjmp(out, 1))
        foreign_int3();
    depth++;
}

static void left_by_longjmp_and_called_deeper(void)
{
    signal(SIGTRAP, SIG_DFL);
    make_keys();
    hold_sigtrap(leave, 0);
    toggle(key, true);
    trap_below(0);
    trap_below(100);
    EXPECT(seen_signals == 2);
}

static void raise_ours_and_take_it_again(int signal_number)
{
    struct sigaction self = {.sa_handler = raise_ours_and_take_it_again, .sa_flags = SA_NODEFER};
    EXPECT(++handed_on < 10);
    EXPECT(!sigaction(signal_number, &ours, NULL));
    raise(signal_number);
    EXPECT(!sigaction(signal_number, &self, NULL));
}

static void hand_on_while_armed(int number)
{
    if (number != 1)
        return;
    raise(SIGTRAP);
    EXPECT(call(entry) == off_value);
}

/* A foreign trap in the middle of a batch: a handler that takes the signal in order to pass it on does not keep it. */
static void handed_back_while_armed(void)
{
    hold_sigtrap(note, SA_NODEFER);
    make_keys();
    struct sigaction sa = {.sa_handler = raise_ours_and_take_it_again, .sa_flags = SA_NODEFER};
    EXPECT(!sigaction(SIGTRAP, &sa, &ours));
    step_hook = hand_on_while_armed;
    toggle(key, true);
    EXPECT(handed_on == 1 && seen_signals == 1);
    expect_traps(1, 0, 0, 2);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(displaced),
        TEST(displaced_meanwhile),
        TEST(handed_back_by_a_call),
        TEST(handed_back_by_a_signal),
        TEST(handed_back_to_no_handler),
        TEST(handed_back_by_the_first),
        TEST(left_by_longjmp),
        TEST(left_by_longjmp_and_called_deeper),
        TEST(handed_back_while_armed),
        TEST(chained_to_handler),
        TEST(chained_to_plain_handler),
        TEST(chained_to_nodefer_handler),
        TEST(chained_to_handler_that_resets),
        TEST(chained_to_no_handler),
        TEST(chained_as_init),
        TEST(chained_to_ignore),
        {0},
    };
    return run_named(tests, argc, argv);
}
