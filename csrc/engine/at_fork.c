#include "at_fork.h"
#include "arena.h"
#include "os.h"
#include "text_poke.h"
#include "trap_outcome.h"

static void prepare(void)
{
    text_lock();
    arena_fork_prepare();
}

static void in_parent(void)
{
    arena_fork_parent();
    text_unlock();
}

static void in_child(void)
{
    arena_fork_child();
    trap_outcome_forked();
    sync_core_forked();
    text_poke_forked();
    text_unlock();
}

int at_fork_start(void)
{
    static bool registered;
    text_lock();
    int error = registered ? 0 : os_at_fork(prepare, in_parent, in_child);
    registered = !error; /* once: a second time would lock twice */
    text_unlock();
    return error;
}
