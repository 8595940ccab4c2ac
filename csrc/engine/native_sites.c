#include "native_sites.h"
#include "arch.h"
#include "arena.h"
#include "text_poke.h"

#include <errno.h>

static struct jump_label_settings settings = {.native = 1, .method = SYNC_NONE, .syncs = 2};
static bool started;
static struct native_refusal refusal = {.what = ""};

void jump_label_configure(struct jump_label_settings new_settings)
{
    text_lock();
    settings = new_settings;
    text_poke_configure((struct text_poke_settings){settings.poke, settings.syncs});
    text_unlock();
}

struct jump_label_settings native_sites_settings(void) { return settings; }

int native_sites_refuse(const char *what, int error)
{
    refusal = (struct native_refusal){what, error};
    return error;
}

static int start_executable_memory(void)
{
    int error;
    struct slot *slot = arena_alloc(&error);
    if (slot)
        arena_free(slot);
    return error;
}

int native_sites_start(void)
{
    int error;
    if (!settings.native)
        return native_sites_refuse("native sites", -ECANCELED);
    if (!arch_sites)
        return native_sites_refuse("native sites on this processor", -ENOSYS);
    if (started)
        return 0;
    if ((error = sync_core_start(settings.method)))
        return native_sites_refuse("core synchronization", error);
    const char *what = "executable memory";
    if (!(error = start_executable_memory())) {
        what = "the SIGTRAP handler";
        error = text_poke_start();
    }
    if (error) {
        sync_core_stop();
        return native_sites_refuse(what, error);
    }
    started = true;
    return 0;
}

bool native_sites_started(void) { return started; }

struct native_refusal native_sites_refusal(void)
{
    int shared = arena_shared();
    return shared ? (struct native_refusal){"a copy of the parent's code", shared} : refusal;
}
