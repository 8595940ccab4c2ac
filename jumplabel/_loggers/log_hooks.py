"""How we hear that a logger changes: the little that is put into ``logging`` while keys are bound, and taken out again.

Every change that ``logging`` itself makes of a level ends with ``root._cache.clear()`` under its lock, so the cache of
the root is a dict of ours. What is set past that (``logger.disabled``, ``logger.level``, a mock in place of a method)
is heard of by ``__setattr__`` and ``__delattr__`` of the class.

What is to be done then, log_keys.py tells by ``listen``.
"""

import logging
import sys
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import ref

from jumplabel._program.looks import NOT_FOUND, attributes, first
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401
from jumplabel._program.unseen import Unseen, seen

Change = Callable[[], None]


class _Listeners:
    """Set by log_keys.py."""

    def __init__(self) -> None:
        self.concerns: Callable[[object], bool] = lambda changed: False
        self.through: Callable[[object, dict[str, Any] | None, Change, bool], None] = _just_do
        self.past_lock: Callable[[object, Change], None] = lambda changed, change: change()
        self.cleared: Callable[[Change, bool], None] = lambda clear, holds: clear()


def _just_do(changed: object, attributes: dict[str, Any] | None, change: Change, wait: bool) -> None:
    change()


listeners = _Listeners()

# ---- __setattr__ ----

_MISSING: Any = object()
_hooked: dict[type, dict[str, tuple[Any, Any]]] = {}
"""For each class what is in it of ours, by name, and what was."""


def hook(kind: type, past_lock: bool = False) -> bool:
    """From now on attributes of its objects that are set and deleted are heard of; unless somebody else saw to that.

    past_lock    who sets them may hold a lock that others take under that of ``logging``, which is not waited for then
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
    for name, (function, _) in _hooked[kind].items():  # no generator: each module that is imported comes here
        if space.get(name) is not function:
            return False
    return True


def _setattr(kind: Any, past_lock: bool) -> Any:
    before = vars(kind).get("__setattr__")

    def __setattr__(self: Any, name: str, value: Any) -> None:
        if not listeners.concerns(self):  # as while a logger is being made
            seen(before, self, name, value) if before else seen(super(kind, self).__setattr__, name, value)
            if listeners.concerns(self):  # another thread has just looked at it for the first time
                _make(_nothing, self, name, attributes(self), past_lock)
            return
        change = (
            partial(seen, before, self, name, value)
            if before
            else partial(seen, super(kind, self).__setattr__, name, value)
        )
        if _is_set_by_code(type(self), name):
            _look_again_after(change, self, name, past_lock)  # what that sets comes back here
        else:  # also the value that it has: another thread may be about to set another
            _make(change, self, name, {**attributes(self), name: value}, past_lock)

    return __setattr__


def _delattr(kind: Any, past_lock: bool) -> Any:
    before = vars(kind).get("__delattr__")

    def __delattr__(self: Any, name: str) -> None:
        change = partial(seen, before, self, name) if before else partial(seen, super(kind, self).__delattr__, name)
        if not listeners.concerns(self):
            _look_again_after(change, self, name, past_lock)
        else:
            own = {key: value for key, value in attributes(self).items() if key != name}
            _make(change, self, name, own, past_lock)

    return __delattr__


_BEFORE_LOCK = ("level", "_disable")
"""What ``logging`` sets before it takes its lock to clear the caches: so to wait for that here is nothing new."""


def _make(change: Change, changed: Any, name: str, attributes: dict[str, Any], past_lock: bool) -> None:
    if past_lock:
        listeners.past_lock(changed, change)
    else:
        listeners.through(changed, None if _is_special(name) else attributes, change, name in _BEFORE_LOCK)


def _look_again_after(change: Change, changed: Any, name: str, past_lock: bool) -> None:
    """Another thread may just be looking at it for the first time."""
    change()
    if listeners.concerns(changed):
        _make(_nothing, changed, name, attributes(changed), past_lock)


def _nothing() -> None:
    return None


def _is_set_by_code(kind: type, name: str) -> bool:
    """By a property, or what is like one."""
    return not _is_special(name) and first(type(first(kind, name)), "__set__") is not NOT_FOUND


def _is_special(name: str) -> bool:
    """Not an entry of the object's dict."""
    return name in ("__class__", "__dict__")


# ---- the cache of the root ----


class Cache(dict[Any, Any]):
    """A logger's ``_cache``, which has nothing in it after a change of any level."""

    __slots__ = ()


def _clear_cache(cache: Cache) -> None:
    caller = sys._getframe(1).f_code
    try:
        listeners.cleared(partial(dict.clear, cache), caller is _CLEAR)
    except BaseException:
        if caller is _CLEAR and "_releaseLock" in caller.co_names:
            logging._lock.release()  # type: ignore[attr-defined]  # up to 3.12 it is left locked by what raises
        raise


Cache.clear = Unseen(_clear_cache, dict.clear)  # type: ignore[method-assign]
_CLEAR = logging.Manager._clear_cache.__code__  # type: ignore[attr-defined]
_caches: list[ref[Any]] = []
"""The loggers that have one of ours: roots."""


def hook_cache(root: Any) -> bool:
    """Under the lock of ``logging``, as whoever fills a cache is."""
    cache = attributes(root).get("_cache")
    if type(cache) is Cache:
        return True
    if type(cache) is dict:
        object.__setattr__(root, "_cache", Cache(cache))
        _caches.append(ref(root))
    return type(attributes(root).get("_cache")) is Cache


# ---- the end ----


def unhook() -> None:
    """Everything is as it was, but what others have replaced since. Under the lock of ``logging``."""
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
