/*
 * What the engine does when a call that it makes is refused.
 *
 * Built with the linker's --wrap for every name in a WRAP() of refused_calls.h. A life of some keys is lived once for
 * each n, with the n-th call refused, and once more with all calls from the n-th on refused until the engine reports an
 * error; each in a process of its own, until a life makes fewer than n calls. An operation that is refused says so with
 * an errno that it was given, and has changed nothing; any other has done what it was asked for. Either way every site,
 * called, shows what its key says, no mapping and no file is left behind, and once nothing is refused the same
 * operation works.
 */
#define _GNU_SOURCE
#include "fault_world.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* ---- what is done ---- */

static void make_key(int i, int enabled)
{
    arm();
    keys[i].key = static_key_new("key", enabled);
    if (failed(keys[i].key ? 0 : -ENOMEM))
        keys[i].key = static_key_new("key", enabled);
    EXPECT(keys[i].key);
    keys[i].count = keys[i].enabled = enabled;
    check();
}

static struct jump_entry *enter(struct made *site, int kind)
{
    static const enum trampoline_kind kinds[] = {TRAMPOLINE_CONSTANT, TRAMPOLINE_COUNTED64, TRAMPOLINE_SWITCH};
    struct trampoline_target off = {(void *)identity, &off_value}, on = {(void *)identity, &on_value};
    struct code_site code = {site->code, {7, 9}, false, .code = &site->poked};
    return kind == CODE ? jump_entry_new_code(keys[site->key].key, "owner", &code)
                        : jump_entry_new(keys[site->key].key, "test", "owner", kinds[kind], off, on);
}

static void make_site(int key, int kind)
{
    struct made *site = &sites[n_sites];
    *site = (struct made){.key = key, .code = {42, 42, 42, 42}};
    arm();
    site->entry = enter(site, kind);
    if (failed(site->entry ? 0 : -ENOMEM)) {
        check();
        site->entry = enter(site, kind);
    }
    EXPECT(site->entry);
    n_sites++;
    if (jump_entry_site(site->entry) == SITE_PLAIN) {
        struct jump_label_info info;
        jump_label_info(&info);
        EXPECT(given[info.refused] || info.refused == -arena_shared());
        EXPECT(and_all_after || !(given[ENFILE] || given[EFBIG])); /* memory can be had without a file */
    }
    check();
}

static void make_call(void)
{
    struct static_key *both_keys[] = {keys[FIRST].key, keys[SECOND].key};
    struct trampoline_target off = {(void *)identity, NULL};
    arm();
    both = static_call_new(both_keys, 2, "call", "owner", TRAMPOLINE_SWITCH, off);
    if (failed(both ? 0 : -ENOMEM)) {
        check();
        both = static_call_new(both_keys, 2, "call", "owner", TRAMPOLINE_SWITCH, off);
    }
    EXPECT(both && both->n_entries == 2);
    check();
}

static void lead(int state, void *value)
{
    struct trampoline_target to = {value ? (void *)identity : NULL, value};
    struct call_update update = {.state = (uint64_t)state, .to = to};
    struct call_target *left;
    arm();
    if (failed(static_call_update(both, &update, &left, NULL))) {
        call_target_retire(left);
        check();
        EXPECT(!static_call_update(both, &update, &left, NULL));
    }
    call_target_retire(left);
    targets[state] = value;
    check();
}

/* An entry that is made when nothing is refused any more is native. */
static void make_native_site(int key)
{
    refused_call = 0;
    make_site(key, SWITCH);
    EXPECT(jump_entry_site(sites[n_sites - 1].entry) == SITE_NATIVE);
}

static void apply(const struct key_step *steps, const int *which, size_t n)
{
    size_t at;
    arm();
    if (failed(static_key_apply(steps, n, &at, NULL))) {
        EXPECT(at == n);
        check();
        EXPECT(!static_key_apply(steps, n, &at, NULL));
    }
    for (size_t i = 0; i < n; i++) {
        static const int steps_by[] = {[KEY_INC] = 1, [KEY_DEC] = -1};
        int *count = &keys[which[i]].count;
        if (steps[i].operation == KEY_ENABLE)
            *count += !*count;
        else if (steps[i].operation == KEY_DISABLE)
            *count = 0;
        else
            *count += steps_by[steps[i].operation];
        keys[which[i]].enabled = *count > 0;
    }
    check();
}

