#define _GNU_SOURCE
#include "trap_outcome.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

/* The tests hold a thread here, between its trap and the handler's first look around. */
#ifndef INT3_DOOR
#define INT3_DOOR()
#endif

/* They also begin close to the largest number. */
#ifndef INT3_FIRST_BATCH
#define INT3_FIRST_BATCH 1u
#endif

#define ACTIVE 1u

static _Atomic uint64_t batch = (uint64_t)INT3_FIRST_BATCH << 1; /* its number << 1, and ACTIVE while it is patched */
static struct {
    _Atomic uint64_t current, previous, stale, chained;
} counts;

/* An action that held SIGTRAP before. Never freed: a handler may be reading it. */
struct held {
    struct sigaction action;
    struct held *before; /* who held it when this one was first seen; NULL: nobody */
    struct held *next;
};
static struct held *all_held;
static struct held *_Atomic before_us;

/* Initial-exec: the other models may allocate on a thread's first access, which a handler must not. */
static __thread struct chained {
    struct held *held; /* runs now, on this thread, called by chain(); NULL: none does */
    char *frame;
    void *context; /* that it got */
    bool again;    /* it runs within itself */
} chained __attribute__((tls_model("initial-exec")));

/* Not 0, which is no batch. After 2^32 batches an old site may pass for a current one: with its own instruction. */
static uint32_t following(uint32_t number) { return number + 1 ? number + 1 : 1; }

static void count(_Atomic uint64_t *counter) { atomic_fetch_add_explicit(counter, 1, memory_order_relaxed); }

/* Do what the kernel would have done, had we never been here. */
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
        __asm__ volatile("int3"); /* init of a container: no signal kills it but one that the kernel forces */
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
 * Who gets a trap that is not ours: who held SIGTRAP before us. But one that hands on to us what it does not know
 * (faulthandler's chain=True, another copy of this engine) gets it once; then it is the turn of who was before it. The
 * very first is asked again: it may have learnt of others since, as a copy of this engine does.
 */
static struct chained next_in_turn(char *frame, siginfo_t *info, void *context)
{
    /*
     * It calls us with what it got, or sends itself the signal. And as a handler may be left by longjmp, it runs only
     * while the stack (always one and the same here) is deeper.
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
    static struct held nobody; /* all zero: SIG_DFL */
    struct chained next = next_in_turn(__builtin_frame_address(0), info, context);
    struct held *held = next.held;
    struct sigaction *action = held ? &held->action : &nobody.action;
    bool forced = info->si_code > 0; /* by the kernel, for an instruction: it kills where the signal is ignored */
    if (action->sa_handler == SIG_DFL || (action->sa_handler == SIG_IGN && forced)) {
        die_of(info);
        return;
    }
    if (action->sa_handler == SIG_IGN)
        return;
    if (action->sa_flags & (int)SA_RESETHAND) {
        struct held *expected = held;
        atomic_compare_exchange_strong(&before_us, &expected, &nobody);
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
    /* One that sends itself the signal takes it from us to do so. With a trap of ours it could not do that. */
    struct sigaction now;
    if (!sigaction(SIGTRAP, NULL, &now) && same(&now, &held->action))
        sigaction(SIGTRAP, &ours, NULL);
}

static void handler(int signal_number, siginfo_t *info, void *context)
{
    INT3_DOOR();
    int saved_errno = errno;
    greg_t *rip = &((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    uint8_t *site = (uint8_t *)*rip - 1;
    /*
     * Whatever si_code says: no thread is ever one byte into a site but behind its int3. A SIGTRAP that another thread
     * sends at that instant takes the place of the trap's own (a signal is pending once), with its si_code.
     */
    struct slot *slot = arena_find(site);
    /*
     * A debugger puts the counter back to where it thinks its own breakpoint is, before it looks whose int3 it was. One
     * that detaches then has the signal delivered there.
     */
    if ((!slot || slot->exec != site) && info->si_code == SI_KERNEL) {
        site++;
        slot = arena_find(site);
    }
    /* In this order: a batch that ends or begins between the two loads makes the trap look older, never younger. */
    uint64_t now = atomic_load(&batch);
    uint64_t poke = slot && slot->exec == site ? atomic_load(&slot->poke) : 0;
    uint32_t number = (uint32_t)(now >> 1), poked = (uint32_t)(poke >> 32);
    bool active = now & ACTIVE;

    if (!poke) {
        count(&counts.chained);
        chain(signal_number, info, context);
    } else if (active && poked == number) {
        *rip = (greg_t)(site + SITE_SIZE + (int32_t)poke);
        count(&counts.current);
    } else {
        *rip = (greg_t)site;
        count((active ? following(poked) : poked) == number ? &counts.previous : &counts.stale);
    }
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

int int3_install(void)
{
    struct sigaction now;
    if (sigaction(SIGTRAP, NULL, &now))
        return -errno;
    /* Until it is ourselves whom we replace: another thread may have come between the question and the answer. */
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

uint32_t int3_batch_begin(void)
{
    uint32_t number = following(int3_batch());
    atomic_store(&batch, (uint64_t)number << 1 | ACTIVE);
    return number;
}

void int3_batch_end(void) { atomic_fetch_and(&batch, ~(uint64_t)ACTIVE); }

uint32_t int3_batch(void) { return (uint32_t)(atomic_load(&batch) >> 1); }

struct int3_counts int3_counts(void)
{
    return (struct int3_counts){counts.current, counts.previous, counts.stale, counts.chained};
}

void int3_forked(void) { counts.current = counts.previous = counts.stale = counts.chained = 0; }
