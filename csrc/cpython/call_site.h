/*
 * The Python callable whose trampoline leads to a target that may be replaced: static_call.h, for Python.
 */
#ifndef JUMPLABEL_CALL_SITE_H
#define JUMPLABEL_CALL_SITE_H

#include <stdint.h>

/*
 * Publish two types (publish.h). The second one has no __get__, so that it is no method in a class.
 *
 *     CallSite(kind, keys, key_addresses, off, off_is, owner, wrapped)
 *
 * keys are kept alive, key_addresses a tuple of the engine's. What a call does while it has no target:
 *
 *     off_is "result"    it returns off
 *     off_is "callable"  it calls off, with the arguments
 *     off_is "maker"     it calls off(site, state), and then what that returned, with the arguments
 *
 * kind "call", "snapshot": a target is any callable. "tracepoint": it is a tuple of probes, at least one, which are
 * called in order, whatever they return, and whatever Exception they raise; the call returns None.
 *
 *     .__lead__(state, target, follows, [expected], [report])
 *         replaces the target for a state, None for none. See struct call_update in transaction.h; report is the
 * address of a key_report. Returns static_call_update()'s error
 *     .__target__(state)                               the callable, or the tuple of probes; or None
 *     .__state__, .__kind__, .__static_keys__, .__site__()
 */
int call_site_types(uintptr_t list);

/*
 * Give a subclass (by its id()) that adds methods, and does not change how it is called, the quick ways of its base:
 * CPython leaves them to types that cannot be changed (Objects/typeobject.c, inherit_slots()), and so it is one now.
 */
void call_site_seal(uintptr_t type);

/* Hand an exception to sys.unraisablehook, as one that this object has raised (both by their id()). */
void call_site_unraisable(uintptr_t exception, uintptr_t object);

#endif
