/*
 * Sites in CPython's code objects: what owns them, and the second step of a store into them (code_poke.h).
 *
 * The code object's own record of its sites hangs on it (PyUnstable_Code_SetExtra) and goes with it. The order of locks
 * is GIL first, text lock second: a thread that holds the text lock never waits for the GIL.
 */
#ifndef JUMPLABEL_CODE_OBJECT_H
#define JUMPLABEL_CODE_OBJECT_H

#include <Python.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct jump_entry;

/*
 * Called before the first branch is made. jit: whether this interpreter compiles. Publishes functions (publish.h):
 *
 *     make_branches(code, [(key_address, owner, unit, target_off, target_on, twin, [ordinary, path]), ...])
 *
 * Makes sites of these units of a code object that no thread runs yet, in their keys' states. The entries live as long
 * as it does. ordinary: the argument by which a site leads to the ordinary test behind it, 0: there is none. path: by
 * which the key was found, None: it has no name that may change (name_paths.h). Raises MemoryError; RuntimeError where
 * other tools leave no room for a record on code objects. Nothing was made then.
 *
 *     make_branches_of_module(module, {mark: key_address}, [(code, [(unit, target_off, target_on, twin, mark, line)])])
 *
 * The same for many code objects in one step. Owners are named by the module, the function and the line. Where memory
 * runs out, some code objects may have their sites; of RuntimeError none has.
 *
 *     branches_of(code)
 *
 * The sites of a code object: [(key_address, unit, target_off, target_on, twin), ...].
 *
 *     set_code(function, code)
 *
 * Sets function.__code__, and keeps the fast way to call it. CPython calls a function directly by a version number,
 * which it takes away for good when __code__ is set (3.13 and later, Objects/funcobject.c, "Function versions"). A
 * function whose version is the one that came with its old code is given that of its new code, as if made with it.
 *
 * Returns 0; -1 for no memory, with less or nothing appended; 1 where compiled code could not be told of a store.
 */
int code_object_start(uintptr_t list, bool jit);

/* As set_code(): 0; -1 with an exception set, and the function as it was. */
int function_set_code(PyObject *function, PyObject *code);

/* The entries of a code object, n of them. They live as long as it does. Sets no error. */
struct jump_entry *const *code_object_entries(PyObject *code, size_t *n);

#endif
