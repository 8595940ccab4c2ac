/*
 * Sites that are patched by whole words, because a thread would die of an int3; and who notices that one would. Exits
 * with 0, or says which expectation failed and aborts.
 */
#define _GNU_SOURCE
#include "blocked.h"
#include "scene.h"
#include "site_watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- a thread that blocks signals, and calls the site when it is told to ---- */

static sem_t told, done;
static void *result;
static pid_t other_tid;
static bool goes_on;

static void *block_and_call(void *signals)
{
    pthread_sigmask(SIG_BLOCK, signals, NULL);
    other_tid = (pid_t)syscall(SYS_gettid);
    sem_post(&done);
    for (;;) {
        sem_wait(&told);
        if (!goes_on)
            return NULL;
        result = call(entry);
        sem_post(&done);
    }
}

static pthread_t thread_that_blocks(int signal_number) /* 0: all signals */
{
    static sigset_t signals;
    pthread_t thread;
    sigfillset(&signals);
    if (signal_number) {
        sigemptyset(&signals);
        sigaddset(&signals, signal_number);
    }
    goes_on = true;
    EXPECT(!sem_init(&told, 0, 0) && !sem_init(&done, 0, 0));
    EXPECT(!pthread_create(&thread, NULL, block_and_call, &signals));
    sem_wait(&done);
    return thread;
}

static void *call_elsewhere(void)
{
    sem_post(&told);
    sem_wait(&done);
    return result;
}

static void end(pthread_t thread)
{
    goes_on = false;
    sem_post(&told);
    pthread_join(thread, NULL);
}

static uint64_t word_batches(void) { return text_poke_counts().word_batches; }

/* ---- patching ---- */

static void *expected[3]; /* behind each step */
static int steps;

static void call_everywhere(int number)
{
    EXPECT(call(entry) == expected[number]);
    EXPECT(call_elsewhere() == expected[number]);
    steps++;
}

/* It meets the site between any two steps, and nobody ever meets an int3. */
static void a_thread_blocks_sigtrap(void)
{
    make_keys();
    thread_that_blocks(0);
    step_hook = call_everywhere;
    for (int on = 1; on >= 0; on--) {
        expected[1] = on ? off_value : on_value;
        expected[2] = on ? on_value : off_value;
        toggle(key, on);
        EXPECT(call_elsewhere() == expected[2]);
    }
    EXPECT(steps == 4 && in_handler == 0 && word_batches() == 2);
}

static void call_while_on(int number)
{
    if (number == 1)
        EXPECT(call(entry) == on_value);
}

/* All of the slot but the site stays, and later batches by int3 find all in order. */
static void the_rest_of_the_slot_stays(void)
{
    make_keys();
    uint8_t before[SLOT_SIZE];
    memcpy(before, entry->slot->exec, SLOT_SIZE);
    pthread_t thread = thread_that_blocks(SIGTRAP);
    toggle(key, true);
    EXPECT(entry->slot->exec[1] == 0xe9 && word_batches() == 1);
    EXPECT(!memcmp(before + SITE_SIZE, entry->slot->exec + SITE_SIZE, SLOT_SIZE - SITE_SIZE));
    EXPECT((int32_t)atomic_load(&entry->slot->poke) == entry->slot->displacement);
    end(thread);
    step_hook = call_while_on;
    toggle(key, false);
    step_hook = NULL;
    EXPECT(!memcmp(before, entry->slot->exec, SLOT_SIZE) && word_batches() == 1);
    toggle(key, true);
    EXPECT(call(entry) == on_value && word_batches() == 1);
}

/* A trap by int3 is still on its way when the site is patched by words. */
static void an_old_trap(void)
{
    make_keys();
    hold_a_trap_of_the_next_batch();
    toggle(key, true);
    thread_that_blocks(0);
    toggle(key, false);
    EXPECT(word_batches() == 1);
    EXPECT(let_go() == off_value);
    expect_traps(0, 1, 0, 0);
}

static void an_old_trap_within_the_batch(void)
{
    make_keys();
    hold_a_trap_of_the_next_batch();
    toggle(key, true);
    thread_that_blocks(0);
    step_hook = let_go_in_the_middle;
    toggle(key, false);
    EXPECT(result_of_held == off_value);
    expect_traps(0, 1, 0, 0);
}

