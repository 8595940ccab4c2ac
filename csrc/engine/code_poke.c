#include "code_poke.h"

#include <stddef.h>

static struct poked_code *unsettled;
static _Atomic bool asked;
static bool (*has_readers)(const struct poked_code *code);
static void (*settle)(void);

/* The barrier comes once, behind all of them: one with each would take as long as all else. */
static void store(uint8_t *argument, uint8_t target) { __atomic_store_n(argument, target, __ATOMIC_RELEASE); }

void code_poke(const struct code_site *site, bool enabled)
{
    uint8_t target = site->target[enabled];
    if (site->twin)
        store(site->unit + CODE_UNIT + 1, target - 1);
    store(site->unit + 1, target);
}

void code_poke_look(struct poked_code *code)
{
    if (!has_readers || !has_readers(code))
        return;
    if (!code->unsettled) {
        code->unsettled = true;
        code->next_unsettled = unsettled;
        unsettled = code;
    }
    atomic_store(&asked, true);
}

void code_poke_set_interpreter(bool (*new_has_readers)(const struct poked_code *code), void (*new_settle)(void))
{
    has_readers = new_has_readers;
    settle = new_settle;
}

void code_poke_settle(void)
{
    if (atomic_load(&asked))
        settle();
}

struct poked_code *code_poke_unsettled(void)
{
    struct poked_code *code = unsettled;
    if (code)
        code_poke_forget(code);
    else
        atomic_store(&asked, false); /* only now: until then other toggles wait for the thread that takes the step */
    return code;
}

void code_poke_forget(struct poked_code *code)
{
    if (!code->unsettled)
        return;
    struct poked_code **link = &unsettled;
    while (*link != code)
        link = &(*link)->next_unsettled;
    *link = code->next_unsettled;
    code->unsettled = false;
}
