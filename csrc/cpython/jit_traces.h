/*
 * Drops the traces that CPython's JIT (3.14 and later, off by default) has made of code that changes.
 *
 * A compiled trace knows only the argument that a site had when the trace was made. CPython can drop the traces that
 * depend on an object. 3.15 records a trace while the code runs, and cannot drop it during the recording. So a pending
 * call drops it after the recording, before any thread runs it: the interpreter enters no trace while a pending call
 * waits (ENTER_EXECUTOR in Python/bytecodes.c).
 */
#ifndef JUMPLABEL_JIT_TRACES_H
#define JUMPLABEL_JIT_TRACES_H

#include <Python.h>
#include <stdbool.h>

/* Returns true if the other functions can be called, or if the JIT is off and they need not be. */
bool jit_traces_start(bool on);

/* Drop the traces of changed code. Call jit_traces_changed_all() after the last such code. Both need the GIL. */
void jit_traces_changed(PyCodeObject *code);
void jit_traces_changed_all(void);

#endif
