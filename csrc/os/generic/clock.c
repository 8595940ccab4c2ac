#define _POSIX_C_SOURCE 200809L
#include "os.h"

#include <time.h>

int64_t os_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}
