/*
 * Whether this process has native sites, and why not.
 *
 * Native sites need a processor that the engine knows, cores that can be synchronized, executable memory, and what the
 * processor's protocol takes (x86: the SIGTRAP handler). The first site asks for all of it. Where a part is refused the
 * site is a plain branch, the refusal is kept for jump_label_info(), and the next site asks again.
 *
 * Above trampolines, below entries.
 */
#ifndef JUMPLABEL_NATIVE_SITES_H
#define JUMPLABEL_NATIVE_SITES_H

#include "os.h"
#include "slot.h"

/* ---- settings, before the first entry is made ---- */

struct jump_label_settings {
    int native;              /* 0: plain branches only */
    enum sync_method method; /* SYNC_NONE: membarrier, or else the signal */
    int syncs;               /* 2 or 3 a batch */
    enum text_poke_way poke;
};
void jump_label_configure(struct jump_label_settings settings);

/* ---- the caller of the rest holds the text lock ---- */

struct jump_label_settings native_sites_settings(void);

/*
 * Make native sites possible. Returns 0, or -errno with neither signal nor handler taken. Idempotent; after a refusal
 * the next call tries again.
 */
int native_sites_start(void);
bool native_sites_started(void);

/* Keep a refusal: of what, and -errno. Returns the error. */
int native_sites_refuse(const char *what, int error);

struct native_refusal {
    const char *what;
    int error; /* -errno; 0: nothing was refused */
};

/* The last one. A process that may not patch its parent's code is refused that, whatever else was. */
struct native_refusal native_sites_refusal(void);

#endif