static void toggle(int key, enum key_operation operation)
{
    apply(&(struct key_step){keys[key].key, operation}, &key, 1);
}

static void toggle_all(enum key_operation operation)
{
    const int which[] = {FIRST, SECOND, PLAIN, SECOND};
    struct key_step steps[4];
    for (int i = 0; i < 4; i++)
        steps[i] = (struct key_step){keys[which[i]].key, operation};
    apply(steps, which, 4);
}

static void override(int i)
{
    struct key_override *made = NULL;
    int was = keys[i].enabled;
    arm();
    if (failed(static_key_override(keys[i].key, !was, &made, NULL))) {
        EXPECT(!made);
        check();
        EXPECT(!static_key_override(keys[i].key, !was, &made, NULL));
    }
    keys[i].enabled = !was;
    check();
    arm();
    if (failed(static_key_lift(keys[i].key, &made, NULL))) { /* it is gone all the same, and the next toggle shows it */
        check();
        EXPECT(!static_key_toggle(keys[i].key, was ? KEY_ENABLE : KEY_DISABLE));
    }
    keys[i].enabled = was;
    check();
}

static void read_table(void)
{
    arm();
    struct jump_table *table = jump_table_read(NULL);
    if (failed(table ? 0 : -ENOMEM))
        table = jump_table_read(NULL);
    EXPECT(table && table->n == n_sites + both->n_entries);
    free(table);
}

/* Slots that native entries are in; the static call's are in one, and its targets have theirs. */
static size_t slots_used(size_t native_entries)
{
    size_t n = native_entries;
    if (both->slot) {
        n += 1 - both->n_entries;
        for (struct call_target *target = both->targets; target; target = target->next)
            n++;
    }
    return n;
}

/* The next one but `room` that is made needs more executable memory. */
static struct slot *fillers[2048];
static size_t n_fillers;

static void fill_arena(size_t room)
{
    struct jump_label_info info;
    int error;
    jump_label_info(&info); /* buries the retired, too */
    text_lock();
    for (size_t i = slots_used(info.native_entries) + room; i < arena_size() / SLOT_SIZE; i++)
        EXPECT((fillers[n_fillers++] = arena_alloc(&error)));
    text_unlock();
}

static void retire(size_t i)
{
    if (jump_entry_site(sites[i].entry) == SITE_BYTECODE)
        jump_entries_remove(&sites[i].entry, 1, &sites[i].poked);
    else
        jump_entry_retire(sites[i].entry);
    sites[i] = sites[--n_sites];
    if (jump_entry_site(sites[i].entry) == SITE_BYTECODE)
        abort(); /* it knows its own address */
}

static void fork_apart(void)
{
    int to_parent[2], to_child[2], status;
    char byte;
    EXPECT(!pipe(to_parent) && !pipe(to_child));
    files_before += 4;
    arm();
    pid_t pid = fork();
    other_thread = pid ? other_thread : 0; /* it is the parent's */
    disarm();
    EXPECT(pid >= 0);
    close(pid ? to_parent[1] : to_parent[0]);
    close(pid ? to_child[0] : to_child[1]);
    files_before -= 2;
    check();
    if (!pid) {
        alarm(60);
        if (arena_shared()) {
            refused_call = 0;
            for (int i = 0; i < 2; i++)
                EXPECT(static_key_toggle(keys[FIRST].key, KEY_DISABLE) == -ENOMEM);
            make_site(SECOND, SWITCH);
        } else {
            make_site(SECOND, SWITCH);
            toggle_all(KEY_INC);
        }
        EXPECT(write(to_parent[1], "x", 1) == 1 && read(to_child[0], &byte, 1) == 1);
        check();
        _exit(0);
    }
    EXPECT(read(to_parent[0], &byte, 1) == 1);
    check();
    toggle(FIRST, KEY_INC);
    toggle(FIRST, KEY_DEC);
    EXPECT(write(to_child[1], "x", 1) == 1 && waitpid(pid, &status, 0) == pid && !status);
    close(to_parent[0]);
    close(to_child[1]);
    files_before -= 2;
    check();
}

static int stop;

