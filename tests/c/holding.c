/*
 * What happens to a thread that holds the engine's lock, or waits for it, and to a child that no fork handler was told
 * of. Exits with 0, or says which expectation failed and aborts.
 */
#define _GNU_SOURCE
#include "scene.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- a thread is cancelled while it holds the mutex ---- */

static void *toggle_and_be_cancelled(void *unused)
{
    pthread_cancel(pthread_self());
    toggle(key, true);
    pthread_testcancel();
    return unused;
}

/* Its patch is completed, and others can patch. There are cancellation points within: a look opens files. */
static void cancelled(void)
{
    make_keys();
    pthread_t thread;
    void *ended_with;
    pthread_create(&thread, NULL, toggle_and_be_cancelled, &ended_with);
    pthread_join(thread, &ended_with);
    EXPECT(ended_with == PTHREAD_CANCELED);
    EXPECT(call(entry) == on_value);
    toggle(key, false);
    EXPECT(call(entry) == off_value);
}

/* ---- handlers wait while the mutex is held ---- */

static volatile int handled;
static int handled_within;

/* It forks, which takes the mutex, and calls the site with all signals blocked: both deadly in the middle of a patch.
 */
static void fork_and_call(int signal_number)
{
    (void)signal_number;
    handled++;
    pid_t child = fork();
    if (!child)
        _exit(call(entry) == on_value ? 0 : 1);
    int status;
    EXPECT(waitpid(child, &status, 0) == child && status == 0);
    EXPECT(call(entry) == on_value);
}

static void send_ourselves_a_signal(int number)
{
    if (number != 1)
        return;
    raise(SIGPROF);
    handled_within = handled;
}

static void handlers_wait(void)
{
    struct sigaction action = {.sa_handler = fork_and_call};
    sigfillset(&action.sa_mask);
    EXPECT(!sigaction(SIGPROF, &action, NULL));
    make_keys();
    step_hook = send_ourselves_a_signal;
    toggle(key, true);
    EXPECT(handled_within == 0 && handled == 1);
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    EXPECT(!sigismember(&mask, SIGPROF));
}

static volatile bool at_the_lock;

static void *wait_for_the_lock(void *unused)
{
    struct jump_label_info info;
    at_the_lock = true;
    jump_label_info(&info);
    return unused;
}

static void let_another_wait(int number)
{
    if (number != 1)
        return;
    pthread_t thread;
    EXPECT(!pthread_create(&thread, NULL, wait_for_the_lock, NULL));
    while (!at_the_lock)
        sched_yield();
    usleep(20000); /* until it really waits; it passes where that is too short */
}

/* The signal that synchronizes must reach a thread that waits for the asking thread. */
static void a_thread_that_waits_for_the_lock_answers(void)
{
    jump_label_configure((struct jump_label_settings){.native = 1, .syncs = 2, .method = SYNC_SIGNAL});
    make_keys();
    step_hook = let_another_wait;
    toggle(key, true);
}

/* ---- a child that no fork handler was told of ---- */

static void raw_child(bool (*act)(void))
{
    pid_t child = (pid_t)syscall(SYS_fork);
    EXPECT(child >= 0);
    if (!child)
        _exit(act() ? 0 : 1);
    int status;
    EXPECT(waitpid(child, &status, 0) == child && status == 0);
}

static bool cannot_patch(void)
{
    struct jump_label_info info;
    bool refused = static_key_toggle(key, KEY_ENABLE) == -ENOTSUP && !key->enabled && call(entry) == off_value;
    struct jump_entry *made = jump_entry_new(key, "test", __FILE__, TRAMPOLINE_SWITCH, (struct trampoline_target){0},
                                             (struct trampoline_target){0});
    jump_entry_retire(other_entry); /* its slot is the parent's, too */
    jump_label_info(&info);
    return refused && made && !made->slot && info.refused == ENOTSUP;
}

/* Before any other call told the child that its code is the parent's. */
static bool drops(void)
{
    jump_entry_retire(other_entry);
    free(jump_table_read(NULL));
    return other_key->n_entries == 0;
}

static bool can_patch(void) { return static_key_toggle(key, KEY_ENABLE) == 0 && call(entry) == on_value; }

static bool fork_and_patch(void)
{
    pid_t child = fork();
    if (!child)
        _exit(can_patch() ? 0 : 1);
    int status;
    return waitpid(child, &status, 0) == child && status == 0;
}

/* Its children's code would be a copy of what the parent may be patching. */
static bool its_children_cannot_patch(void)
{
    pid_t child = fork();
    if (!child)
        _exit(static_key_toggle(key, KEY_ENABLE) == -ENOTSUP ? 0 : 1);
    int status;
    return waitpid(child, &status, 0) == child && status == 0;
}

/* Its code is its parent's: it is told so, and the parent's stays as it is. A fork(2) makes no such child. */
static void made_by_a_raw_clone(void)
{
    make_keys();
    raw_child(cannot_patch);
    raw_child(drops);
    raw_child(its_children_cannot_patch);
    EXPECT(call(entry) == off_value && call(other_entry) == off_value);
    EXPECT(fork_and_patch());
    EXPECT(call(entry) == off_value);
    EXPECT(can_patch());
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(cancelled),
        TEST(handlers_wait),
        TEST(a_thread_that_waits_for_the_lock_answers),
        TEST(made_by_a_raw_clone),
        {0},
    };
    return run_named(tests, argc, argv);
}
