"""Hooks that report changes of loggers. They are in ``logging`` only while keys are bound.

- ``logging`` ends each change of a level with ``root._cache.clear()``, under its lock. So the cache of the root is a
  ``Cache``, whose ``clear`` is ours.
- Programs set attributes past that: ``logger.disabled``, ``logger.level``, a mock in place of a method. So the class
  gets a ``__setattr__`` and a ``__delattr__``.

The hooks call ``listeners``, which logger_changes.py sets.
"""

import logging
import sys
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import ref

from jumplabel._program.looks import NOT_FOUND, attributes, class_attribute
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401
from jumplabel._program.unseen import Unseen, seen

Change = Callable[[], None]


class _Listeners:
    """What the hooks call. Set by logger_changes.py."""

    def __init__(self) -> None:
        self.concerns: Callable[[object], bool] = lambda changed: False
        self.make_change: Callable[[object, dict[str, Any] | None, Change, bool], None] = _just_do
        self.make_change_past_lock: Callable[[object, Change], None] = lambda changed, change: change()
        self.clear_cache: Callable[[Change, bool], None] = lambda clear, is_by_manager: clear()


def _just_do(changed: object, attributes: dict[str, Any] | None, change: Change, wait: bool) -> None:
    change()


listeners = _Listeners()

# ---- __setattr__ ----

_MISSING: Any = object()
_hooked: dict[type, dict[str, tuple[Any, Any]]] = {}
"""For each class and attribute: the hook, and what the class itself had before."""


def hook(kind: type, past_lock: bool = False) -> bool:
    """Report when attributes of the class's objects are set and deleted. Returns whether the hooks are in the class.

    past_lock  never wait for the lock of ``logging`` in these hooks: the setting thread may hold a lock that another
               thread takes under that of ``logging``, as loguru's

    They are not where the program has replaced them.
    """
    if kind not in _hooked:
        _hooked[kind] = {}
        made = {"__setattr__": _setattr(kind, past_lock), "__delattr__": _delattr(kind, past_lock)}
        for name, function in made.items():
            function.__qualname__ = f"{kind.__qualname__}.{name}"
            hidden = Unseen(function, getattr(kind, name))
            _hooked[kind][name] = hidden, vars(kind).get(name, _MISSING)
            setattr(kind, name, hidden)
    space = vars(kind)
    for name, (function, _) in _hooked[kind].items():  # no generator: each import of a module comes here
        if space.get(name) is not function:
            return False
    return True


def _setattr(kind: Any, past_lock: bool) -> Any:
    before = vars(kind).get("__setattr__")

    def __setattr__(self: Any, name: str, value: Any) -> None:
        if not listeners.concerns(self):  # the usual case, while loggers are made: in few steps
            seen(before, self, name, value) if before else seen(super(kind, self).__setattr__, name, value)
            _look_again(self, name, past_lock)
            return
        change = (
            partial(seen, before, self, name, value)
            if before
            else partial(seen, super(kind, self).__setattr__, name, value)
        )
        if _is_set_by_code(type(self), name):
            change()  # the code's own assignments call this hook again
            _look_again(self, name, past_lock)
        else:  # also for an equal value: another thread may be about to set another one
            _report_change(change, self, name, {**attributes(self), name: value}, past_lock)

    return __setattr__


def _delattr(kind: Any, past_lock: bool) -> Any:
    before = vars(kind).get("__delattr__")

    def __delattr__(self: Any, name: str) -> None:
        change = partial(seen, before, self, name) if before else partial(seen, super(kind, self).__delattr__, name)
        if not listeners.concerns(self):
            change()
            _look_again(self, name, past_lock)
        else:
            own = {key: value for key, value in attributes(self).items() if key != name}
            _report_change(change, self, name, own, past_lock)

    return __delattr__


_BEFORE_LOCK = ("level", "_disable")
"""``logging`` waits for its lock after it has set one of these. So waiting for the lock here adds no deadlock."""


def _report_change(change: Change, changed: Any, name: str, attributes: dict[str, Any], past_lock: bool) -> None:
    if past_lock:
        listeners.make_change_past_lock(changed, change)
    else:
        listeners.make_change(changed, None if _is_special(name) else attributes, change, name in _BEFORE_LOCK)


def _look_again(changed: Any, name: str, past_lock: bool) -> None:
    """Report a change that has been made, if a key depends on the object now.

    Another thread may have begun to follow the object during the change.
    """
    if listeners.concerns(changed):
        _report_change(_nothing, changed, name, attributes(changed), past_lock)


def _nothing() -> None:
    return None


def _is_set_by_code(kind: type, name: str) -> bool:
    """Return whether a data descriptor sets the attribute, such as a property."""
    return not _is_special(name) and class_attribute(type(class_attribute(kind, name)), "__set__") is not NOT_FOUND


def _is_special(name: str) -> bool:
    """Return whether an attribute is no entry of the object's dict."""
    return name in ("__class__", "__dict__")


# ---- the cache of the root ----


class Cache(dict[Any, Any]):
    """The ``_cache`` of a root logger. ``logging`` clears it after each change of a level."""

    __slots__ = ()


def _clear_and_report(cache: Cache) -> None:
    try:
        listeners.clear_cache(partial(dict.clear, cache), sys._getframe(1).f_code is _CLEAR)
    except BaseException:
        caller = sys._getframe(1).f_code
        if caller is _CLEAR and "_releaseLock" in caller.co_names:
            # Up to 3.12 Manager._clear_cache leaves the lock taken when something raises in it.
            logging._lock.release()  # type: ignore[attr-defined]
        raise


Cache.clear = Unseen(_clear_and_report, dict.clear)  # type: ignore[method-assign]
_CLEAR = logging.Manager._clear_cache.__code__  # type: ignore[attr-defined]
_caches: list[ref[Any]] = []
"""The root loggers with a ``Cache``."""


def hook_cache(root: Any) -> bool:
    """Give a root logger a ``Cache``, and return whether it has one. The caller holds the lock of ``logging``.

    ``logging`` fills its caches under this lock. So no entry is lost.
    """
    cache = attributes(root).get("_cache")
    if type(cache) is Cache:
        return True
    if type(cache) is dict:
        object.__setattr__(root, "_cache", Cache(cache))
        _caches.append(ref(root))
    return type(attributes(root).get("_cache")) is Cache


# ---- the end ----


def unhook() -> None:
    """Take all hooks out. Leave what the program has put in their place. The caller holds the lock of ``logging``."""
    for kind, functions in _hooked.items():
        for name, (function, before) in functions.items():
            if vars(kind).get(name) is not function:
                continue
            if before is _MISSING:
                delattr(kind, name)
            else:
                setattr(kind, name, before)
    _hooked.clear()
    while _caches:
        root = _caches.pop()()
        if root is not None and type(attributes(root).get("_cache")) is Cache:
            object.__setattr__(root, "_cache", dict(attributes(root)["_cache"]))
