/*
 * Threads that wait in a tracer at a site.
 *
 * From CPython 3.12 on, tracing replaces the opcode of a line's first instruction; the new one calls the tracer and
 * then carries out the instruction with the argument that it fetched *before* (INSTRUMENTED_LINE in
 * Python/bytecodes.c). A debugger that stops on `if key:` and turns the key would see the old branch taken. But the
 * interpreter looks whether the tracer has moved the frame (as setting frame.f_lineno does), and fetches anew if so: we
 * move it, by one unit, to the site's twin.
 *
 * Knows the inside of a frame; no other file does.
 */
#ifndef JUMPLABEL_TRACED_FRAMES_H
#define JUMPLABEL_TRACED_FRAMES_H

#include "code_poke.h"

#include <Python.h>

/*
 * Move every frame of every thread that is at a site to the site's twin. site_at(): the site at an offset, in bytes, of
 * a code object; NULL: none. Needs the GIL.
 */
void traced_frames_move(const struct code_site *(*site_at)(PyCodeObject *code, int offset));

#endif
