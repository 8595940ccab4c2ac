/*
 * Sites in CPython's code objects, and the second step of a store into them (code_poke.h).
 *
 * Each code object has a record of its sites as extra data (PyUnstable_Code_SetExtra). The record goes with the code
 * object. Lock order: the GIL first, then the text lock. A thread that holds the text lock never waits for the GIL.
 */
#ifndef JUMPLABEL_CODE_OBJECT_H
#define JUMPLABEL_CODE_OBJECT_H

#include <Python.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct jump_entry;

/*
 * Called before the first branch is made. jit: whether this interpreter has a JIT compiler that is on. Publishes
 * functions (publish.h):
 *
 *     make_branches(code, [(key_address, owner, unit, target_off, target_on, twin, [ordinary, path]), ...])
 *
 * Makes sites of these units of a code object, in their keys' states. No thread may run the code yet. The entries live
 * as long as the code object. ordinary: the argument that leads the site to the ordinary test behind it; 0: there is
 * none. path: the path by which the key was found (name_paths.h); None: no name on it can change. Raises MemoryError,
 * and RuntimeError if other tools have taken all places for data on code objects. Then no site was made.
 *
 *     make_branches_of_module(module, {mark: key_address}, [(code, [(unit, target_off, target_on, twin, mark, line)])])
 *
 * The same for many code objects in one step. An owner's name has the module, the function and the line. After a
 * MemoryError some code objects may have their sites. After a RuntimeError none has.
 *
 *     branches_of(code)
 *
 * Returns the sites of a code object: [(key_address, unit, target_off, target_on, twin), ...].
 *
 *     set_code(function, code)
 *
 * Sets function.__code__, and keeps calls of the function fast. CPython needs a function's version number for its
 * direct calls, and removes it for good when __code__ is set (3.13 and later, Objects/funcobject.c, "Function
 * versions"). So a function with the version of its old code gets the version of its new code, as if it had been made
 * with that code.
 *
 * Returns 0. Returns -1 for no memory: then only some functions or none are published. Returns 1 if there is no way to
 * invalidate compiled code after a store.
 */
int code_object_start(uintptr_t list, bool jit);

/* Do what set_code() does. Returns 0. Returns -1 with an exception set: then the function is as it was. */
int function_set_code(PyObject *function, PyObject *code);

/* The n entries of a code object. They live as long as the code object. Sets no error. */
struct jump_entry *const *code_object_entries(PyObject *code, size_t *n);

#endif