/* Whichever sync fails, all sites and the key are as they were, for the one who calls and in the handler's record. */
static void a_sync_fails(void)
{
    make_keys();
    struct jump_entry *second = new_entry(key);
    uint8_t before[SLOT_SIZE];
    memcpy(before, second->slot->exec, SLOT_SIZE);
    thread_that_blocks(0);
    for (int which = 1; which <= 2; which++) {
        sync_fails_at = which;
        EXPECT(static_key_toggle(key, KEY_ENABLE) == -EIO);
        EXPECT(!key->enabled && !key->count);
        EXPECT(!memcmp(before, second->slot->exec, SLOT_SIZE));
        EXPECT((uint32_t)atomic_load(&second->slot->poke) == NO_JUMP);
        EXPECT(call(entry) == off_value && call(second) == off_value && call_elsewhere() == off_value);
    }
    EXPECT(text_poke_counts().batches == 0 && text_poke_counts().sites == 0);
    toggle(key, true);
    EXPECT(call(entry) == on_value && call(second) == on_value && call_elsewhere() == on_value);
}

static int watched_enough;
static uint64_t seen[8];
static size_t n_seen;

static void *watch(void *site)
{
    n_seen = site_watch(site, &watched_enough, seen, 8);
    return NULL;
}

/* No other core ever sees anything between the two. */
static void two_states(void)
{
    make_keys();
    thread_that_blocks(0);
    pthread_t watcher;
    EXPECT(!pthread_create(&watcher, NULL, watch, (void *)entry->slot->exec));
    for (int i = 0; i < 20000; i++)
        toggle(key, !key->enabled);
    __atomic_store_n(&watched_enough, 1, __ATOMIC_SEQ_CST);
    pthread_join(watcher, NULL);
    EXPECT(n_seen == 2 && word_batches() == 20000);
}

static void configure(enum text_poke_way way)
{
    jump_label_configure((struct jump_label_settings){.native = 1, .syncs = 2, .poke = way});
}

/* By words only, SIGTRAP is nobody's. */
static void words_only(void)
{
    configure(POKE_WORD);
    make_keys();
    toggle(key, true);
    EXPECT(call(entry) == on_value && word_batches() == 1);
    struct sigaction action;
    EXPECT(!sigaction(SIGTRAP, NULL, &action) && action.sa_handler == SIG_DFL);
}

/* By int3 only, nobody looks. */
static void int3_only(void)
{
    configure(POKE_INT3);
    make_keys();
    thread_that_blocks(0);
    toggle(key, true);
    EXPECT(call_elsewhere() == on_value && word_batches() == 0);
}

/* ---- who blocks what ---- */

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

