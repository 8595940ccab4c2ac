#include "jump_label.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct jump_label_settings settings = {.native = 1, .method = SYNC_NONE, .syncs = 2};
static struct static_key *keys;
static struct jump_entry *_Atomic retired;
static struct call_target *_Atomic retired_targets;

int static_keys_wake;
static int64_t looks_again = INT64_MAX; /* when static_keys_expire() is called next, as far as we know */

static int refused;
static const char *refused_what = "";

void jump_label_configure(struct jump_label_settings new_settings)
{
    text_lock();
    settings = new_settings;
    text_poke_configure(settings.poke, settings.syncs);
    text_unlock();
}

/* ---- locked ---- */

static void free_if_unused(struct static_key *key)
{
    if (!key->dropped || key->n_entries)
        return;
    *key->link = key->next;
    if (key->next)
        key->next->link = key->link;
    while (key->overrides) {
        struct key_override *override = key->overrides;
        key->overrides = override->next;
        free(override);
    }
    free(key->entries);
    free(key->name);
    free(key);
}

static void free_call(struct static_call *call)
{
    struct call_target *target = atomic_load(&call->targets);
    while (target) {
        struct call_target *next = atomic_load(&target->next);
        call_target_free(target);
        target = next;
    }
    if (call->slot)
        trampoline_free(call->slot);
    free(call);
}

static void bury(struct jump_entry *entry)
{
    struct static_key *key = entry->key;
    struct jump_entry *last = key->entries[--key->n_entries];
    key->entries[entry->index] = last;
    last->index = entry->index;
    if (entry->call) {
        if (!--entry->call->n_entries)
            free_call(entry->call);
    } else if (entry->site == SITE_NATIVE) {
        trampoline_free(entry->slot);
    } else if (entry->site == SITE_PLAIN && entry->stub) {
        plain_branch_free(entry->stub);
    }
    free(entry->owner);
    free(entry);
    free_if_unused(key);
}

static void lock(void)
{
    text_lock();
    struct jump_entry *entry = atomic_exchange(&retired, NULL);
    while (entry) {
        struct jump_entry *next = entry->next_retired;
        bury(entry);
        entry = next;
    }
    struct call_target *target = atomic_exchange(&retired_targets, NULL);
    while (target) {
        struct call_target *next = target->next_retired;
        call_target_free(target);
        target = next;
    }
}

static int refuse(const char *what, int error)
{
    refused_what = what;
    refused = -error;
    return error;
}

static int start(void)
{
    if (!settings.native)
        return refuse("native sites", -ECANCELED);
    const char *what;
    int error = trampolines_start(settings.method, &what);
    return error ? refuse(what, error) : 0;
}

/* ---- keys ---- */

struct static_key *static_key_new(const char *name, int enabled)
{
    struct static_key *key = calloc(1, sizeof(*key));
    char *copy = strdup(name);
    if (!key || !copy || text_init()) {
        free(key);
        free(copy);
        return NULL;
    }
    key->name = copy;
    key->count = key->enabled = !!enabled;
    lock();
    key->next = keys;
    key->link = &keys;
    if (keys)
        keys->link = &key->next;
    keys = key;
    text_unlock();
    return key;
}

void static_key_drop(struct static_key *key)
{
    lock();
    key->dropped = true;
    free_if_unused(key);
    text_unlock();
}

void static_key_defer(struct static_key *key, int64_t nanoseconds)
{
    lock();
    key->deferred = nanoseconds;
    text_unlock();
}

static const int64_t SECOND = 1000000000;

static int64_t from_now(int64_t nanoseconds)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND + now.tv_nsec + nanoseconds;
}

