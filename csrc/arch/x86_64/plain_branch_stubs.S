/*
 * The stubs of plain_branch.h, which run where they are: code is the library's own, data is the process's.
 *
 * a call may change r11 and the flags (System V ABI, AMD64 supplement, 3.2.3); all other registers stay, also rax,
 * which counts a variadic call's vector registers, and r10, the static chain. The stack is not touched.
 */
#include "plain_branch.h"

#ifdef __CET__
#include <cet.h>
#else
#define _CET_ENDBR
#endif

#define ENABLED 0
#define OFF     8
#define ON      16
#define WORDS   24

        .text
        .globl  jumplabel_plain_branches, jumplabel_plain_words
        .hidden jumplabel_plain_branches, jumplabel_plain_words
        .type   jumplabel_plain_branches, @function
        .balign PLAIN_BRANCH_SIZE
jumplabel_plain_branches:
        .cfi_startproc
        .set    words, 0
        .set    end, 0
        .rept   ARCH_PLAIN_BRANCHES
        _CET_ENDBR
        mov     jumplabel_plain_words+words+ENABLED(%rip), %r11
        cmpl    $0, (%r11)
        jne     1f
        jmp     *jumplabel_plain_words+words+OFF(%rip)
1:      jmp     *jumplabel_plain_words+words+ON(%rip)
        .set    words, words+WORDS
        .set    end, end+PLAIN_BRANCH_SIZE
        .org    jumplabel_plain_branches+end, 0xcc      /* an error where the code is longer */
        .endr
        .cfi_endproc
        .size   jumplabel_plain_branches, .-jumplabel_plain_branches

        .bss
        .type   jumplabel_plain_words, @object
        .balign 64
jumplabel_plain_words:
        .zero   ARCH_PLAIN_BRANCHES*WORDS
        .size   jumplabel_plain_words, .-jumplabel_plain_words

        .section .note.GNU-stack, "", @progbits