/* As a patch asks. */
static bool blocked_anywhere(int signal_number)
{
    sigset_t ours;
    pthread_sigmask(SIG_BLOCK, NULL, &ours);
    return sigismember(&ours, signal_number) || blocked_elsewhere(signal_number);
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

static sigset_t trap_alone(void)
{
    sigset_t trap;
    sigemptyset(&trap);
    sigaddset(&trap, SIGTRAP);
    return trap;
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

/* ---- a thread is cancelled while it holds the mutex ---- */

static void *toggle_and_be_cancelled(void *unused)
{
    pthread_cancel(pthread_self());
    toggle(key, true);
    pthread_testcancel();
    return unused;
}

/* Its patch is completed, and others can patch. There are cancellation points within: who looks opens files. */
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

/* Who cannot look takes the careful way. */
static bool proc_is_gone, files_are_others, no_syscall_file;
static int no_file;            /* errno of every open() */
static const char *schedstats; /* the file that stands for all of them */
static bool other_inodes;
static char opened[16];      /* of the last look: c for schedstat, m for stat, with the mask, s for syscall */
static int listing_fails_at; /* 1: at once, 0: never */
DIR *__real_opendir(const char *name);
int __real_open(const char *name, int flags, ...);
struct dirent *__real_readdir(DIR *directory);

DIR *__wrap_opendir(const char *name) { return proc_is_gone ? (errno = ENOENT, NULL) : __real_opendir(name); }

int __wrap_open(const char *name, int flags, ...)
{
    char what = strstr(name, "/schedstat") ? 'c' : strstr(name, "/stat") ? 'm' : strstr(name, "/syscall") ? 's' : '?';
    size_t n = strlen(opened);
    if (n + 1 < sizeof(opened))
        opened[n] = what, opened[n + 1] = 0;
    if (no_file)
        return errno = no_file, -1;
    if (schedstats && what == 'c')
        return __real_open(schedstats, flags);
    if (no_syscall_file && strstr(name, "/syscall"))
        return errno = ENOENT, -1;
    return __real_open(files_are_others ? "/proc/self/comm" : name, flags);
}

struct dirent *__wrap_readdir(DIR *directory)
{
    if (listing_fails_at && --listing_fails_at == 0)
        return errno = EIO, NULL;
    struct dirent *entry = __real_readdir(directory);
    if (entry && other_inodes)
        entry->d_ino ^= 1;
    return entry;
}

static const char *look(void)
{
    opened[0] = 0;
    EXPECT(!blocked_anywhere(SIGTRAP));
    return opened;
}

static void look_until(const char *files)
{
    while (strcmp(look(), files))
        sched_yield();
}

static sem_t turn, turned;

static void *wait_and_block(void *unused)
{
    sigset_t trap = trap_alone();
    sem_post(&turned); /* it blocks all signals while it is made */
    sem_wait(&turn);
    pthread_sigmask(SIG_BLOCK, &trap, NULL);
    sem_post(&turned);
    pause();
    return unused;
}

/* A thread that waits is asked for its mask again when it has run, and when it is another one, and only then. */
static void who_waits_is_asked_once(void)
{
    pthread_t thread;
    EXPECT(!sem_init(&turn, 0, 0) && !sem_init(&turned, 0, 0) && !pthread_create(&thread, NULL, wait_and_block, NULL));
    sem_wait(&turned);
    look_until("cmsm"); /* it waited twice: the mask, once more when it is known that it waits */
    look_until("c");
    EXPECT(!strcmp(look(), "c") && !strcmp(look(), "c"));
    other_inodes = true;
    EXPECT(!strcmp(look(), "ms") && !strcmp(look(), "cmsm") && !strcmp(look(), "c"));
    sem_post(&turn);
    sem_wait(&turned);
    for (int twice = 0; twice < 2; twice++)
        EXPECT(blocked_anywhere(SIGTRAP));
}

static int spins = 1;

static void *spin(void *unused)
{
    sem_post(&turned);
    while (__atomic_load_n(&spins, __ATOMIC_SEQ_CST))
        ;
    return unused;
}

/* It may have another mask by the next look: to write down when it ran is of no use. */
static void who_runs_is_asked_again(void)
{
    pthread_t thread;
    EXPECT(!sem_init(&turned, 0, 0) && !pthread_create(&thread, NULL, spin, NULL));
    sem_wait(&turned);
    look_until("ms"); /* behind a moment in which it still waited */
    for (int i = 0; i < 5; i++)
        EXPECT(!strcmp(look(), "ms"));
    spins = 0;
}

/* Of a kernel that does not count how often threads run. */
static void without_counts(void)
{
    char path[] = "/tmp/schedstat-XXXXXX";
    int file = mkstemp(path);
    EXPECT(file >= 0 && write(file, "0 0 0\n", 6) == 6);
    schedstats = path;
    pthread_t thread = thread_that_blocks(SIGUSR1);
    look_until("cms");
    for (int i = 0; i < 5; i++)
        EXPECT(!strcmp(look(), "cms"));
    unlink(path);
    end(thread);
}

/* What is known of one signal says nothing of another. */
static void another_signal(void)
{
    thread_that_blocks(SIGUSR1);
    look_until("c");
    EXPECT(blocked_anywhere(SIGUSR1) && !blocked_anywhere(SIGTRAP));
}

/* It stops the thread, and when it is told to gives it another mask. */
static void trace(pid_t tid, int in, int out)
{
    uint64_t trap = 1 << (SIGTRAP - 1);
    char byte = 0;
    EXPECT(!ptrace(PTRACE_SEIZE, tid, 0, 0) && !ptrace(PTRACE_INTERRUPT, tid, 0, 0));
    EXPECT(waitpid(tid, NULL, __WALL) == tid && write(out, &byte, 1) == 1 && read(in, &byte, 1) == 1);
    EXPECT(!ptrace(PTRACE_SETSIGMASK, tid, sizeof(trap), &trap) && write(out, &byte, 1) == 1);
    EXPECT(read(in, &byte, 1) == 1);
}

/* It has not run, and has another mask. */
static void who_is_traced_is_asked_again(void)
{
    int to[2], from[2];
    char byte;
    thread_that_blocks(SIGUSR1);
    look_until("c");
    EXPECT(!pipe(to) && !pipe(from));
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
    pid_t child = fork();
    EXPECT(child >= 0);
    if (!child) {
        close(to[1]); /* it ends when we do */
        trace(other_tid, to[0], from[1]);
        _exit(0);
    }
    close(to[0]);
    close(from[1]);
    if (read(from[0], &byte, 1) != 1)
        exit(NOT_POSSIBLE_HERE); /* no process may trace another one */
    for (int i = 0; i < 5; i++)
        look();
    EXPECT(write(to[1], &byte, 1) == 1 && read(from[0], &byte, 1) == 1);
    EXPECT(blocked_anywhere(SIGTRAP));
    EXPECT(write(to[1], &byte, 1) == 1 && waitpid(child, NULL, 0) == child);
}

static void nobody_can_tell(void)
{
    thread_that_blocks(SIGUSR1);
    EXPECT(!blocked_anywhere(SIGTRAP));
    proc_is_gone = true;
    EXPECT(blocked_anywhere(SIGTRAP));
    proc_is_gone = false;
    no_file = EMFILE;
    EXPECT(blocked_anywhere(SIGTRAP));
    no_file = ENOENT; /* a thread may end before it is looked at */
    EXPECT(!blocked_anywhere(SIGTRAP));
    no_file = 0;
    files_are_others = true;
    EXPECT(blocked_anywhere(SIGTRAP));
    files_are_others = false;
    no_syscall_file = true;
    thread_that_blocks(SIGUSR1); /* another one, which was not looked at yet */
    EXPECT(blocked_anywhere(SIGTRAP));
    no_syscall_file = false;
    for (int n = 5; n; n--) { /* of ".", "..", this thread, and the other two */
        listing_fails_at = n;
        EXPECT(blocked_anywhere(SIGTRAP));
    }
    EXPECT(!blocked_anywhere(SIGTRAP));
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

/* The signal that synchronizes must reach a thread that waits for the one who asks. */
static void who_waits_answers(void)
{
    jump_label_configure((struct jump_label_settings){.native = 1, .syncs = 2, .method = SYNC_SIGNAL});
    make_keys();
    step_hook = let_another_wait;
    toggle(key, true);
}

/* ---- a child that nobody told us of ---- */

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

/* Before anything else told it whose code it has. */
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
        TEST(a_thread_blocks_sigtrap),
        TEST(the_rest_of_the_slot_stays),
        TEST(an_old_trap),
        TEST(an_old_trap_within_the_batch),
        TEST(a_sync_fails),
        TEST(two_states),
        TEST(words_only),
        TEST(int3_only),
        TEST(looking_at_one),
        TEST(looking_at_all),
        TEST(blocked_by_the_patcher),
        TEST(blocked_by_a_handler_s_mask),
        TEST(the_first_thread_ends),
        TEST(blocked_but_while_waiting),
        TEST(cancelled),
        TEST(nobody_can_tell),
        TEST(who_waits_is_asked_once),
        TEST(who_runs_is_asked_again),
        TEST(without_counts),
        TEST(another_signal),
        TEST(who_is_traced_is_asked_again),
        TEST(handlers_wait),
        TEST(who_waits_answers),
        TEST(made_by_a_raw_clone),
        {0},
    };
    return run_named(tests, argc, argv);
}