static int take_step(struct static_key *key, enum key_operation operation)
{
    switch (operation) {
    case KEY_ENABLE:
        if (!key->next_count)
            key->next_count = 1;
        key->next_until = 0;
        return 0;
    case KEY_DISABLE:
        if (key->next_count > 1)
            return KEY_SEVERAL_USERS;
        key->next_count = 0;
        key->next_until = 0;
        return 0;
    case KEY_INC:
        if (key->next_count == INT_MAX)
            return KEY_TOO_MANY_USERS;
        key->next_count++;
        key->next_until = 0;
        return 0;
    case KEY_DEC:
        if (!key->next_count)
            return KEY_NO_USERS;
        key->next_count--;
        /* To linger is to leave the sites as they are: what was off, before a batch that took and dropped it, stays
         * off. */
        if (!key->next_count && key->deferred && (key->count || key->until))
            key->next_until = from_now(key->deferred);
        return 0;
    case KEY_FLUSH:
        key->next_until = 0;
        return 0;
    }
    return -EINVAL;
}

static struct static_key *touch(struct static_key *key, struct static_key *touched)
{
    if (key->touched)
        return touched;
    key->touched = true;
    key->next_count = key->count;
    key->next_until = key->until;
    key->next_touched = touched;
    return key;
}

/* Calls are queued when all keys are known. */
static struct static_call *queue_entries(struct static_key *key, struct static_call *calls)
{
    for (size_t i = 0; i < key->n_entries; i++) {
        struct jump_entry *entry = key->entries[i];
        if (entry->call) {
            calls = static_call_touch(entry->call, calls);
            entry->call->next_state ^= UINT64_C(1) << entry->bit;
        } else if (entry->site == SITE_NATIVE) {
            text_poke_queue(entry->slot, trampoline_displacement(entry->trampoline, key->next_enabled));
        }
    }
    return calls;
}

/*
 * Who calls static_keys_expire() is woken for what is due sooner, and for what goes off before its time, as it may be
 * the last one. Not for a key that is used again, which happens often: nothing is due at the time, that is all.
 */
static void set_until(struct static_key *key)
{
    if (key->next_until ? key->next_until < looks_again : key->until && !key->next_count)
        __atomic_store_n(&static_keys_wake, 1, __ATOMIC_RELEASE);
    __atomic_store_n(&key->until, key->next_until, __ATOMIC_RELEASE);
}

static void commit(struct static_key *key)
{
    __atomic_store_n(&key->count, key->next_count, __ATOMIC_RELEASE);
    if (key->next_until != key->until)
        set_until(key);
    if (key->next_enabled == key->enabled)
        return;
    for (size_t i = 0; i < key->n_entries; i++) {
        struct jump_entry *entry = key->entries[i];
        atomic_store(&entry->enabled, key->next_enabled);
        if (entry->site == SITE_BYTECODE)
            code_poke(&entry->code, key->next_enabled);
    }
    __atomic_store_n(&key->enabled, key->next_enabled, __ATOMIC_RELEASE);
}

/*
 * Bring the touched keys to their next count, and the touched calls to where they then lead, all or none; and forget
 * that they were touched.
 */
static int update(struct static_key *touched, struct static_call *calls, bool valid)
{
    int error = 0;
    for (struct static_key *key = touched; valid && key; key = key->next_touched) {
        key->next_enabled = key->overrides ? key->overrides->enabled : key->next_count > 0 || key->next_until;
        if (key->next_enabled != key->enabled)
            calls = queue_entries(key, calls);
    }
    for (struct static_call *call = calls; valid && call; call = call->next_touched)
        static_call_queue(call);
    if (valid)
        error = text_poke_finish();
    for (struct static_call *call = calls; call; call = call->next_touched)
        static_call_finish(call, valid && !error);
    for (struct static_key *key = touched; key; key = key->next_touched) {
        key->touched = false;
        if (valid && !error)
            commit(key);
    }
    return error;
}

int static_key_apply(const struct key_step *steps, size_t n, size_t *failed)
{
    struct static_key *touched = NULL;
    int error = 0;
    size_t i;
    lock();
    for (i = 0; i < n; i++) {
        touched = touch(steps[i].key, touched);
        if ((error = take_step(steps[i].key, steps[i].operation)))
            break;
    }
    *failed = i;
    int patch_error = update(touched, NULL, !error);
    text_unlock();
    code_poke_settle();
    return error ? error : patch_error;
}

