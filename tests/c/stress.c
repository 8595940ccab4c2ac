/*
 * Two threads call the sites of a key without pause while a third toggles it without pause. No Python.
 *
 *     stress SECONDS SITES membarrier|signal SYNCS auto|int3|word
 *
 * Prints the counts, and exits with 1 where a call returned what it may not (see oracle.h).
 */
#include "storm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CALLERS 2

static const struct engine_functions engine = ENGINE_FUNCTIONS;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

int main(int argc, char **argv)
{
    if (argc != 6)
        return 2;
    double seconds = atof(argv[1]);
    jump_label_configure((struct jump_label_settings){
        .native = 1,
        .method = strcmp(argv[3], "signal") ? SYNC_MEMBARRIER : SYNC_SIGNAL,
        .syncs = atoi(argv[4]),
        .poke = !strcmp(argv[5], "auto")   ? POKE_AUTO
                : !strcmp(argv[5], "int3") ? POKE_INT3
                                           : POKE_WORD,
    });
    struct storm *storm = storm_start(&engine, static_key_new("stress", 0), (size_t)atoi(argv[2]), CALLERS, false);
    if (!storm) {
        fprintf(stderr, "no trampoline\n");
        return 1;
    }
    for (double end = now() + seconds; now() < end;) {
        int error = storm_toggle(storm);
        if (error) {
            fprintf(stderr, "toggle: %s\n", strerror(-error));
            return 1;
        }
    }
    struct storm_counts counts = storm_stop(storm);
    struct jump_label_info info;
    jump_label_info(&info);
#define SHOW(name, value) printf(name "=%llu ", (unsigned long long)(value))
    SHOW("calls", counts.calls);
    SHOW("toggles", counts.toggles);
    SHOW("strict", counts.strict);
    SHOW("wrong", counts.wrong);
    SHOW("method", info.method);
    SHOW("batches", info.batches);
    SHOW("word_batches", info.word_batches);
    SHOW("sites_patched", info.sites_patched);
    SHOW("sync_calls", info.sync_calls);
    SHOW("current", info.int3.current);
    SHOW("previous", info.int3.previous);
    SHOW("stale", info.int3.stale);
    SHOW("chained", info.int3.chained);
    puts("");
    return counts.wrong ? 1 : 0;
}
