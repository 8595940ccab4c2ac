/*
 * Which threads the engine asks again for their masks, and what it does where it cannot ask. Exits with 0, or says
 * which expectation failed and aborts.
 */
#define _GNU_SOURCE
#include "blocking_thread.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

/* What the look is made to find. */
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
static void a_waiting_thread_is_asked_once(void)
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
static void a_running_thread_is_asked_again(void)
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
static void a_traced_thread_is_asked_again(void)
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

static void where_the_kernel_does_not_tell(void)
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

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(where_the_kernel_does_not_tell),
        TEST(a_waiting_thread_is_asked_once),
        TEST(a_running_thread_is_asked_again),
        TEST(without_counts),
        TEST(another_signal),
        TEST(a_traced_thread_is_asked_again),
        {0},
    };
    return run_named(tests, argc, argv);
}
