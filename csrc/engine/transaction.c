#include "transaction.h"
#include "os.h"
#include "text_poke.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int static_keys_wake;
static int64_t looks_again = INT64_MAX; /* when static_keys_expire() is called next, as far as we know */

static const int64_t SECOND = 1000000000;

static int64_t from_now(int64_t nanoseconds) { return os_now() + nanoseconds; }

static int64_t since(int64_t began) { return from_now(-began); }

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
        /* Lingering never turns a key on: one that was off before a batch that takes and drops it stays off. */
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

/* Whether some are neither key->native's nor key->code's: of calls, or plain branches. Mostly none is. */
static bool has_others(const struct static_key *key) { return key->native.n + key->n_code < key->n_entries; }

/* Calls are queued when all keys are known. */
static struct static_call *queue_entries(struct static_key *key, struct static_call *calls)
{
    if (key->native.n)
        text_poke_queue(&key->native, key->next_enabled);
    for (size_t i = key->native.n; has_others(key) && i < key->n_entries; i++) {
        struct jump_entry *entry = key->entries[i];
        if (entry->call) {
            calls = static_call_touch(entry->call, calls);
            entry->call->next_state ^= UINT64_C(1) << entry->bit;
        }
    }
    return calls;
}

/*
 * All stores, one barrier, and then a look for readers that have the old argument in hand (see code_poke.h), of so many
 * sites at a time as a cache holds. Sites stand side by side, because a toggle of very many takes as long as their
 * bytes.
 */
#define TOGETHER 512

static void turn_code(struct static_key *key)
{
    for (size_t from = 0, to; from < key->n_code; from = to) {
        to = key->n_code - from > TOGETHER ? from + TOGETHER : key->n_code;
        for (size_t i = from; i < to; i++)
            code_poke(&key->code[i].site, key->next_enabled);
        atomic_thread_fence(memory_order_seq_cst);
        for (size_t i = from; i < to; i++)
            if (i == from || key->code[i].site.code != key->code[i - 1].site.code)
                code_poke_look(key->code[i].site.code);
    }
}

static void turn_plain(struct static_key *key)
{
    for (size_t i = key->native.n; i < key->n_entries; i++)
        if (key->entries[i]->site == SITE_PLAIN)
            atomic_store_explicit(&key->entries[i]->enabled, key->next_enabled, memory_order_release);
}

/*
 * The thread that calls static_keys_expire() is woken for a key that is due sooner, and for one that goes off before
 * its time, as it may be the last one. It is not woken for a key that is used again, which happens often: then it
 * merely finds no key due.
 */
static void set_until(struct static_key *key)
{
    if (key->next_until ? key->next_until < looks_again : key->until && !key->next_count)
        __atomic_store_n(&static_keys_wake, 1, __ATOMIC_RELEASE);
    __atomic_store_n(&key->until, key->next_until, __ATOMIC_RELEASE);
}

static void commit(struct static_key *key, struct key_report *report)
{
    __atomic_store_n(&key->count, key->next_count, __ATOMIC_RELEASE);
    if (key->next_until != key->until)
        set_until(key);
    if (key->next_enabled == key->enabled)
        return;
    turn_code(key);
    if (has_others(key))
        turn_plain(key);
    __atomic_store_n(&key->enabled, key->next_enabled, __ATOMIC_RELEASE);
    if (report)
        report->changes[report->n++] = (struct key_change){key, key->enabled, key->n_entries};
}

static int update(struct static_key *touched, struct static_call *calls, bool valid, struct key_report *report)
{
    int error = 0;
    int64_t began = report ? from_now(0) : 0;
    if (report)
        report->n = 0;
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
            commit(key, report);
    }
    if (report)
        report->nanoseconds = since(began);
    return error;
}

/* The caller holds the lock; this releases it. */
static int apply(const struct key_step *steps, size_t n, size_t *failed, struct key_report *report)
{
    struct static_key *touched = NULL;
    int error = 0;
    size_t i;
    for (i = 0; i < n; i++) {
        touched = touch(steps[i].key, touched);
        if ((error = take_step(steps[i].key, steps[i].operation)))
            break;
    }
    *failed = i;
    int patch_error = update(touched, NULL, !error, report);
    text_unlock();
    code_poke_settle();
    return error ? error : patch_error;
}

int static_key_apply(const struct key_step *steps, size_t n, size_t *failed, struct key_report *report)
{
    jump_label_lock();
    return apply(steps, n, failed, report);
}

int static_key_toggle(struct static_key *key, enum key_operation operation)
{
    struct key_step step = {key, operation};
    size_t failed;
    return static_key_apply(&step, 1, &failed, NULL);
}

int static_key_try_toggle(struct static_key *key, enum key_operation operation)
{
    struct key_step step = {key, operation};
    size_t failed;
    return jump_label_trylock() ? apply(&step, 1, &failed, NULL) : -EBUSY;
}

int static_key_override(struct static_key *key, int enabled, struct key_override **override, struct key_report *report)
{
    struct key_override *made = malloc(sizeof(*made));
    if (!made)
        return -ENOMEM;
    jump_label_lock();
    *made = (struct key_override){.enabled = enabled, .next = key->overrides};
    key->overrides = made;
    int error = update(touch(key, NULL), NULL, true, report);
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

int static_key_lift(struct static_key *key, struct key_override **override, struct key_report *report)
{
    if (!*override)
        return 0;
    jump_label_lock();
    struct key_override **link = &key->overrides;
    while (*link != *override)
        link = &(*link)->next;
    *link = (*override)->next;
    free(*override);
    *override = NULL;
    int error = update(touch(key, NULL), NULL, true, report);
    text_unlock();
    code_poke_settle();
    return error;
}

/* ---- keys that linger ---- */

int static_keys_expire(int64_t now, struct key_expiry *expiry, struct key_report *report)
{
    struct static_key *touched = NULL;
    size_t n = 0;
    memset(expiry, 0, sizeof(*expiry));
    jump_label_lock();
    for (struct static_key *key = static_keys; key; key = key->next)
        if (key->until && key->until <= now && (!report || n++ < report->room)) {
            touched = touch(key, touched);
            key->next_until = 0;
        }
    int error = update(touched, NULL, true, report);
    looks_again = INT64_MAX;
    for (struct static_key *key = static_keys; key; key = key->next) {
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

/* ---- static calls ---- */

static int change_target(struct static_call *call, const struct call_update *change, struct call_target **left,
                         struct key_report *report)
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
    error = update(touched, static_call_touch(call, NULL), true, report);
    if (error)
        static_call_replace(call, change->state, old);
    *left = error ? new : old;
    return error;
}

int static_call_update(struct static_call *call, const struct call_update *change, struct call_target **left,
                       struct key_report *report)
{
    *left = NULL;
    jump_label_lock();
    int error = change_target(call, change, left, report);
    text_unlock();
    code_poke_settle();
    return error;
}
