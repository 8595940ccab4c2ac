/*
 * What CPython's JIT (3.14 and later, off unless asked for) has made, or is making, of code that changes.
 *
 * A compiled trace knows only the argument that a site had. CPython drops the traces that depend on an object when it
 * is told to. 3.15 records a trace while the code runs, and one that is being recorded cannot be dropped yet: it is
 * when it is done, before any thread runs it, as the interpreter enters no trace while a pending call waits
 * (ENTER_EXECUTOR in Python/bytecodes.c).
 */
#ifndef JUMPLABEL_JIT_TRACES_H
#define JUMPLABEL_JIT_TRACES_H

#include <Python.h>
#include <stdbool.h>

/* Returns true if the other functions can be called, or if the JIT is off and they need not be. */
bool jit_traces_start(bool on);

/* This code has changed. Needs the GIL, as does jit_traces_changed_all(), to be called after the last of them. */
void jit_traces_changed(PyCodeObject *code);
void jit_traces_changed_all(void);

#endif
