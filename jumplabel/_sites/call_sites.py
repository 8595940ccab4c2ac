"""How a call site (call_site.c) is led to a target."""

from typing import Any

from jumplabel._engine import ffi, lib
from jumplabel._keys.toggles import callbacks, new_report, tell
from jumplabel._keys.transactions import patch_error
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401


def lead(site: Any, state: int, target: Any, follows: bool = False) -> None:
    """From now on calls in this state go to the target; None: they go the off way.

    When it returns, no call that starts later goes to the old target. A state that is not the present one needs no
    patch. With ``follows`` the site's first key is on while there is a target. Raises PatchError.
    """
    error = site.__lead__(state, target, follows)
    if error:
        raise patch_error(error, repr(site))


def swap(site: Any, state: int, expected: Any, target: Any) -> bool:
    """``lead()`` with ``follows``, if ``__target__(state)`` is what is expected. Whether it was."""
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
