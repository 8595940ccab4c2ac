"""Which logger a key follows: by the names in a module, or by the logger itself. And the table of the bound keys.

A ``FollowedLogger`` looks the names up, and watches them for another value (name_watch.py). Everything here is read and
changed under the lock of ``logging``.
"""

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import ref

from jumplabel._keys.static_key import StaticKey, address
from jumplabel._loggers import change_hooks
from jumplabel._loggers.logging_state import LoggerStates
from jumplabel._program import looks, name_watch
from jumplabel._program.looks import NOT_FOUND
from jumplabel._program.name_watch import Watch
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401
from jumplabel._program.unseen import Unseen

Level = int | tuple[str, ...] | None


class _KeyRef(ref[StaticKey]):
    """A weak reference to a key that keeps the key's address."""

    __slots__ = ("address",)
    address: int


keys_gone: deque["int | _KeyRef"] = deque()
"""Keys that no longer exist and that ``forget_keys_gone`` has yet to forget: their addresses, or references to them."""


class FollowedLogger:
    """The logger of one key, and how it is found. Keeps the engine's part of the key, not the key.

    key_is_gone  called with the key's address when the key is deleted
    place        a weak reference to the module; without a path, to the logger
    path         the names that lead from the module to the logger
    level        as of ``LogKey``
    """

    def __init__(
        self,
        key: StaticKey,
        key_is_gone: Callable[[int, object], None],
        place: "ref[Any]",
        path: tuple[str, ...],
        method: str,
        level: Level,
    ) -> None:
        self.address = address(key)
        self.engine_key = key._key
        self.key = _KeyRef(key, Unseen(partial(key_is_gone, self.address), without_stack=keys_gone.append))
        self.key.address = self.address
        self.place = place
        self.path = path
        self.method = method
        self.level = level
        self.logger: Callable[[], Any] = nothing
        self.level_number: int | None = None
        self.depends: tuple[int, ...] = ()
        """The id() of the objects on whose attributes the key's state depends."""
        self.watches: tuple[Watch, ...] = ()

    def look_up(self) -> None:
        """Find what the names stand for now, and watch the names from now on."""
        place, number, watches = self.place(), self.level, []
        found = place if place is not None else NOT_FOUND
        if self.path and place is not None:
            found, depends = name_watch.find(place, self.path)
            if isinstance(self.level, tuple):
                number, more = name_watch.find(place, self.level)
                depends += more
            if not issubclass(type(found), logging.Logger | logging.LoggerAdapter):
                depends.append((place, "__name__"))
            for holder, name in depends:
                watch = name_watch.watch(holder, name, self.address, self.engine_key)
                if watch is None:
                    found = NOT_FOUND
                else:
                    watches.append(watch)
        if self.level is not None and type(number) is not int:
            found = NOT_FOUND
        try:
            self.logger = nothing if found is NOT_FOUND else ref(found)
        except TypeError:
            self.logger = nothing
        self.level_number = number if type(number) is int else None
        self._watch_only(tuple(watches))

    def _watch_only(self, watches: tuple[Watch, ...]) -> None:
        before, self.watches = self.watches, watches
        for watch in before:
            if not any(watch.number == other.number and watch.name == other.name for other in watches):
                name_watch.unwatch(watch, self.address)

    def let_go(self) -> None:
        """Follow nothing, and watch no names."""
        self.logger, self.level_number, self.depends = nothing, None, ()
        self._watch_only(())

    def may_act(self, states: LoggerStates) -> tuple[bool, tuple[int, ...]]:
        """Return whether the statement may do something, and on which objects' attributes that depends."""
        logger = self.logger()
        if logger is None:
            return True, ()
        module = self.place()
        name = looks.name_of(module) if self.path and module is not None else ""
        return states.may_act(logger, self.method, self.level_number, name or None)


def nothing() -> None:
    return None


bound: dict[int, FollowedLogger] = {}
"""The bound keys, by address."""
concerned: set[int] = set()
"""The id() of objects on whose attributes keys depend or depended. It only grows, until no key is bound."""


def depending_on(changed: object) -> list[FollowedLogger]:
    """Return the bound keys whose state depends on attributes of an object."""
    return [followed for followed in list(bound.values()) if id(changed) in followed.depends]


def key_at(its_address: int) -> StaticKey | None:
    followed = bound.get(its_address)
    return followed.key() if followed is not None else None


def forget(its_address: int) -> None:
    """Have a key follow nothing any more."""
    followed = bound.pop(its_address, None)
    name_watch.everything.pop(its_address, None)
    if followed is not None:
        followed.let_go()


def forget_keys_gone() -> None:
    """Forget the keys that no longer exist. After the last key, take out all hooks and watches."""
    while keys_gone:
        one = keys_gone.popleft()
        forget(one if isinstance(one, int) else one.address)
    if not bound:
        name_watch.forget_classes()
        change_hooks.unhook()
        concerned.clear()
