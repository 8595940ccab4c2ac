/*
 * Native branches in a C program: what a call through one does to the machine's registers, in the middle of a patch
 * too; and the stubs that stand in for trampolines.
 */
#define _GNU_SOURCE
#include "scene.h"

/* ---- all registers ---- */

#define EACH_GENERAL(DO) \
    DO(rax, 0)           \
    DO(rbx, 8)           \
    DO(rcx, 16)          \
    DO(rdx, 24)          \
    DO(rsi, 32)          \
    DO(rdi, 40)          \
    DO(rbp, 48)          \
    DO(r8, 56)           \
    DO(r9, 64)           \
    DO(r10, 72)          \
    DO(r11, 80)          \
    DO(r12, 88)          \
    DO(r13, 96)          \
    DO(r14, 104)         \
    DO(r15, 112)
#define EACH_VECTOR(DO) \
    DO(xmm0, 128)       \
    DO(xmm1, 144)       \
    DO(xmm2, 160)       \
    DO(xmm3, 176)       \
    DO(xmm4, 192)       \
    DO(xmm5, 208)       \
    DO(xmm6, 224)       \
    DO(xmm7, 240)       \
    DO(xmm8, 256)       \
    DO(xmm15, 272)

#define R11 10
#define RSP 15
#define WORDS 36
static uint64_t before[WORDS] __attribute__((used)), after[WORDS] __attribute__((used));
static uint64_t stack_before __attribute__((used)), stack_after __attribute__((used));
static int which __attribute__((used));
static void *target __attribute__((used));

#define LOAD(name, at) "mov before+" #at "(%rip), %" #name "\n"
#define STORE(name, at) "mov %" #name ", after+" #at "(%rip)\n"
#define LOAD_VECTOR(name, at) "movdqu before+" #at "(%rip), %" #name "\n"
#define STORE_VECTOR(name, at) "movdqu %" #name ", after+" #at "(%rip)\n"

__asm__(".text\n"
        ".globl record_off, record_on\n"
        "record_off: movl $-1, which(%rip); jmp record\n"
        "record_on:  movl $1, which(%rip)\n"
        "record:     mov %rsp, stack_after(%rip)\n" EACH_GENERAL(STORE) EACH_VECTOR(
            STORE_VECTOR) "ret\n"
                          "call_target:\n"
                          "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
                          "lea -8(%rsp), %rax; mov %rax, stack_before(%rip)\n" EACH_GENERAL(LOAD) EACH_VECTOR(
                              LOAD_VECTOR) "call *target(%rip)\n"
                                           "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n");
void record_off(void), record_on(void), call_target(void);

/* Call what leads to record_off or record_on: a bit for each register that did not get there as it was, RSP too. */
static uint64_t registers_changed(struct jump_entry *branch)
{
    uint64_t changed = 0;
    target = jump_entry_function(branch);
    which = 0;
    for (int i = 0; i < WORDS; i++) {
        before[i] = 0x9e3779b97f4a7c15 * (uint64_t)(i + 1);
        after[i] = 0;
    }
    call_target();
    for (int i = 0; i < WORDS; i++)
        changed |= (uint64_t)(before[i] != after[i] && i != RSP) << i;
    return changed | (uint64_t)(stack_before != stack_after) << RSP;
}

static struct jump_entry *new_branch(struct static_key *of)
{
    int error;
    struct jump_entry *branch = jump_entry_new_branch(of, __FILE__, record_off, record_on, &error);
    EXPECT(branch);
    return branch;
}

/* ---- trampolines ---- */

static bool now_on;
static struct jump_entry *branch;

static void call_at_every_step(int number)
{
    int traps_before = in_handler;
    bool armed = *branch->slot->exec == INT3;
    EXPECT(number == 3 ||
           armed == (number < 3)); /* 3 is once for each site, and the others are whole by then, or armed */
    EXPECT(registers_changed(branch) == 0);
    EXPECT(which == (now_on == (number > 1) ? 1 : -1));
    EXPECT(in_handler - traps_before == armed);
}

/* Between the steps of a patch, where most calls trap, and before and after it. */
static void every_register_stays(void)
{
    make_keys();
    branch = new_branch(key);
    EXPECT(jump_entry_site(branch) == SITE_NATIVE && jump_entry_function(branch) == branch->slot->exec);
    step_hook = call_at_every_step;
    for (int i = 0; i < 4; i++) {
        EXPECT(registers_changed(branch) == 0 && which == (now_on ? 1 : -1));
        now_on = !now_on;
        toggle(key, now_on);
    }
    expect_traps(4 * 4, 0, 0, 0); /* at step 3 twice: the other site comes first */
    step_hook = NULL;
    toggle(key, true);
    branch = new_branch(key); /* made while on */
    EXPECT(registers_changed(branch) == 0 && which == 1);
}

/* ---- stubs ---- */

static struct jump_entry *branches[ARCH_PLAIN_BRANCHES];

static void expect_branches(void)
{
    for (int i = 0; i < ARCH_PLAIN_BRANCHES; i++) {
        EXPECT(registers_changed(branches[i]) == 1 << R11);
        EXPECT(which == (branches[i]->key->enabled ? 1 : -1));
    }
}

/* All of them, of two keys. They change r11, which a call may, and nothing else. */
static void every_stub(void)
{
    jump_label_configure((struct jump_label_settings){.native = 0, .syncs = 2});
    key = static_key_new("key", 0);
    other_key = static_key_new("other", 1);
    for (int i = 0; i < ARCH_PLAIN_BRANCHES; i++) {
        branches[i] = new_branch(i % 3 ? key : other_key);
        EXPECT(jump_entry_site(branches[i]) == SITE_PLAIN);
        for (int j = 0; j < i; j++)
            EXPECT(jump_entry_function(branches[i]) != jump_entry_function(branches[j]));
    }
    expect_branches();
    for (int i = 0; i < 4; i++) {
        toggle(i & 1 ? other_key : key, i == 0 || i == 3);
        expect_branches();
    }
}

/* With all of them taken, the next branch is not made, and a branch that goes gives its stub to the next. */
static void no_stub_left(void)
{
    every_stub();
    int error = 0;
    size_t n = key->n_entries;
    EXPECT(!jump_entry_new_branch(key, __FILE__, record_off, record_on, &error) && error == -EAGAIN);
    EXPECT(key->n_entries == n);
    void *stub = jump_entry_function(branches[7]);
    jump_entry_retire(branches[7]);
    branches[7] = new_branch(other_key);
    EXPECT(jump_entry_function(branches[7]) == stub);
    expect_branches();
}

/* Where a trampoline cannot be had. */
static void a_stub_without_sync(void)
{
    make_keys();
    sync_fails_at = 1;
    branch = new_branch(key);
    EXPECT(jump_entry_site(branch) == SITE_PLAIN && registers_changed(branch) == 1 << R11 && which == -1);
    toggle(key, true);
    EXPECT(registers_changed(branch) == 1 << R11 && which == 1);
    EXPECT(jump_entry_site(new_branch(key)) == SITE_NATIVE);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(every_register_stays), TEST(every_stub), TEST(no_stub_left), TEST(a_stub_without_sync), {0},
    };
    text_poke_configure((struct text_poke_settings){POKE_INT3, 2});
    return run_named(tests, argc, argv);
}
