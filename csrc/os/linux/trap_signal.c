#define _GNU_SOURCE
#include "os.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The tests hold a thread here, between its trap and the handler's first look around. */
#ifndef TRAP_DOOR
#define TRAP_DOOR()
#endif

static const struct os_trap *_Atomic ours_is; /* set before the first signal can arrive */

/* An action that held SIGTRAP before. Never freed: a handler may be reading it. */
struct held {
    struct sigaction action;
    struct held *before; /* the action that held it when this one was first seen; NULL: none */
    struct held *next;
};
static struct held *all_held;
static struct held *_Atomic before_us;

/* Initial-exec: the other models may allocate on a thread's first access, which a handler must not. */
static __thread struct chained {
    struct held *held; /* runs now, on this thread, called by chain(); NULL: none does */
    char *frame;
    void *context; /* that it was given */
    bool again;    /* it runs within itself */
} chained __attribute__((tls_model("initial-exec")));

/* Do what the kernel would have done without our handler. */
static void die_of(siginfo_t *info)
{
    signal(SIGTRAP, SIG_DFL);
    sigset_t trap;
    sigemptyset(&trap);
    sigaddset(&trap, SIGTRAP);
    pthread_sigmask(SIG_UNBLOCK, &trap, NULL);
    /* To oneself any si_code may be sent (rt_sigqueueinfo(2)): the core dump shows the original cause. */
    syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)syscall(SYS_gettid), SIGTRAP, info);
    if (info->si_code > 0)
        atomic_load(&ours_is)->trap(); /* init of a container: no signal kills it but one that the kernel forces */
}

static void handler(int signal_number, siginfo_t *info, void *context);

/*
 * SA_NODEFER: a handler we chain to may call a site that is armed, and an int3 while SIGTRAP is blocked kills.
 * SA_ONSTACK: a thread with an alternate stack may have little left of its own.
 */
static const struct sigaction ours = {
    .sa_sigaction = handler,
    .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK | SA_RESTART,
};

static bool is_ours(const struct sigaction *action)
{
    return action->sa_flags & SA_SIGINFO && action->sa_sigaction == handler;
}

/* The kernel's mask is 64 bits; what sigaction(2) of the C library leaves in the rest of its own may be anything. */
static bool same(const struct sigaction *a, const struct sigaction *b)
{
    return a->sa_sigaction == b->sa_sigaction && a->sa_flags == b->sa_flags &&
           !memcmp(&a->sa_mask, &b->sa_mask, sizeof(uint64_t));
}

/*
 * Pass foreign traps to the previous SIGTRAP handler. If that handler passes the trap back to us (faulthandler's
 * chain=True, another copy of this engine), try the handler before it. The very first is tried again: it may know more
 * handlers by then, as a copy of this engine does.
 */
static struct chained next_in_turn(char *frame, siginfo_t *info, void *context)
{
    /*
     * A handler passes a trap back when it calls us with what it got, or sends itself the signal. It may be left by
     * longjmp: it still runs only while the stack (always one and the same here) is deeper.
     */
    bool handed_on = context == chained.context || info->si_code <= 0;
    if (!chained.held || !handed_on || frame >= chained.frame)
        return (struct chained){atomic_load(&before_us), frame, context, false};
    if (chained.held->before || chained.again)
        return (struct chained){chained.held->before, frame, context, false};
    return (struct chained){chained.held, frame, context, true};
}

static void chain(int signal_number, siginfo_t *info, void *context)
{
    static struct held none; /* all zero: SIG_DFL */
    struct chained next = next_in_turn(__builtin_frame_address(0), info, context);
    struct held *held = next.held;
    struct sigaction *action = held ? &held->action : &none.action;
    bool forced = info->si_code > 0; /* by the kernel, for an instruction: it kills where the signal is ignored */
    if (action->sa_handler == SIG_DFL || (action->sa_handler == SIG_IGN && forced)) {
        die_of(info);
        return;
    }
    if (action->sa_handler == SIG_IGN)
        return;
    if (action->sa_flags & (int)SA_RESETHAND) {
        struct held *expected = held;
        atomic_compare_exchange_strong(&before_us, &expected, &none);
    }
    sigset_t mask = action->sa_mask;
    if (!(action->sa_flags & SA_NODEFER))
        sigaddset(&mask, SIGTRAP);
    pthread_sigmask(SIG_BLOCK, &mask, NULL); /* the return from our handler restores it */
    struct chained outer = chained;
    chained = next;
    if (action->sa_flags & SA_SIGINFO)
        action->sa_sigaction(signal_number, info, context);
    else
        action->sa_handler(signal_number);
    chained = outer;
    /* A handler that sends itself the signal takes it from us first, and keeps it: take it back. */
    struct sigaction now;
    if (!sigaction(SIGTRAP, NULL, &now) && same(&now, &held->action))
        sigaction(SIGTRAP, &ours, NULL);
}

static void handler(int signal_number, siginfo_t *info, void *context)
{
    TRAP_DOOR();
    int saved_errno = errno;
    if (!atomic_load(&ours_is)->handle(context, info->si_code == SI_KERNEL))
        chain(signal_number, info, context);
    errno = saved_errno;
}

static struct held *hold(const struct sigaction *action)
{
    for (struct held *held = all_held; held; held = held->next)
        if (same(&held->action, action))
            return held;
    struct held *held = calloc(1, sizeof(*held));
    if (held) {
        held->action = *action;
        held->before = atomic_load(&before_us);
        held->next = all_held;
        all_held = held;
    }
    return held;
}

int os_trap_take(const struct os_trap *trap)
{
    struct sigaction now;
    atomic_store_explicit(&ours_is, trap, memory_order_release);
    if (sigaction(SIGTRAP, NULL, &now))
        return -errno;
    /* Until what we replace is our own handler: another thread may have come between the question and the answer. */
    while (!is_ours(&now)) {
        struct held *held = hold(&now);
        if (!held)
            return -ENOMEM;
        atomic_store(&before_us, held);
        if (sigaction(SIGTRAP, &ours, &now))
            return -errno;
    }
    return 0;
}
