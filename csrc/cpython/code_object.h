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
#include <stdint.h>

/*
 * Called before the first branch is made. jit: whether this interpreter compiles. Publishes functions (publish.h):
 *
 *     make_branches(code, [(key_address, owner, unit, target_off, target_on, twin), ...])
 *
 * Makes sites of these units of a code object that no thread runs yet, in their keys' states. The entries live as long
 * as it does. Raises MemoryError; RuntimeError where other tools leave no room for a record on code objects. Nothing
 * was made then.
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
 *     lead_branches(code, [(unit, argument), ...])
 *
 * Have these sites of a code object lead where the argument says, whatever their keys' state. The others stay as they
 * are. Runs no Python code.
 *
 * Returns 0; -1 for no memory, with less or nothing appended; 1 where compiled code could not be told of a store.
 */
int code_object_start(uintptr_t list, bool jit);

/* As set_code(): 0; -1 with an exception set, and the function as it was. */
int function_set_code(PyObject *function, PyObject *code);
/*
 * lead_branches(), for other files: of a code object and a list. back: have these sites follow their keys again. Sets
 * no error. Returns 0, or -1 for no memory, and then nothing has changed.
 */
int code_object_lead(void *code, void *list, bool back);

#endif
