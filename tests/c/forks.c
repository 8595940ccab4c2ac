/*
 * Forks in the middle of a patch, each one forced: the patcher runs code of ours between the steps of the protocol
 * (hooks.h), and there another thread forks. Exits with 0, or says which expectation failed and aborts.
 */
#define _GNU_SOURCE
#include "expect.h"
#include "jump_label.h"

#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define STEPS 5

typedef void *function(void *argument);

static char off_value[] = "off", on_value[] = "on";
static struct static_key *key;
static struct jump_entry *entry;
static void (*step_hook)(int number);

void at_door(void) {}

void at_step(int number)
{
    if (step_hook)
        step_hook(number);
}

static void *identity(void *argument) { return argument; }

static void make_key(void)
{
    key = static_key_new("key", 0);
    entry = jump_entry_new(key, "test", "forks.c", TRAMPOLINE_SWITCH, (struct trampoline_target){identity, off_value},
                           (struct trampoline_target){identity, on_value});
    EXPECT(entry && entry->slot);
}

static void *call(void) { return ((function *)(void *)entry->slot->exec)(NULL); }

static void expect_whole(bool on)
{
    EXPECT(entry->slot->exec[1] == (on ? 0xe9 : 0x0f));
    EXPECT(key->enabled == on);
    EXPECT(call() == (on ? on_value : off_value));
}

static void expect_end(pid_t pid)
{
    int status;
    EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid && !status);
}

/* ---- a fork by another thread ---- */

static int fork_at; /* which step */
static bool now_on;
static pthread_t forker;
static _Atomic pid_t forker_id;
static _Atomic pid_t child;

static void toggle(bool on)
{
    now_on = on;
    EXPECT(static_key_toggle(key, on ? KEY_ENABLE : KEY_DISABLE) == 0);
}

/* The child finds no patch under way, what it patches is its own, and it counts from nothing. */
static void live_as_child(void)
{
    struct jump_label_info info;
    step_hook = NULL;
    expect_whole(now_on);
    jump_label_info(&info);
    EXPECT(!info.batches && !info.sites_patched && !info.sync_calls && !info.int3.current);
    bool was_on = now_on;
    for (int n = 0; n < 3; n++) {
        toggle(!now_on);
        expect_whole(now_on);
    }
    EXPECT(now_on != was_on);
}

static void *fork_here(void *unused)
{
    forker_id = (pid_t)syscall(SYS_gettid);
    pid_t pid = fork();
    if (!pid) {
        alarm(60);
        live_as_child();
        _exit(0);
    }
    child = pid;
    return unused;
}

static bool sleeps(pid_t tid)
{
    char line[256], state = 0;
    snprintf(line, sizeof(line), "/proc/self/task/%d/stat", tid);
    FILE *file = fopen(line, "re");
    EXPECT(file && fgets(line, sizeof(line), file));
    fclose(file);
    EXPECT(sscanf(strrchr(line, ')'), ") %c", &state) == 1);
    return state == 'S';
}

/* Go on when the other thread has forked, or waits until it may. */
static void have_it_fork(int number)
{
    if (number != fork_at)
        return;
    forker_id = child = 0;
    EXPECT(!pthread_create(&forker, NULL, fork_here, NULL));
    while (!child && !(forker_id && sleeps(forker_id)))
        sched_yield();
}

static void fork_in_the_middle_of_a_patch(void)
{
    make_key();
    step_hook = have_it_fork;
    for (fork_at = 1; fork_at <= STEPS; fork_at++)
        for (int on = 1; on >= 0; on--) {
            toggle(on);
            EXPECT(!pthread_join(forker, NULL));
            expect_whole(on);
            expect_end(child);
            expect_whole(on); /* whatever the child did */
        }
}

/* ---- a child that has its parent's memory, not a copy ---- */

static void call_in_a_vfork(int number)
{
    pid_t pid = vfork();
    if (!pid)
        _exit(call() != (now_on == (number > 1) ? on_value : off_value));
    expect_end(pid);
}

static void vfork_in_the_middle_of_a_patch(void)
{
    make_key();
    step_hook = call_in_a_vfork;
    toggle(true);
    expect_whole(true);
    toggle(false);
    expect_whole(false);
    EXPECT(trap_counts().current == 6);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(fork_in_the_middle_of_a_patch),
        TEST(vfork_in_the_middle_of_a_patch),
        {0},
    };
    return run_named(tests, argc, argv);
}
