/*
 * Sites in bytecode that are tests of names, and what becomes of them while a name stands for something else.
 *
 * A site leads to the ordinary test behind it from the moment at which a name on the way to its key changes, which is
 * never wrong. branch_names.py looks what the name stands for, and has the site follow its key again. Who
 * tests which name is in name_table.h and name_paths.h.
 *
 * This does not hear of changes: dict_watch.c does, and calls. It does not count them, and calls nothing of Python's.
 * From CPython 3.12 on.
 */
#ifndef JUMPLABEL_NAMED_SITES_H
#define JUMPLABEL_NAMED_SITES_H

#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

/*
 * Called once a process, with the GIL. watcher: of dicts. Publishes functions (publish.h):
 *
 *     follow(code, globals, builtins, found)
 *                      have sites of the code follow their keys only while the names stand for them, in functions with
 *                      these dicts. found: {path: what was found there}. Returns the paths that may lead to something
 *                      else, or go by other holders than modules and classes: follow_also() each holder, and look
 *     follow_also(code, holder)
 *                      names in the dict of this module or class, or in this dict, are on the way, too
 *     followed(id)     of the code object with this id(): (code, [globals, builtins, other globals, ...], [(path, key
 *                      address, unit, ordinary, off, on), ...]), see make_branches(). None: its sites follow no names
 *     lead_branches(code, [(unit, argument), ...])
 *                      have these sites lead where the argument says, whatever their keys' state
 *     followers()      for tests: how many pairs of a code object and a dict there are, how many paths, and how many of
 *                      those there were at most
 *
 * They raise MemoryError. Returns as publish_functions().
 */
int named_sites_start(uintptr_t list, int watcher);

/*
 * The name in the dict changes, or any name, for NULL: a new list of the code objects with sites that test it. NULL:
 * there are none. is_gone: the dict is; from now on none is followed there. Sets no error.
 */
PyObject *named_sites_of(PyObject *dict, PyObject *name, bool is_gone);

/*
 * Have the code's sites be ordinary tests, but those without the room for that. Returns 0; -1 for no memory, with no
 * error set, and as they were.
 */
int named_sites_lead_away(PyObject *code);

/* As lead_branches(); back: have these sites follow their keys again. Returns 0; -1 for no memory, with no error set.
 */
int named_sites_lead(PyObject *code, PyObject *list, bool back);

/* Take the watcher from a dict, unless sites follow names in it. Returns -1 with an error set. */
int named_sites_unwatch(PyObject *dict, int watcher);

/* A new reference to the dict of a module or class, or to this dict. NULL with an error set. */
PyObject *holder_dict(PyObject *holder);

#endif
