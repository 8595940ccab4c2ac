/*
 * A thread with hardly any stack that calls a Python object without the GIL, for test_storms.py: LEFT bytes of its own,
 * less than a signal takes, and an alternate stack for a few signals on top of each other. Below either one is a page
 * that no thread may touch. Link with -z now: to find a function while it runs takes more stack than there is.
 */
#define _GNU_SOURCE
#include <alloca.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#define LEFT 1024
#define OWN_STACK (256 * 1024)

typedef void *vectorcall(void *callable, void *const *args, size_t nargsf, void *kwnames);

struct small_stack {
    void *object, *off, *on; /* its only results */
    size_t vectorcall_offset;
    size_t signals, room; /* how many signals, and how many bytes for the handler of each */
    int in_handler;       /* the calls are made by a handler that runs on the alternate stack itself */
    int stop;
    uint64_t calls;
    pthread_t thread;
};
static struct small_stack *self;

static void expect(int truth)
{
    if (!truth) {
        perror("small_stacks");
        abort();
    }
}

static char *guarded(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), all = page + (size + page - 1) / page * page;
    char *memory = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    expect(memory != MAP_FAILED && !mprotect(memory, page, PROT_NONE));
    return memory + page;
}

static void call_without_pause(int signal_number)
{
    (void)signal_number;
    while (!__atomic_load_n(&self->stop, __ATOMIC_RELAXED)) {
        void *result = (*(vectorcall **)((char *)self->object + self->vectorcall_offset))(self->object, NULL, 0, NULL);
        if (result != self->off && result != self->on)
            abort();
        __atomic_fetch_add(&self->calls, 1, __ATOMIC_RELAXED);
    }
}

__attribute__((noinline)) static void call_with_little_left(const char *bottom)
{
    char here;
    memset(alloca((size_t)(&here - bottom) - LEFT), 1, 1);
    if (self->in_handler)
        raise(SIGUSR1);
    else
        call_without_pause(0);
}

static void *live(void *bottom)
{
    size_t frame = getauxval(AT_MINSIGSTKSZ) ? getauxval(AT_MINSIGSTKSZ) : (size_t)sysconf(_SC_MINSIGSTKSZ);
    size_t size = self->signals * (frame + self->room);
    expect(!sigaltstack(&(stack_t){.ss_sp = guarded(size), .ss_size = size}, NULL));
    call_with_little_left(bottom);
    return NULL;
}

void small_stack_start(struct small_stack *new)
{
    struct sigaction action = {.sa_handler = call_without_pause, .sa_flags = SA_ONSTACK};
    pthread_attr_t attributes;
    self = new;
    expect(!sigaction(SIGUSR1, &action, NULL));
    char *stack = guarded(OWN_STACK);
    expect(!pthread_attr_init(&attributes) && !pthread_attr_setstack(&attributes, stack, OWN_STACK));
    expect(!pthread_create(&self->thread, &attributes, live, stack));
}

void small_stack_stop(void)
{
    __atomic_store_n(&self->stop, 1, __ATOMIC_RELAXED);
    pthread_join(self->thread, NULL);
}
