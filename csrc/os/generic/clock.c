#define _POSIX_C_SOURCE 200809L
#include "os.h"

#include <time.h>

static int64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

int64_t clock_monotonic(void) { return read_clock(CLOCK_MONOTONIC); }

int64_t clock_wall(void) { return read_clock(CLOCK_REALTIME); }

void clock_sleep(int64_t nanoseconds)
{
    struct timespec time = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
    nanosleep(&time, NULL);
}
