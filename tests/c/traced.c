/*
 * Sites patched in a process that another one traces. The tracer does with the traps what tools are known to do.
 *
 * Built with hooks.h: a child runs into its own site at every step of the protocol, and its parent is the tracer.
 * Exits with 0, or says which expectation failed and aborts.
 */
#define _GNU_SOURCE
#include "expect.h"
#include "jump_label.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

typedef void *function(void *argument);

static char off_value[] = "off", on_value[] = "on";
static struct jump_entry *entries[2];
static bool toggling, now_on;

static void *identity(void *argument) { return argument; }

void at_door(void) {}

void at_step(int number)
{
    for (int i = 0; i < 2 && toggling; i++) {
        char *result = ((function *)(void *)entries[i]->slot->exec)(NULL);
        /* From step 2 on nothing can fail any more, and until step 4 there are old tails: either way will do. */
        EXPECT(number == 2 || number == 3 ? result == off_value || result == on_value
                                          : result == (now_on == (number > 3) ? on_value : off_value));
    }
}

static void child(void)
{
    alarm(60);
    struct static_key *key = static_key_new("key", 0);
    static const enum trampoline_kind kinds[] = {TRAMPOLINE_CONSTANT, TRAMPOLINE_SWITCH};
    for (int i = 0; i < 2; i++)
        entries[i] = jump_entry_new(key, "test", "traced.c", kinds[i], (struct trampoline_target){identity, off_value},
                                    (struct trampoline_target){identity, on_value});
    EXPECT(entries[0] && entries[0]->slot && entries[1] && entries[1]->slot);
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
        _exit(NOT_POSSIBLE_HERE);
    raise(SIGSTOP);
    toggling = true;
    for (int turn = 0; turn < 4; turn++) {
        now_on = turn % 2 == 0;
        EXPECT(static_key_toggle(key, now_on ? KEY_ENABLE : KEY_DISABLE) == 0);
    }
    _exit(0);
}

/* Trace the child; at each trap, call at_trap(), which returns the signal to go on with. Returns the traps. */
static int trace(long (*at_trap)(pid_t pid), enum __ptrace_request go_on)
{
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (!pid)
        child();
    int status, traps = 0;
    while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
        long deliver = WSTOPSIG(status);
        if (deliver == SIGSTOP)
            deliver = 0;
        if (deliver == SIGTRAP) {
            traps++;
            deliver = at_trap(pid);
        }
        EXPECT(!ptrace(go_on, pid, NULL, deliver));
    }
    if (WIFSIGNALED(status)) {
        fprintf(stderr, "the traced process was killed by signal %d\n", WTERMSIG(status));
        abort();
    }
    if (WEXITSTATUS(status) == NOT_POSSIBLE_HERE)
        exit(NOT_POSSIBLE_HERE);
    EXPECT(WEXITSTATUS(status) == 0);
    return traps;
}

/* Of each toggle, at the steps that show an int3: 1 and 2 at both sites, 3 twice, with one of them done in between. */
#define TRAPS (4 * (2 + 2 + 2 + 1))

static long pass(pid_t pid)
{
    (void)pid;
    return SIGTRAP;
}

/* strace, and a debugger that was told to pass the signal on. */
static void passed_on(void) { EXPECT(trace(pass, PTRACE_CONT) == TRAPS); }

/* gdb takes every int3 for a breakpoint and puts the counter back; it may leave like that, passing the signal on. */
static long put_back(pid_t pid)
{
    struct user_regs_struct registers;
    EXPECT(!ptrace(PTRACE_GETREGS, pid, NULL, &registers));
    registers.rip--;
    EXPECT(!ptrace(PTRACE_SETREGS, pid, NULL, &registers));
    return SIGTRAP;
}

static void put_back_to_the_site(void) { EXPECT(trace(put_back, PTRACE_CONT) == TRAPS); }

static long swallow(pid_t pid)
{
    (void)pid;
    return 0;
}

/* strace that is interrupted, a debugger with its default settings: the thread goes on behind the int3. */
static void swallowed(void) { EXPECT(trace(swallow, PTRACE_CONT) == TRAPS); }

/* A debugger that steps takes every trap for the end of its own step. */
static void stepped_through(void) { EXPECT(trace(swallow, PTRACE_SINGLESTEP) > TRAPS); }

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(passed_on), TEST(put_back_to_the_site), TEST(swallowed), TEST(stepped_through), {0},
    };
    return run_named(tests, argc, argv);
}