int static_key_toggle(struct static_key *key, enum key_operation operation)
{
    struct key_step step = {key, operation};
    size_t failed;
    return static_key_apply(&step, 1, &failed);
}

int static_key_override(struct static_key *key, int enabled, struct key_override **override)
{
    struct key_override *made = malloc(sizeof(*made));
    if (!made)
        return -ENOMEM;
    lock();
    *made = (struct key_override){.enabled = enabled, .next = key->overrides};
    key->overrides = made;
    int error = update(touch(key, NULL), NULL, true);
    if (error) {
        key->overrides = made->next;
        free(made);
    } else {
        *override = made;
    }
    text_unlock();
    code_poke_settle();
    return error;
}

int static_key_lift(struct static_key *key, struct key_override **override)
{
    if (!*override)
        return 0;
    lock();
    struct key_override **link = &key->overrides;
    while (*link != *override)
        link = &(*link)->next;
    *link = (*override)->next;
    free(*override);
    *override = NULL;
    int error = update(touch(key, NULL), NULL, true);
    text_unlock();
    code_poke_settle();
    return error;
}

/* ---- keys that linger ---- */

int static_keys_expire(int64_t now, struct key_expiry *expiry)
{
    struct static_key *touched = NULL;
    memset(expiry, 0, sizeof(*expiry));
    lock();
    for (struct static_key *key = keys; key; key = key->next)
        if (key->until && key->until <= now) {
            touched = touch(key, touched);
            key->next_until = 0;
        }
    int error = update(touched, NULL, true);
    looks_again = INT64_MAX;
    for (struct static_key *key = keys; key; key = key->next) {
        if (error && key->until && key->until <= now) {
            key->until = from_now(key->deferred < SECOND ? SECOND : key->deferred);
            snprintf(expiry->name, sizeof(expiry->name), "%s", key->name);
            expiry->failed++;
        }
        if (key->until && key->until < looks_again)
            looks_again = key->until;
    }
    if (looks_again != INT64_MAX)
        expiry->next = looks_again;
    static_keys_wake = 0;
    text_unlock();
    code_poke_settle();
    return error;
}

void jump_label_unblock_signals(void)
{
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGTRAP);
    text_lock();
    int sync_signal = sync_core_signal();
    text_unlock();
    if (sync_signal)
        sigaddset(&ours, sync_signal);
    pthread_sigmask(SIG_UNBLOCK, &ours, NULL);
}

/* ---- entries ---- */

static bool make_room(struct static_key *key)
{
    if (key->n_entries < key->room)
        return true;
    size_t room = key->room ? 2 * key->room : 4;
    struct jump_entry **entries = realloc(key->entries, room * sizeof(*entries));
    if (!entries)
        return false;
    key->entries = entries;
    key->room = room;
    return true;
}

/* A new entry in the key's state, with the lock taken; or NULL, without. */
static struct jump_entry *enter(struct static_key *key, const char *kind, const char *owner)
{
    struct jump_entry *entry = calloc(1, sizeof(*entry));
    char *copy = strdup(owner);
    lock();
    if (!entry || !copy || !make_room(key)) {
        text_unlock();
        free(entry);
        free(copy);
        return NULL;
    }
    entry->kind = kind;
    entry->owner = copy;
    entry->enabled = key->enabled;
    entry->key = key;
    entry->index = key->n_entries;
    key->entries[key->n_entries++] = entry;
    return entry;
}

/* With the lock taken: the entry has a trampoline from now on, or is a plain branch. */
static void go_native(struct jump_entry *entry, enum trampoline_kind trampoline, struct trampoline_target off,
                      struct trampoline_target on)
{
    if (start())
        return;
    int error;
    entry->slot = trampoline_new(trampoline, off, on, entry->key->enabled, &error);
    entry->trampoline = trampoline;
    entry->site = entry->slot ? SITE_NATIVE : SITE_PLAIN;
    if (!entry->slot)
        refuse("a trampoline", error);
}

