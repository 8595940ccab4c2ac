#include "clock.h"

#include <time.h>

static const int64_t SECOND = 1000000000;

static int64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * SECOND + now.tv_nsec;
}

int64_t clock_monotonic(void) { return read_clock(CLOCK_MONOTONIC); }

int64_t clock_wall(void) { return read_clock(CLOCK_REALTIME); }

void clock_sleep(int64_t nanoseconds)
{
    struct timespec time = {.tv_sec = nanoseconds / SECOND, .tv_nsec = nanoseconds % SECOND};
    nanosleep(&time, NULL);
}
