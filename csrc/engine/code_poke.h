/*
 * The store that turns a bytecode site.
 *
 * A site is one unit of a CPython code object, an opcode and its argument: JUMP_FORWARD to where the function goes on
 * while the key is off, or to where it goes on while the key is on. Only the argument is ever written:
 *
 *   - it is one byte, so no thread can see half a site. (A jump of more than 255 units has an EXTENDED_ARG before it,
 * and a tracer may run, and toggle, between the two. Such a jump never is a site; one leads to it.)
 *   - tracing and sys.monitoring replace opcodes and leave arguments alone, see CPython's Python/instrumentation.c
 *   - bytecode is data to the processor: no int3, no synchronization
 *
 * Some readers have the old argument in hand and do not look again: code that the JIT has compiled, an instruction that
 * waits for a tracer to return, the bytes that co_code keeps, and on a free-threaded build each thread's own copy of
 * the code. They need a second step, with the interpreter's help. This file only asks for it; cpython/code_object.c
 * takes it.
 *
 * Below keys: knows bytes. No Python.h. The caller holds the text lock.
 */
#ifndef JUMPLABEL_CODE_POKE_H
#define JUMPLABEL_CODE_POKE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define CODE_UNIT 2 /* bytes: opcode, argument */

/* A code object with sites; part of its owner's record of it. */
struct poked_code {
    bool unsettled; /* in the list of those that need the second step */
    struct poked_code *next_unsettled;
};

struct code_site {
    uint8_t *unit;     /* the opcode; the argument follows */
    uint8_t target[2]; /* the argument: off, on */
    bool twin;         /* the next unit is a second jump to the same places, for a thread that is sent there */
    /* For the owner. The argument that leads to the ordinary test behind the site, 0: there is none; what it tests. */
    uint8_t ordinary;
    uint32_t path;
    struct poked_code *code;
};

/* Bring a site to a state. */
void code_poke(const struct code_site *site, bool enabled);

/*
 * Ask for the second step of all stores into this code, where it needs one. The caller puts a full barrier between the
 * stores and this. So if tracing begins after this look for it, the tracing thread finds the new arguments.
 */
void code_poke_look(struct poked_code *code);

/*
 * Name the functions that know the interpreter. has_readers() tells whether this code needs the second step; called
 * behind a store, with the lock. settle() takes the step, without the lock: it calls code_poke_unsettled(), with the
 * lock, until that returns NULL.
 */
void code_poke_set_interpreter(bool (*has_readers)(const struct poked_code *code), void (*settle)(void));

/* Have the second step taken, if it was asked for. The caller does *not* hold the text lock. */
void code_poke_settle(void);

/* The next one that needs it, taken out of the list; NULL: none does. */
struct poked_code *code_poke_unsettled(void);

/* Take it out of the list: it is going away. */
void code_poke_forget(struct poked_code *code);

#endif