struct jump_entry *jump_entry_new(struct static_key *key, const char *kind, const char *owner,
                                  enum trampoline_kind trampoline, struct trampoline_target off,
                                  struct trampoline_target on)
{
    struct jump_entry *entry = enter(key, kind, owner);
    if (!entry)
        return NULL;
    go_native(entry, trampoline, off, on);
    text_unlock();
    return entry;
}

struct jump_entry *jump_entry_new_branch(struct static_key *key, const char *owner, void *off, void *on, int *error)
{
    struct jump_entry *entry = enter(key, "native_branch", owner);
    *error = -ENOMEM;
    if (!entry)
        return NULL;
    go_native(entry, TRAMPOLINE_BRANCH, (struct trampoline_target){off, NULL}, (struct trampoline_target){on, NULL});
    if (entry->site == SITE_PLAIN && !(entry->stub = plain_branch_new(&entry->enabled, off, on))) {
        *error = -EAGAIN;
        bury(entry);
        entry = NULL;
    }
    text_unlock();
    return entry;
}

static struct static_call *call_alloc(size_t n, enum trampoline_kind trampoline, struct trampoline_target off)
{
    struct static_call *call = calloc(1, sizeof(*call) + n * sizeof(call->entries[0]));
    if (!call)
        return NULL;
    lock();
    if (!start()) {
        int error;
        call->slot = trampoline_new(trampoline, off, (struct trampoline_target){0}, false, &error);
        if (!call->slot)
            refuse("a trampoline", error);
    }
    text_unlock();
    return call;
}

static void give_up(struct static_call *call)
{
    if (call->n_entries) {
        static_call_retire(call);
        return;
    }
    lock();
    free_call(call);
    text_unlock();
}

struct static_call *static_call_new(struct static_key *const *keys, size_t n, const char *kind, const char *owner,
                                    enum trampoline_kind trampoline, struct trampoline_target off)
{
    struct static_call *call = call_alloc(n, trampoline, off);
    for (unsigned bit = 0; call && bit < n; bit++) {
        struct jump_entry *entry = enter(keys[bit], kind, owner);
        if (!entry) {
            give_up(call);
            return NULL;
        }
        entry->call = call;
        entry->bit = bit;
        entry->slot = call->slot;
        entry->site = call->slot ? SITE_NATIVE : SITE_PLAIN;
        call->entries[call->n_entries++] = entry;
        atomic_fetch_or(&call->state, (uint64_t)!!keys[bit]->enabled << bit);
        text_unlock();
    }
    return call;
}

void static_call_retire(struct static_call *call)
{
    size_t n = call->n_entries; /* once the last one is retired, the call may go at any moment */
    for (size_t i = 0; i < n; i++)
        jump_entry_retire(call->entries[i]);
}

static int change_target(struct static_call *call, const struct call_update *change, struct call_target **left)
{
    struct call_target *old = static_call_find(call, change->state), *new = NULL;
    int error;
    if (change->conditional && (old ? old->to.argument : NULL) != change->expected)
        return CALL_CHANGED;
    if (change->to.entry && !(new = call_target_new(call, change->state, change->to, &error)))
        return error;
    struct static_key *touched = change->follows ? touch(call->entries[0]->key, NULL) : NULL;
    if (touched)
        touched->next_count = new != NULL;
    static_call_replace(call, change->state, new);
    error = update(touched, static_call_touch(call, NULL), true);
    if (error)
        static_call_replace(call, change->state, old);
    *left = error ? new : old;
    return error;
}

int static_call_update(struct static_call *call, const struct call_update *change, struct call_target **left)
{
    *left = NULL;
    lock();
    int error = change_target(call, change, left);
    text_unlock();
    code_poke_settle();
    return error;
}

void call_target_retire(struct call_target *target)
{
    if (!target)
        return;
    target->next_retired = atomic_load(&retired_targets);
    while (!atomic_compare_exchange_weak(&retired_targets, &target->next_retired, target))
        ;
}

void *jump_entry_function(struct jump_entry *entry)
{
    return entry->site == SITE_NATIVE ? entry->slot->exec : entry->stub;
}

