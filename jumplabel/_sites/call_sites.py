"""Lead call sites (call_site.c) to their targets."""

from typing import Any

from jumplabel._engine import ffi, lib
from jumplabel._keys.toggles import callbacks, new_report, tell
from jumplabel._keys.transactions import patch_error
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401


def lead(site: Any, state: int, target: Any, follows: bool = False) -> None:
    """Have calls in a state go to a target from now on.

    site     a CallSite or ObjectSite
    state    bit i is set where the site's key i is on
    target   a callable, or what the type of the site takes; None: calls go where they go in the off state
    follows  whether the site's first key is on while there is a target

    When it returns, no call that starts later goes to the old target. A state that is not the present one needs no
    patch. Any thread may call it. Raises PatchError, with nothing changed.
    """
    error = site.__lead__(state, target, follows)
    if error:
        raise patch_error(error, repr(site))


def swap(site: Any, state: int, expected: Any, target: Any) -> bool:
    """Do as ``lead()`` with ``follows``, if the target is the expected one. Return whether it was."""
    report = new_report(1) if callbacks else ffi.NULL
    try:
        error = site.__lead__(state, target, True, expected, int(ffi.cast("uintptr_t", report)))
    finally:
        if report:
            tell(report, site.__static_keys__)
    if error == lib.CALL_CHANGED:
        return False
    if error:
        raise patch_error(error, repr(site))
    return True
