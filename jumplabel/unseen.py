"""Calls of our own functions that tracers and profilers do not see (csrc/unseen.h).

``Unseen(function)`` is what the library puts where the program's own statements call it: into classes, as a callback of
a weak reference. ``seen(callable, *args)`` calls something of the program's from there.
"""

from collections.abc import Callable
from typing import Any

from jumplabel._engine import lib
from jumplabel.published import published

Unseen: Any
seen: Callable[..., Any]
Unseen, seen = published(lib.unseen_types)

_CALLED_BY_US = ("weakref", "_weakrefset", "logging", "threading", "re", "collections")


def is_ours(error: BaseException) -> bool:
    """Whether the library's own code has raised it: not a signal handler, whose exceptions are for the program."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    name = at.tb_frame.f_globals.get("__name__") if at is not None else None
    return type(name) is str and (name in _CALLED_BY_US or name.partition(".")[0] == "jumplabel")
