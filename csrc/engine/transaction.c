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

static int64_t from_now(int64_t nanoseconds) { return clock_monotonic() + nanoseconds; }

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

/* For EACH_SITE_KIND(): an operation, where the kind has it. */
#define QUEUE(kind) \
    if (kind.queue) \
        kind.queue(key);
#define QUEUE_REST(kind) \
    if (kind.queue_rest) \
        kind.queue_rest();
#define PATCHED(kind) \
    if (kind.patched) \
        kind.patched(success);
#define COMMIT(kind) \
    if (kind.commit) \
        kind.commit(key);

static void commit(struct static_key *key, struct key_report *report)
{
    __atomic_store_n(&key->count, key->next_count, __ATOMIC_RELEASE);
    if (key->next_until != key->until)
        set_until(key);
    if (key->next_enabled == key->enabled)
        return;
    if (key->n_entries) {
        EACH_SITE_KIND(COMMIT)
    }
    __atomic_store_n(&key->enabled, key->next_enabled, __ATOMIC_RELEASE);
    if (report)
        report->changes[report->n++] = (struct key_change){key, key->enabled, key->n_entries};
}

static void plan(struct static_key *touched)
{
    for (struct static_key *key = touched; key; key = key->next_touched) {
        key->next_enabled = key->overrides ? key->overrides->enabled : key->next_count > 0 || key->next_until;
        if (key->next_enabled != key->enabled && key->n_entries) {
            EACH_SITE_KIND(QUEUE)
        }
    }
    EACH_SITE_KIND(QUEUE_REST)
}

/*
 * Bring the touched keys to their next count, and the calls that take part to where they then lead, all or none.
 * Nothing changes where the steps were not `valid`. Returns 0 or -errno.
 */
static int update(struct static_key *touched, bool valid, struct key_report *report)
{
    int error = 0;
    int64_t began = report ? from_now(0) : 0;
    if (report)
        report->n = 0;
    if (valid) {
        plan(touched);
        error = text_poke_finish();
    }
    bool success = valid && !error;
    EACH_SITE_KIND(PATCHED)
    for (struct static_key *key = touched; key; key = key->next_touched) {
        key->touched = false;
        if (success)
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
    int patch_error = update(touched, !error, report);
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

int static_key_try_apply(const struct key_step *steps, size_t n, size_t *failed, struct key_report *report)
{
    return jump_label_trylock() ? apply(steps, n, failed, report) : -EBUSY;
}

int static_key_override(struct static_key *key, int enabled, struct key_override **override, struct key_report *report)
{
    struct key_override *made = malloc(sizeof(*made));
    if (!made)
        return -ENOMEM;
    jump_label_lock();
    *made = (struct key_override){.enabled = enabled, .next = key->overrides};
    key->overrides = made;
    int error = update(touch(key, NULL), true, report);
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
    int error = update(touch(key, NULL), true, report);
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
    int error = update(touched, true, report);
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
    static_call_join(call);
    error = update(touched, true, report);
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
