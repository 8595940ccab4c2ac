"""Calls of our own functions that tracers and profilers do not see (csrc/cpython/unseen.h).

``Unseen(function)`` is a callable that the program's own statements may call: in a class, or as the callback of a weak
reference. ``seen(callable, *args)`` calls a callable of the program from there, so that tracers see it.
"""

from collections.abc import Callable
from types import FrameType
from typing import Any

from jumplabel._engine import lib
from jumplabel._program.engine_objects import published
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401

Unseen: Any
seen: Callable[..., Any]
Unseen, seen = published(lib.unseen_types)

_CALLED_BY_US = ("weakref", "_weakrefset", "logging", "threading", "re", "collections")
_AUDITED = ("code.__new__", "object.__setattr__")


def is_ours(error: BaseException) -> bool:
    """Return whether our own code has raised the error. Those of signal handlers are for the program.

    The error of an audit hook that refuses what we do counts as ours.
    """
    at = error.__traceback__
    while at is not None:
        name = dict.get(at.tb_frame.f_globals, "__name__")
        if type(name) is not str or (name not in _CALLED_BY_US and name.partition(".")[0] != "jumplabel"):
            return _is_an_audit_hook(at.tb_frame)
        at = at.tb_next
    return True


def _is_an_audit_hook(frame: FrameType) -> bool:
    """Return whether the function was called with the name of an audit event, perhaps as a method."""
    names = frame.f_code.co_varnames[: max(frame.f_code.co_argcount, 1)][:2]
    given = [frame.f_locals.get(name) for name in names]
    given += [each for one in given if type(one) is tuple for each in one[:1]]
    return any(type(one) is str and one in _AUDITED for one in given)
