/*
 * Prints the steps by which the engine turns on a key with two sites, as they happen:
 *
 *     poke_steps int3|cautious|words SYNC
 *
 * SYNC is the sync that fails: 1, 2 or 3; 0 is none. A process of its own turns the key on. This one has it execute one
 * instruction after the other, looks at both sites after each, and prints every store and every call that it sees. The
 * model of the protocol (tests/programs/protocol_machine.py) names the same steps.
 */
#define _GNU_SOURCE
#include "expect.h"
#include "jump_label.h"
#include "os.h"
#include "trap_outcome.h"

#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#define SITES 2
#define INT3 0xcc
#define FIRST_BYTE UINT64_C(0xff)
#define SITE_BYTES ((UINT64_C(1) << 8 * SITE_SIZE) - 1)

typedef void *function(void *argument);

static void *identity(void *argument) { return argument; }

static struct jump_entry *entries[SITES];
static int sync_fails_at;
int __real_sync_core(void);

int __wrap_sync_core(void) { return sync_fails_at && --sync_fails_at == 0 ? -EIO : __real_sync_core(); }

/* ---- the process that is watched ---- */

static void turn_on_between_two_stops(struct static_key *key, int fails_at)
{
    if (ptrace(PTRACE_TRACEME, 0, 0, 0))
        _exit(NOT_POSSIBLE_HERE);
    sync_fails_at = fails_at;
    raise(SIGSTOP);
    static_key_toggle(key, KEY_ENABLE);
    raise(SIGSTOP);
    _exit(sync_fails_at ? 1 : 0); /* that sync was made */
}

/* ---- the process that watches ---- */

struct seen {
    uint64_t site, record;
};

static uint64_t word_of(pid_t child, const volatile void *address)
{
    errno = 0;
    uint64_t word = (uint64_t)ptrace(PTRACE_PEEKDATA, child, address, 0);
    EXPECT(!errno);
    return word;
}

static struct seen look(pid_t child, int site)
{
    const struct slot *slot = entries[site]->slot;
    return (struct seen){word_of(child, slot->exec) & SITE_BYTES, word_of(child, &slot->poke)};
}

/* What differs is one store: of the record, of the first byte, of all behind it, or of the whole site at once. */
static void print_difference(int site, struct seen before, struct seen now, uint64_t off)
{
    if (now.record != before.record)
        printf("%c record %s\n", 'A' + site, (uint32_t)now.record ? "on" : "off");
    if (now.site == before.site)
        return;
    const char *tail = (now.site & ~FIRST_BYTE) == (off & ~FIRST_BYTE) ? "off" : "on";
    bool other_tail = (now.site ^ before.site) & ~FIRST_BYTE;
    if (!other_tail)
        printf("%c first %s\n", 'A' + site, (now.site & FIRST_BYTE) == INT3 ? "int3" : "prefix");
    else if ((now.site & FIRST_BYTE) != (before.site & FIRST_BYTE))
        printf("%c first byte and tail\n", 'A' + site);
    else
        printf("%c %s %s\n", 'A' + site, (now.site & FIRST_BYTE) == INT3 ? "tail" : "word", tail);
}

static void print_call(pid_t child)
{
    static const struct {
        void *function;
        const char *step;
    } calls[] = {
        {(void *)trap_batch_begin, "begin"},
        {(void *)__wrap_sync_core, "sync"},
        {(void *)trap_batch_end, "end"},
    };
    struct user_regs_struct registers;
    EXPECT(!ptrace(PTRACE_GETREGS, child, 0, &registers));
    for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
        if (registers.rip == (uintptr_t)calls[i].function)
            puts(calls[i].step);
}

static int watch(pid_t child)
{
    struct seen before[SITES];
    uint64_t off[SITES];
    int status;
    EXPECT(waitpid(child, &status, 0) == child);
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    EXPECT(!ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_EXITKILL));
    for (int i = 0; i < SITES; i++) {
        before[i] = look(child, i);
        off[i] = before[i].site;
    }
    do {
        for (int i = 0; i < SITES; i++) {
            struct seen now = look(child, i);
            print_difference(i, before[i], now, off[i]);
            before[i] = now;
        }
        print_call(child);
        EXPECT(!ptrace(PTRACE_SINGLESTEP, child, 0, 0) && waitpid(child, &status, 0) == child && WIFSTOPPED(status));
    } while (WSTOPSIG(status) == SIGTRAP);
    EXPECT(WSTOPSIG(status) == SIGSTOP);
    EXPECT(!ptrace(PTRACE_CONT, child, 0, 0) && waitpid(child, &status, 0) == child && WIFEXITED(status));
    return WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    alarm(60);
    jump_label_configure((struct jump_label_settings){
        .native = 1,
        .method = SYNC_MEMBARRIER,
        .syncs = strcmp(argv[1], "cautious") ? 2 : 3,
        .poke = strcmp(argv[1], "words") ? POKE_INT3 : POKE_WORD,
    });
    struct static_key *key = static_key_new("steps", 0);
    for (int i = 0; i < SITES; i++) {
        static char result[] = "result";
        entries[i] =
            jump_entry_new(key, "test", __FILE__, TRAMPOLINE_SWITCH, (struct trampoline_target){identity, result},
                           (struct trampoline_target){identity, result});
        EXPECT(entries[i] && entries[i]->slot);
    }
    pid_t child = fork();
    EXPECT(child >= 0);
    if (!child)
        turn_on_between_two_stops(key, atoi(argv[2]));
    return watch(child);
}
