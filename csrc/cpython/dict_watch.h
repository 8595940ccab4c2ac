/*
 * Watches dicts for changes of names that keys and sites depend on.
 *
 * Keys of logging statements: a change of the name turns the key on at once. Soon after, Python works out the right
 * state, and turns the key only if no name has changed since it looked. This file knows names, and keys by their
 * addresses. Python knows which logger a key follows (jumplabel/_loggers/followed_loggers.py).
 *
 * Sites in bytecode that are tests of names: a change of the name leads the site to the ordinary test at once. Soon
 * after, Python finds that the name stands for the key, and has the site follow it again
 * (jumplabel/_bytecode/branch_names.py).
 *
 * The interpreter calls a dict watcher in the middle of the change. Python code may not run there: it could change the
 * dict, or release the GIL so that another thread changes it (Doc/c-api/dict.rst, PyDict_WatchCallback). So the watcher
 * only does what is always right: it turns keys on, and leads sites to their ordinary tests. A pending call does the
 * rest, between two instructions.
 */
#ifndef JUMPLABEL_DICT_WATCH_H
#define JUMPLABEL_DICT_WATCH_H

#include <stdint.h>

enum turn_result { TURN_STALE = 1 };

/*
 * Called once a process. All arguments are id()s of Python objects. This file keeps references to the last five.
 *
 * Publishes functions (publish.h):
 *
 *     changes()                 return the number of changes so far: of watched names, and calls of changed()
 *     changed()                 count one more change
 *     turn(changes, on, off, [report])
 *                               turn the keys at the addresses in these lists, in one transaction. Returns 0, -errno
 *                               of the patch, or TURN_STALE if the number of changes has grown since. report: the
 *                               address of a key_report
 *     watch(holder)             count changes of names in the dict of a module or class, or in this dict. Returns the
 *                               dict's number in `names`
 *     unwatch(holder)           stop counting them, unless sites follow names in that dict
 *     note(name)                call this before a name is entered in `names`
 *     follow_again(changes, [(code, [(unit, argument), ...]), ...])
 *                               have these sites follow their keys again. Returns False, and does nothing, if the
 *                               number of changes has grown since
 *     and those of named_sites.h
 *
 * All but the first three need a dict watcher: CPython 3.12 or later, and a free one.
 *
 * names       {number: {name: {key address: anything}}}. When a dict goes, all its keys are turned on a last time
 * to_look_up  a set. Gets the addresses of the keys of each name that changes
 * turned      a list. Gets (key address, sites, nanoseconds) for each key that is turned on
 * settle      called soon after a change, in any thread, between two instructions. An Exception in it is unraisable
 * away        a set. Gets the id()s of the code objects with sites that were led to their ordinary tests
 *
 * Returns 0. Returns -1 for no memory: then only some functions or none are published.
 */
int dict_watch_start(uintptr_t list, uintptr_t names, uintptr_t to_look_up, uintptr_t turned, uintptr_t settle,
                     uintptr_t away);

#endif
