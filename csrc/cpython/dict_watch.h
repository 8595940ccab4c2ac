/*
 * Keys that follow what a name in a Python dict stands for. The moment the name changes, the key is turned on. Python
 * then works out the right state, and turns the key only if nothing has changed since it looked. What a key follows is
 * for Python to know (jumplabel/_loggers/log_keys.py); this knows names, and keys by their addresses.
 *
 * A watcher is called in the middle of a change of the dict, which no code of Python's may be run in: that could change
 * the dict, or let go of the GIL for another thread to do so (Doc/c-api/dict.rst, PyDict_WatchCallback). So it turns
 * keys on, which is never wrong, and leaves the rest to a call that the interpreter makes at its next leisure.
 *
 * And sites in bytecode whose key was found by a name: they lead to the ordinary test from the moment at which the name
 * changes, which is never wrong either, and follow their key again when Python (branch_names.py) has found
 * that the name stands for it.
 */
#ifndef JUMPLABEL_DICT_WATCH_H
#define JUMPLABEL_DICT_WATCH_H

#include <stdint.h>

enum turn_result { TURN_STALE = 1 };

/*
 * Called once a process. Publishes functions (publish.h). All arguments are Python objects' id()s, which are kept.
 *
 *     changes()                 how many changes there have been: of watched names, and those told by changed()
 *     changed()                 there is another one
 *     turn(changes, on, off, [report])
 *                               turn keys, whose addresses are in these lists, in one transaction; 0, -errno of the
 *                               patch, or TURN_STALE if that is not the number of changes any more. report is the
 *                               address of a key_report
 *     watch(holder)             have changes of names in the dict of a module or class, or in this dict, count; gives
 *                               the number that it has in `names`
 *     unwatch(holder)           they count no more, but where sites follow names in it
 *     note(name)                to be called before a name is entered in `names`
 *     follow_again(changes, [(code, [(unit, argument), ...]), ...])
 *                               have these sites follow their keys again; False if that is not the number of changes
 *                               any more
 *     and those of named_sites.h
 *
 * The last ones only where there are watchers, from CPython 3.12 on, and one is free.
 *
 * names    {number: {name: {key address: anything}}}; of a dict that is no more the keys are turned on a last time
 * touched  a set, to which the addresses of keys are added whose name has changed
 * turned   a list, to which (key address, sites, nanoseconds) is added of each key that was turned on
 * settle   called soon after that, in any thread, between two instructions. An Exception that it raises is unraisable
 * away     a set, to which the id()s of code objects are added whose sites were led to their ordinary tests
 *
 * Returns 0; -1 for no memory, with less or nothing appended.
 */
int dict_watch_start(uintptr_t list, uintptr_t names, uintptr_t touched, uintptr_t turned, uintptr_t settle,
                     uintptr_t away);

#endif
