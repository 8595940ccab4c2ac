/*
 * Sites in bytecode: what a toggle stores, and which threads are told of it behind the store.
 *
 * The code is an array of units, and the interpreter two functions that note what they are asked. The n-th sync_core()
 * can be made to fail (linked with --wrap=sync_core).
 */
#include "expect.h"
#include "jump_label.h"

#include <errno.h>

enum { SITES = 3, UNITS = 4, OPCODE = 42 };

static uint8_t code[SITES][UNITS * CODE_UNIT];
static struct poked_code poked[SITES];
static struct jump_entry *entries[SITES];
static struct static_key *key;

static bool sync_fails;
int __real_sync_core(void);
int __wrap_sync_core(void) { return sync_fails ? -EIO : __real_sync_core(); }

/* ---- an interpreter ---- */

static bool reads[SITES];
static int settles, settled[SITES];

static bool has_readers(const struct poked_code *which) { return reads[which - poked]; }

static void settle(void)
{
    struct poked_code *which;
    settles++;
    do {
        text_lock();
        which = code_poke_unsettled();
        text_unlock();
        if (which)
            settled[which - poked]++;
        if (which == &poked[0])
            code_poke_settle(); /* as another thread would, in the middle: it waits for its turn, and finds the rest */
    } while (which);
}

/* ---- */

static void make_sites(bool twin)
{
    code_poke_set_interpreter(has_readers, settle);
    key = static_key_new("key", 0);
    for (int i = 0; i < SITES; i++) {
        memset(code[i], OPCODE, sizeof(code[i]));
        struct code_site site = {&code[i][CODE_UNIT], {7, 9}, twin, .code = &poked[i]};
        entries[i] = jump_entry_new_code(key, "owner", &site);
        EXPECT(entries[i]);
    }
}

/* The whole code: nothing but the arguments may have changed. */
static bool shows(int i, int argument, int twin)
{
    const uint8_t expected[] = {OPCODE, OPCODE, OPCODE, argument, OPCODE, twin, OPCODE, OPCODE};
    return !memcmp(code[i], expected, sizeof(expected));
}

static void expect_all(int argument, int twin)
{
    for (int i = 0; i < SITES; i++)
        EXPECT(shows(i, argument, twin));
}

static void toggle_stores_arguments(void)
{
    make_sites(false);
    expect_all(7, OPCODE);
    EXPECT(!static_key_toggle(key, KEY_ENABLE));
    expect_all(9, OPCODE);
    EXPECT(!static_key_toggle(key, KEY_DISABLE));
    expect_all(7, OPCODE);
    EXPECT(!settles);
}

static void twins_lead_to_the_same_places(void)
{
    make_sites(true);
    expect_all(7, 6);
    EXPECT(!static_key_toggle(key, KEY_ENABLE));
    expect_all(9, 8);
}

static void new_site_has_the_keys_state(void)
{
    make_sites(false);
    EXPECT(!static_key_toggle(key, KEY_INC));
    struct code_site site = {&code[0][0], {1, 2}, false, .code = &poked[0]};
    struct jump_entry *entry = jump_entry_new_code(key, "owner", &site);
    EXPECT(code[0][1] == 2 && entry->enabled && jump_entry_address(entry) == code[0]);
}

static void readers_are_told_once(void)
{
    make_sites(false);
    reads[1] = true;
    EXPECT(!static_key_toggle(key, KEY_ENABLE));
    EXPECT(settles == 1 && settled[1] == 1 && !settled[0] && !settled[2]);
    EXPECT(!static_key_toggle(key, KEY_DISABLE));
    EXPECT(settles == 2 && settled[1] == 2);
    reads[1] = false;
    EXPECT(!static_key_toggle(key, KEY_ENABLE));
    EXPECT(settles == 2);
}

static void readers_are_told_of_overrides_and_of_batches(void)
{
    make_sites(false);
    reads[2] = true;
    struct key_override *override;
    EXPECT(!static_key_override(key, 1, &override, NULL));
    EXPECT(settled[2] == 1);
    expect_all(9, OPCODE);
    EXPECT(!static_key_lift(key, &override, NULL));
    EXPECT(settled[2] == 2);
    expect_all(7, OPCODE);
    const struct key_step steps[] = {{key, KEY_INC}, {key, KEY_INC}};
    size_t failed;
    EXPECT(!static_key_apply(steps, 2, &failed, NULL));
    EXPECT(settled[2] == 3);
    EXPECT(!static_key_toggle(key, KEY_DEC)); /* of two users */
    EXPECT(settled[2] == 3);
}

/* A toggle that finds another thread settling waits until that is done. */
static void all_wait_until_all_is_settled(void)
{
    make_sites(false);
    reads[0] = reads[1] = reads[2] = true;
    EXPECT(!static_key_toggle(key, KEY_ENABLE));
    EXPECT(settles == 2 && settled[0] == 1 && settled[1] == 1 && settled[2] == 1);
    code_poke_settle();
    EXPECT(settles == 2);
}

static void forget(int i)
{
    jump_entries_remove(&entries[i], 1, &poked[i]);
    memset(code[i], OPCODE, sizeof(code[i]));
}

static void what_is_gone_is_neither_stored_to_nor_settled(void)
{
    for (int gone = 0; gone < SITES; gone++) {
        memset(settled, 0, sizeof(settled));
        make_sites(false);
        reads[0] = reads[1] = reads[2] = true;
        text_lock();
        for (int i = 0; i < SITES; i++)
            code_poke(&entries[i]->code, true), code_poke_look(&poked[i]);
        text_unlock();
        forget(gone);
        code_poke_settle();
        for (int i = 0; i < SITES; i++)
            EXPECT(settled[i] == (i != gone));
        EXPECT(!static_key_toggle(key, KEY_ENABLE) && !static_key_toggle(key, KEY_DISABLE));
        for (int i = 0; i < SITES; i++)
            EXPECT(shows(i, i == gone ? OPCODE : 7, OPCODE));
        for (int i = 0; i < SITES; i++)
            if (i != gone)
                forget(i);
        static_key_drop(key);
    }
    struct jump_label_info info;
    jump_label_info(&info);
    EXPECT(!info.keys && !info.bytecode_entries);
}

