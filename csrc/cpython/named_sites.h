/*
 * Sites in bytecode that are tests of names.
 *
 * When a name on the way to its key changes, a site leads to the ordinary test behind it. That is always right. Later
 * branch_names.py finds that the name stands for the key, and has the site follow its key again. name_table.h and
 * name_paths.h keep which code object tests which name.
 *
 * dict_watch.c watches for the changes, counts them, and calls this file. This file runs no Python code. From CPython
 * 3.12 on.
 */
#ifndef JUMPLABEL_NAMED_SITES_H
#define JUMPLABEL_NAMED_SITES_H

#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

/*
 * Called once a process, with the GIL. watcher: the number of the dict watcher. Publishes functions (publish.h):
 *
 *     follow(code, globals, builtins, found)
 *                      have sites of the code follow their keys only while the names stand for them, in functions with
 *                      these dicts. found: {path: the object found there}. Returns the paths that may lead to another
 *                      object, or lead through holders other than modules and classes. For these paths, the caller
 *                      calls follow_also() with each holder, and then looks the name up
 *     follow_also(code, holder)
 *                      also watch the names in the dict of this module or class, or in this dict
 *     followed(id)     return (code, [globals, builtins, other globals, ...], [(path, key address, unit, ordinary, off,
 *                      on), ...]) of the code object with this id(), see make_branches(). None: its sites follow no
 *                      names
 *     lead_branches(code, [(unit, argument), ...])
 *                      have these sites lead where the argument says, in every state of their keys
 *     followers()      for tests: return the number of pairs of a code object and a dict, the number of paths, and the
 *                      highest number of paths so far
 *
 * They raise MemoryError. Returns as publish_functions().
 */
int named_sites_start(uintptr_t list, int watcher);

/*
 * A new list of the code objects with sites that test this name in the dict. NULL: there are none. name: NULL stands
 * for any name. is_gone: the dict goes, so forget the names in it. Sets no error.
 */
PyObject *named_sites_of(PyObject *dict, PyObject *name, bool is_gone);

/*
 * Lead the code's sites to their ordinary tests. A site without an ordinary test stays as it is. Returns 0; -1 for no
 * memory: then no site has changed, and no error is set.
 */
int named_sites_lead_away(PyObject *code);

/*
 * Do what lead_branches() does, or with `back` have these sites follow their keys again. Returns 0; -1 for no memory,
 * with no error set.
 */
int named_sites_lead(PyObject *code, PyObject *list, bool back);

/* Remove the watcher from a dict, unless sites follow names in it. Returns 0, or -1 with an error set. */
int named_sites_unwatch(PyObject *dict, int watcher);

/* A new reference to the dict of a module or class, or to `holder` if it is a dict. NULL with an error set. */
PyObject *holder_dict(PyObject *holder);

#endif