struct jump_entry *jump_entry_new_code(struct static_key *key, const char *owner, const struct code_site *site)
{
    struct jump_entry *entry = enter(key, "branch", owner);
    if (!entry)
        return NULL;
    entry->site = SITE_BYTECODE;
    entry->code = *site;
    code_poke_site(&entry->code, key->enabled);
    text_unlock();
    return entry;
}

void jump_entries_remove(struct jump_entry **entries, size_t n, struct poked_code *code)
{
    lock();
    code_poke_forget(code);
    for (size_t i = 0; i < n; i++)
        bury(entries[i]);
    text_unlock();
}

void jump_entry_retire(struct jump_entry *entry)
{
    entry->next_retired = atomic_load(&retired);
    while (!atomic_compare_exchange_weak(&retired, &entry->next_retired, entry))
        ;
}

void *jump_entry_address(struct jump_entry *entry)
{
    switch (entry->site) {
    case SITE_NATIVE:
        return entry->slot->exec;
    case SITE_BYTECODE:
        return entry->code.unit;
    default:
        return &entry->enabled;
    }
}

/* ---- what there is ---- */

static size_t text_size(const char *text) { return strlen(text) + 1; }

static const char *keep(char **texts, const char *text)
{
    char *copy = memcpy(*texts, text, text_size(text));
    *texts += text_size(text);
    return copy;
}

/* One block: the head, the rows, and behind them the texts, which may change once the lock is released. */
struct jump_table *jump_table_read(struct static_key *only)
{
    size_t n = 0, texts_size = 0;
    lock();
    for (struct static_key *key = keys; key; key = key->next) {
        if (only && key != only)
            continue;
        n += key->n_entries;
        for (size_t i = 0; i < key->n_entries; i++)
            texts_size += text_size(key->name) + text_size(key->entries[i]->kind) + text_size(key->entries[i]->owner);
    }
    struct jump_table *table = malloc(sizeof(*table) + n * sizeof(table->rows[0]) + texts_size);
    if (table) {
        struct jump_table_row *row = table->rows;
        char *texts = (char *)&table->rows[n];
        table->n = n;
        for (struct static_key *key = keys; key; key = key->next)
            for (size_t i = 0; i < key->n_entries && (!only || key == only); i++) {
                struct jump_entry *entry = key->entries[i];
                row->key = keep(&texts, key->name);
                row->kind = keep(&texts, entry->kind);
                row->owner = keep(&texts, entry->owner);
                row->address = jump_entry_address(entry);
                row->site = entry->site;
                row->enabled = entry->enabled;
                row++;
            }
    }
    text_unlock();
    return table;
}

void jump_label_info(struct jump_label_info *info)
{
    uint64_t *entries[] = {&info->plain_entries, &info->native_entries, &info->bytecode_entries};
    memset(info, 0, sizeof(*info));
    lock();
    for (struct static_key *key = keys; key; key = key->next) {
        info->keys++;
        for (size_t i = 0; i < key->n_entries; i++)
            (*entries[key->entries[i]->site])++;
    }
    struct text_poke_counts poked = text_poke_counts();
    info->native = trampolines_started();
    info->method = sync_core_method();
    info->syncs = settings.syncs;
    info->poke = settings.poke;
    info->arena_bytes = arena_size();
    info->batches = poked.batches;
    info->word_batches = poked.word_batches;
    info->sites_patched = poked.sites;
    info->sync_calls = sync_core_count();
    info->int3 = int3_counts();
    int shared = arena_shared();
    info->refused = shared ? -shared : refused;
    snprintf(info->refusal, sizeof(info->refusal), "%s", shared ? "a copy of the parent's code" : refused_what);
    text_unlock();
}

int jump_label_start(void)
{
    lock();
    int error = start();
    text_unlock();
    return error;
}

int jump_label_sync(size_t n)
{
    lock();
    int error = start();
    while (n-- && !error)
        error = sync_core();
    text_unlock();
    return error;
}
