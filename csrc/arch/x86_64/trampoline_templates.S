/*
 * The trampolines, as trampolines.c copies them into slots of 64 bytes.
 *
 * Each begins with the site: a no-op here, falling into the off path; a jump to the on path when it is enabled.
 * Nothing here touches the stack, so a trampoline is invisible to backtraces and shadow stacks, and leaves every
 * argument but the first (rdi) where it was; a branch leaves that one, too, and every other register. Data is
 * addressed relative to the code, from the slot's last words.
 */
#ifdef __CET__
#include <cet.h> /* the note without which the linker takes the whole library for unfit for shadow stacks */
#endif

#define OFF_ENTRY    32
#define ON_ENTRY     40
#define ON_ARGUMENT  48
#define OFF_ARGUMENT 56

/* Data, not text: these bytes are copied, never run in place. */
        .section .rodata

.macro  TRAMPOLINE name
        .balign 64
        .globl  jumplabel_\name
        .hidden jumplabel_\name
jumplabel_\name:
        .byte   0x2e, 0x0f, 0x1f, 0x44, 0x00, 0x00    /* prefix, nop5: see instructions.h */
.endm

.macro  ON name, words, argument=1
        .globl  jumplabel_\name\()_on, jumplabel_\name\()_end
        .hidden jumplabel_\name\()_on, jumplabel_\name\()_end
jumplabel_\name\()_on:
        .if     \argument
        mov     jumplabel_\name+ON_ARGUMENT(%rip), %rdi
        .endif
        jmp     *jumplabel_\name+ON_ENTRY(%rip)
jumplabel_\name\()_end:
        .org    jumplabel_\name+\words, 0xcc      /* an error where the code reaches into its words */
.endm

TRAMPOLINE constant
        mov     jumplabel_constant+OFF_ARGUMENT(%rip), %rax
        ret
ON constant, ON_ENTRY

TRAMPOLINE counted32
        mov     jumplabel_counted32+OFF_ARGUMENT(%rip), %rax
        cmpl    $0, (%rax)
        js      1f                              /* negative: immortal, and stays so */
        incl    (%rax)
1:      ret
ON counted32, ON_ENTRY

TRAMPOLINE counted64
        mov     jumplabel_counted64+OFF_ARGUMENT(%rip), %rax
        incq    (%rax)
        ret
ON counted64, ON_ENTRY

TRAMPOLINE switch
        mov     jumplabel_switch+OFF_ARGUMENT(%rip), %rdi
        jmp     *jumplabel_switch+OFF_ENTRY(%rip)
ON switch, OFF_ENTRY

TRAMPOLINE branch
        jmp     *jumplabel_branch+OFF_ENTRY(%rip)
ON branch, OFF_ENTRY, argument=0

/* No site: where those of static calls lead. */
        .balign 64
        .globl  jumplabel_target, jumplabel_target_end
        .hidden jumplabel_target, jumplabel_target_end
jumplabel_target:
        mov     jumplabel_target+ON_ARGUMENT(%rip), %rdi
        jmp     *jumplabel_target+ON_ENTRY(%rip)
jumplabel_target_end:
        .org    jumplabel_target+ON_ENTRY, 0xcc

        .section .note.GNU-stack, "", @progbits
