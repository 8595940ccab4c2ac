/* A library that takes SIGTRAP, and passes on what it gets to the handler before it, if told to; test_displaced.py. */
#include <signal.h>
#include <stddef.h>

int times_called;
static struct sigaction before;

static void count(int signal_number) { times_called += signal_number == SIGTRAP; }

static void count_and_hand_on(int signal_number, siginfo_t *info, void *context)
{
    count(signal_number);
    if (before.sa_flags & SA_SIGINFO)
        before.sa_sigaction(signal_number, info, context);
    else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN)
        before.sa_handler(signal_number);
}

static void count_with_information(int signal_number, siginfo_t *info, void *context)
{
    count(context ? info->si_signo : 0);
    (void)signal_number;
}

int take(int flags)
{
    struct sigaction action = {.sa_flags = flags};
    if (flags & SA_SIGINFO)
        action.sa_sigaction = count_with_information;
    else
        action.sa_handler = count;
    return sigaction(SIGTRAP, &action, NULL);
}

int take_and_hand_on(void)
{
    struct sigaction action = {.sa_sigaction = count_and_hand_on, .sa_flags = SA_SIGINFO};
    return sigaction(SIGTRAP, &action, &before);
}

void breakpoint(void) { __asm__ volatile("int3"); }