/*
 * Not in one long call: ThreadSanitizer may keep a signal until it returns. And in none for the first time: it loses a
 * signal that comes while it makes room for those of the thread.
 */
static void *wait_for_the_end(void *unused)
{
    usleep(1);
    __atomic_store_n(&other_thread, (pid_t)__real_syscall(SYS_gettid), __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST))
        usleep(1000);
    return unused;
}

static void live(enum sync_method method)
{
    pthread_t other;
    memory_before = shared_memory();
    files_before = open_files();
    jump_label_configure((struct jump_label_settings){.native = 1, .method = method, .syncs = 2});

    for (int i = 0; i < KEYS; i++)
        make_key(i, i == SECOND);
    make_site(FIRST, CONSTANT);
    EXPECT(!pthread_create(&other, NULL, wait_for_the_end, NULL)); /* by now membarrier is quick to register */
    while (!__atomic_load_n(&other_thread, __ATOMIC_SEQ_CST))
        sched_yield();
    for (int kind = COUNTED; kind < KINDS; kind++)
        make_site(FIRST, kind);
    make_site(SECOND, CODE);
    make_site(SECOND, CONSTANT);
    make_site(SECOND, SWITCH);
    toggle(FIRST, KEY_ENABLE);
    toggle(FIRST, KEY_DISABLE);
    make_call();
    lead(0, &off_value);
    toggle_all(KEY_INC);
    lead(3, &on_value);
    lead(3, &off_value);
    toggle_all(KEY_DEC);
    signal(SIGTRAP, note);
    displaced = true;
    toggle(FIRST, KEY_ENABLE);
    override(SECOND);
    override(FIRST);
    read_table();
    make_site(FIRST, SWITCH);
    fill_arena(1);
    make_site(FIRST, SWITCH);
    make_site(SECOND, COUNTED);
    toggle_all(KEY_INC);
    retire(0);
    retire(5);
    toggle_all(KEY_DEC);
    make_site(SECOND, SWITCH);
    lead(0, NULL);
    fork_apart();
    toggle_all(KEY_INC);
    arm();
    if (failed(jump_label_sync(1)))
        EXPECT(!jump_label_sync(1));

    int made = calls;
    make_native_site(FIRST);
    make_native_site(SECOND);
    toggle_all(KEY_DEC);
    toggle_all(KEY_INC);
    *most = made > *most ? made : *most;

    for (size_t i = 0; i < n_sites; i++) {
        struct made *site = &sites[i];
        if (jump_entry_site(site->entry) == SITE_BYTECODE)
            jump_entries_remove(&site->entry, 1, &site->poked);
        else
            jump_entry_retire(site->entry);
    }
    static_call_retire(both);
    text_lock();
    while (n_fillers)
        arena_free(fillers[--n_fillers]);
    text_unlock();
    for (int i = 0; i < KEYS; i++)
        static_key_drop(keys[i].key);
    struct jump_label_info info;
    jump_label_info(&info);
    EXPECT(!info.keys && !info.native_entries && !info.plain_entries && !info.bytecode_entries);
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    EXPECT(!pthread_join(other, NULL));
}

static int stride = 1; /* from one n to the next */

static void live_again_and_again(enum sync_method method)
{
    most = mmap(NULL, sizeof(*most), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT(most != MAP_FAILED);
    for (int after = 0; after < 2; after++)
        for (int n = 1, made = n; made >= n; n += stride) {
            *most = 0;
            fflush(NULL);
            pid_t pid = fork();
            if (!pid) {
                alarm(60);
                refused_call = n;
                and_all_after = after;
                live(method);
                exit(0);
            }
            int status = 0;
            EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid);
            if (status) {
                fprintf(stderr, "status %#x where call %d%s is refused\n", status, n, after ? ", and all after," : "");
                abort();
            }
            made = *most;
        }
}

static void membarrier_alone(void) { live_again_and_again(SYNC_MEMBARRIER); }

static void the_signal_alone(void) { live_again_and_again(SYNC_SIGNAL); }

static void either(void) { live_again_and_again(SYNC_NONE); }

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(membarrier_alone),
        TEST(the_signal_alone),
        TEST(either),
        {0},
    };
    if (argc > 2)
        stride = atoi(argv[2]);
    return run_named(tests, argc, argv);
}
