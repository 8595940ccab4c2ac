#include "plain_branch.h"

#include <stddef.h>
#include <stdint.h>

/* What a stub reads; plain_branch_stubs.S knows the offsets, and has the room. */
struct words {
    const _Atomic int *enabled; /* NULL: the stub is free, and a thread that calls it dies at once */
    void *off, *on;
};

extern struct words jumplabel_plain_words[ARCH_PLAIN_BRANCHES] __attribute__((visibility("hidden")));
extern uint8_t jumplabel_plain_branches[ARCH_PLAIN_BRANCHES][PLAIN_BRANCH_SIZE] __attribute__((visibility("hidden")));

void *plain_branch_new(const _Atomic int *enabled, void *off, void *on)
{
    for (size_t i = 0; i < ARCH_PLAIN_BRANCHES; i++)
        if (!jumplabel_plain_words[i].enabled) {
            jumplabel_plain_words[i] = (struct words){enabled, off, on};
            return jumplabel_plain_branches[i];
        }
    return NULL;
}

void plain_branch_free(void *code)
{
    size_t i = (size_t)((uint8_t(*)[PLAIN_BRANCH_SIZE])code - jumplabel_plain_branches);
    jumplabel_plain_words[i] = (struct words){0};
}