static int target(void) { return 0; }

/* One transaction: where the native sites cannot follow, nothing is stored. */
static void failed_patch_stores_nothing(void)
{
    make_sites(true);
    struct trampoline_target to = {(void *)target, NULL};
    struct jump_entry *native = jump_entry_new(key, "switch", "owner", TRAMPOLINE_SWITCH, to, to);
    if (jump_entry_site(native) != SITE_NATIVE)
        exit(NOT_POSSIBLE_HERE);
    reads[0] = true;
    sync_fails = true;
    EXPECT(static_key_toggle(key, KEY_ENABLE) == -EIO);
    expect_all(7, 6);
    EXPECT(!settles && !key->enabled && native->slot->displacement == NO_JUMP);
    sync_fails = false;
    EXPECT(!static_key_toggle(key, KEY_ENABLE));
    expect_all(9, 8);
    EXPECT(settles && native->slot->displacement != NO_JUMP);
}

static void table_and_counts(void)
{
    make_sites(false);
    EXPECT(!static_key_toggle(key, KEY_ENABLE));
    struct jump_table *table = jump_table_read(key);
    EXPECT(table->n == SITES);
    for (int i = 0; i < SITES; i++) {
        const struct jump_table_row *row = &table->rows[i];
        EXPECT(row->site == SITE_BYTECODE && row->enabled && row->address == &code[i][CODE_UNIT]);
        EXPECT(!strcmp(row->kind, "branch") && !strcmp(row->owner, "owner"));
    }
    free(table);
    struct jump_label_info info;
    jump_label_info(&info);
    EXPECT(info.bytecode_entries == SITES && !info.plain_entries && !info.native_entries);
    EXPECT(!info.native && !info.batches && !info.arena_bytes);
}

/* ---- many ---- */

enum { MANY = 1200, EACH = 100, CODES = MANY / EACH };
static uint8_t units[MANY][CODE_UNIT];
static struct poked_code codes[CODES];
static int looks;

static bool look(const struct poked_code *which)
{
    (void)which;
    looks++;
    return false;
}

/* A site's argument is 1 + its number's last bits when off, and 129 more of them when on. */
static struct jump_entry *new_one_of_many(struct static_key *of, int i)
{
    struct code_site site = {units[i], {1 + i % 100, 129 + i % 100}, false, .code = &codes[i / EACH]};
    struct jump_entry *entry = jump_entry_new_code(of, "owner", &site);
    EXPECT(entry);
    return entry;
}

static void code_is_looked_at_once_however_many_sites_it_has(void)
{
    code_poke_set_interpreter(look, settle);
    key = static_key_new("key", 0);
    for (int i = 0; i < MANY; i++)
        new_one_of_many(key, i);
    EXPECT(!static_key_toggle(key, KEY_ENABLE));
    EXPECT(looks >= CODES && looks < 2 * CODES); /* and again where it is taken up again */
    for (int i = 0; i < MANY; i++)
        EXPECT(units[i][1] == 129 + i % 100);
}

/* In whatever order they go, a toggle turns those that are left, all of them, and no other. */
static void many_come_and_go(void)
{
    static struct jump_entry *living[MANY];
    struct static_key *keys[2] = {static_key_new("even", 0), static_key_new("odd", 1)};
    unsigned random = 1;
    code_poke_set_interpreter(look, settle);
    for (int round = 0; round < 6; round++) {
        for (int n = 0; n < MANY; n++) {
            int i = (int)((random = random * 1103515245 + 12345) >> 8) % MANY;
            if (living[i])
                jump_entries_remove(&living[i], 1, &codes[i / EACH]);
            living[i] = living[i] ? NULL : new_one_of_many(keys[i & 1], i);
        }
        for (int i = 0; i < MANY; i++)
            units[i][1] = living[i] ? units[i][1] : 0;
        struct static_key *turned = keys[round % 3 > 0];
        EXPECT(!static_key_toggle(turned, turned->enabled ? KEY_DISABLE : KEY_ENABLE));
        size_t n[2] = {0, 0};
        for (int i = 0; i < MANY; i++) {
            EXPECT(units[i][1] == (living[i] ? (keys[i & 1]->enabled ? 129 : 1) + i % 100 : 0));
            n[i & 1] += !!living[i];
        }
        EXPECT(keys[0]->n_entries == n[0] && keys[0]->n_code == n[0] && keys[1]->n_code == n[1]);
    }
    for (int i = 0; i < MANY; i++)
        if (living[i])
            jump_entries_remove(&living[i], 1, &codes[i / EACH]);
    static_key_drop(keys[0]);
    static_key_drop(keys[1]);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(toggle_stores_arguments),
        TEST(twins_lead_to_the_same_places),
        TEST(new_site_has_the_keys_state),
        TEST(readers_are_told_once),
        TEST(readers_are_told_of_overrides_and_of_batches),
        TEST(all_wait_until_all_is_settled),
        TEST(what_is_gone_is_neither_stored_to_nor_settled),
        TEST(failed_patch_stores_nothing),
        TEST(table_and_counts),
        TEST(code_is_looked_at_once_however_many_sites_it_has),
        TEST(many_come_and_go),
        {0},
    };
    return run_named(tests, argc, argv);
}
