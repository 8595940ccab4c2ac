/*
 * Another thread takes SIGTRAP at the worst moment: between our look at its handler and our taking it.
 *
 * Built with the linker's --wrap. Exits with 0, or says which expectation failed and aborts.
 */
#define _GNU_SOURCE
#include "expect.h"
#include "trap_handler.h"
#include "trap_outcome.h"

#include <signal.h>
#include <stdbool.h>

static int by_first, by_second;
static bool displace;

static void first(int signal_number) { by_first += signal_number == SIGTRAP; }

static void second(int signal_number) { by_second += signal_number == SIGTRAP; }

int __real_sigaction(int signal_number, const struct sigaction *action, struct sigaction *old);

int __wrap_sigaction(int signal_number, const struct sigaction *action, struct sigaction *old)
{
    int result = __real_sigaction(signal_number, action, old);
    if (displace && !action) {
        displace = false;
        struct sigaction taking = {.sa_handler = second};
        EXPECT(!__real_sigaction(SIGTRAP, &taking, NULL));
    }
    return result;
}

static void between_look_and_taking(void)
{
    signal(SIGTRAP, first);
    displace = true;
    EXPECT(os_trap_take(&x86_trap) == 0);
    raise(SIGTRAP);
    EXPECT(by_first == 0 && by_second == 1);
    EXPECT(trap_counts().chained == 1); /* we have it, and hand it on */
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(between_look_and_taking),
        {0},
    };
    return run_named(tests, argc, argv);
}
