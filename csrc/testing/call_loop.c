#include "call_loop.h"

/* The compiler cannot tell that nothing happens in the empty asm, so it leaves no call out and remembers no result. */
#define OPAQUE __asm__ volatile("" ::: "memory")

__attribute__((noinline)) int call_loop_off(int argument)
{
    OPAQUE;
    return argument + 1;
}

__attribute__((noinline)) int call_loop_on(int argument)
{
    OPAQUE;
    return argument + 2;
}

int call_loop_pointer(int (*function)(int), size_t n)
{
    int x = 0;
    while (n--)
        x = function(x);
    return x;
}

int call_loop_struct(const struct call_loop *loop, size_t n)
{
    int x = 0;
    while (n--)
        x = loop->function(x);
    return x;
}

int call_loop_flag(const struct call_loop *loop, size_t n)
{
    int x = 0;
    while (n--) {
        if (__atomic_load_n(&loop->flag, __ATOMIC_RELAXED))
            x = call_loop_on(x);
        else
            x = call_loop_off(x);
    }
    return x;
}
