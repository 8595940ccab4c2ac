/* The keys and sites of faults.c, and the check of all that must be true of them between two operations. */
#ifndef FAULT_WORLD_H
#define FAULT_WORLD_H

#include "refused_calls.h"

/* ---- what there is ---- */

typedef void *function(void *argument);

static uint64_t off_value, on_value; /* the first one is counted, too */

static void *identity(void *argument) { return argument; }

enum { CONSTANT, COUNTED, SWITCH, CODE, KINDS };
enum { FIRST, SECOND, PLAIN, KEYS }; /* the last one has no site: it cannot be refused */

static struct {
    struct static_key *key;
    int count, enabled;
} keys[KEYS];

static struct made {
    struct jump_entry *entry;
    int key;
    uint8_t code[2 * CODE_UNIT];
    struct poked_code poked;
} sites[32];
static size_t n_sites;

static bool shows_on(struct made *site)
{
    void *result;
    switch (jump_entry_site(site->entry)) {
    case SITE_NATIVE:
        result = ((function *)(void *)site->entry->slot->exec)(NULL);
        EXPECT(result == &on_value || result == &off_value);
        return result == &on_value;
    case SITE_BYTECODE:
        EXPECT(site->code[0] == 42 && site->code[2] == 42 && site->code[3] == 42);
        EXPECT(site->code[1] == 9 || site->code[1] == 7);
        return site->code[1] == 9;
    default:
        return site->entry->enabled;
    }
}

/* A static call of both keys that have sites, with some targets. */
static struct static_call *both;
static void *targets[4]; /* by state */

static void *shown_by_both(void)
{
    struct call_target *current = both->current;
    if (both->slot)
        return ((function *)(void *)both->slot->exec)(NULL);
    return current ? current->to.argument : NULL;
}

static bool displaced; /* another handler has SIGTRAP, or had it before us */

static long shared_memory(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512], flag;
    unsigned long start, end;
    long total = 0;
    EXPECT(maps);
    while (fgets(line, sizeof(line), maps))
        if (sscanf(line, "%lx-%lx %*c%*c%*c%c", &start, &end, &flag) == 3 && flag == 's')
            total += (long)(end - start);
    fclose(maps);
    return total;
}

static int open_files(void)
{
    int n = 0;
    for (int fd = 0; fd < 64; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static int signals_taken(void)
{
    int n = 0;
    for (int number = SIGRTMIN; number <= SIGRTMAX; number++) {
        struct sigaction now;
        n += !sigaction(number, NULL, &now) && now.sa_handler != SIG_DFL;
    }
    return n;
}

static long memory_before;
static int files_before;

static void check(void)
{
    for (int i = 0; i < KEYS && keys[i].key; i++)
        EXPECT(keys[i].key->count == keys[i].count && keys[i].key->enabled == keys[i].enabled);
    for (size_t i = 0; i < n_sites; i++) {
        int enabled = keys[sites[i].key].enabled;
        EXPECT(shows_on(&sites[i]) == enabled);
    }
    if (both) {
        int state = keys[FIRST].enabled + 2 * keys[SECOND].enabled;
        EXPECT(both->state == (uint64_t)state && shown_by_both() == targets[state]);
    }
    EXPECT(shared_memory() == memory_before + 2 * (long)arena_size());
    EXPECT(open_files() == files_before);
    EXPECT(signals_taken() <= 1);
    if (displaced) {
        raise(SIGTRAP);
        EXPECT(traps_seen == ++traps);
    }
}

#endif
