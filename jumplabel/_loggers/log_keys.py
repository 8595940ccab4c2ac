"""``LogKey``: on exactly while a call of a logger's method would do something.

A key that is on is always right: the statement behind it runs, and asks its logger itself. A key that is off is a
promise that the statement would have done nothing but evaluate its arguments. So keys are turned on before a change,
and off when it has been made.

What is here: which key follows what, and the one way to turn them. What a logger would do is log_state.py's, how we
hear of changes log_hooks.py's and name_watch.py's.

All of it is under the lock of ``logging``, which is taken before the engine's mutex, and survives a fork. Signal
handlers, and what the interpreter does between two instructions, may come back here in the middle of it, so states are
worked out again where something has changed meanwhile (``turn``).
"""

import logging
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from operator import attrgetter
from types import ModuleType
from typing import Any, NoReturn, TypeVar
from weakref import WeakValueDictionary, ref

from jumplabel._bytecode import plan_sites
from jumplabel._engine import ffi
from jumplabel._keys import registry
from jumplabel._keys.static_key import FollowingKey, address
from jumplabel._keys.toggles import Toggle, callbacks, changes_of, new_report, tell_all, tell_elsewhere
from jumplabel._keys.transactions import patch_error
from jumplabel._loggers import log_hooks, log_others  # noqa: F401
from jumplabel._loggers.log_state import DECISIVE, LEVELS, METHODS, Look
from jumplabel._program import looks, name_watch
from jumplabel._program.looks import NOT_FOUND
from jumplabel._program.name_watch import Watch
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401
from jumplabel._program.printing import printable
from jumplabel._program.unseen import Unseen
from jumplabel.errors import StaticKeyError

R = TypeVar("R")
Level = int | tuple[str, ...] | None


class LogKey(FollowingKey):
    """A key that follows a logger: on, unless a call of its method would do nothing but evaluate its arguments.

    name    what ``jumplabel.key()`` finds it by; where a living key has it already, " (2)" is added, and so on
    module  in whose variables the logger is found; not kept alive
    path    how: ``("logger",)``, ``("log", "logger")``; a variable, and then attributes of modules and classes
    method  what the statement calls: ``"debug"`` to ``"critical"``, ``"exception"``, ``"log"``, ``"isEnabledFor"``
    level   of the last two: a number, or a path to one, such as ``("logging", "DEBUG")``

    It is on, and follows nothing, until ``bind``. It cannot be toggled or overridden. Its toggles do not wait for the
    end of a ``batch()``: what is logged behind ``setLevel`` is logged. Any thread may make and use it.

    Raises StaticKeyError for a method, path or level that is none, and for a name that StaticKey refuses.
    """

    __slots__ = ("_follows",)
    _follows: "_Follows"

    def __init__(self, name: str, module: ModuleType, path: tuple[str, ...], method: str, level: Level = None) -> None:
        what = f"LogKey {name!r}"
        if not isinstance(module, ModuleType):
            raise StaticKeyError(f"{what}: module is the module that names the logger, not {module!r}")
        if not _is_path(path):
            raise StaticKeyError(f"{what}: path is a tuple of names such as ('logger',), not {path!r}")
        _check_method(what, method, level)
        self._make(name, ref(module), path, method, level)

    def _make(self, name: str, place: "ref[Any]", path: tuple[str, ...], method: str, level: Level) -> None:
        with registry.lock:
            self._become(registry.free_name(name), default=True, deferred=0, doc=None, place=None)
        self._follows = _Follows(self, place, path, method, level)

    @classmethod
    def of(cls, logger: logging.Logger, method: str, level: int | None = None, wait: bool = True) -> "LogKey":
        """The key for a logger that has no name to be found by; one for all who ask for the same, while any keeps it.

        It is on until ``bind``. It does not keep the logger alive. Raises StaticKeyError for a method or level that is
        none, and for what no weak reference can be made to; without ``wait``, BusyError while another thread has the
        lock of ``logging``.
        """
        what = "LogKey.of"  # nothing is asked of the logger, whose class may be the program's
        _check_method(what, method, level)
        if isinstance(level, tuple):
            raise StaticKeyError(f"{what}: level is a number, not {level!r}")
        try:
            place = ref(logger)
        except TypeError as error:
            kind = looks.name_of(type(logger))
            raise StaticKeyError(f"{what}: this {kind} is no logger that can be followed") from error

        taken = []

        def shared(made: LogKey | None) -> LogKey | None:
            taken.append(True)
            key = _shared.get((id(logger), method, level))
            if key is None or key._follows.place() is not logger:
                key = made
                if made is not None:
                    _shared[id(logger), method, level] = made
            return key

        key = _exclusively(shared, None, wait=wait)
        if key is None and not taken:
            raise BusyError
        if key is None:  # made without the lock: to name it takes another one, whose owner may just want to log
            made = cls.__new__(cls)
            of_level = "" if level is None else f":{level}"
            name = printable(looks.text(looks.attributes(logger).get("name")))
            made._make(f"logging.({name}).{method}{of_level}", place, (), method, level)
            key = _exclusively(shared, made, wait=wait)
        if key is None:
            raise BusyError
        return key

    def _refuse(self) -> NoReturn:
        logger = self._follows.found()
        name = looks.text(looks.attributes(logger).get("name"))
        if issubclass(type(logger), logging.Logger) and name:
            raise StaticKeyError(
                f"{self!r} follows logger {name!r}; call logging.getLogger({name!r}).setLevel(...) instead"
            )
        path = ".".join(self._follows.path)
        raise StaticKeyError(f"{self!r} follows the logger that {path!r} stands for; change the level of that instead")

    def override(self, enabled: bool) -> NoReturn:
        self._refuse()


plan_sites.NOT_KEPT.append(LogKey)


class BusyError(Exception):
    """Another thread has the lock of ``logging``."""


_shared: WeakValueDictionary[tuple[int, str, Level], LogKey] = WeakValueDictionary()


def _is_path(path: object) -> bool:
    return isinstance(path, tuple) and bool(path) and all(type(name) is str for name in path)


def _check_method(what: str, method: str, level: Level) -> None:
    if method not in METHODS:
        raise StaticKeyError(f"{what}: method is one of {', '.join(METHODS)}, not {method!r}")
    if method in LEVELS:
        if level is not None:
            raise StaticKeyError(f"{what}: {method}() has a level of its own, so level must be None, not {level!r}")
    elif type(level) is not int and not _is_path(level):
        raise StaticKeyError(f"{what}: level of {method}() is a number or a path to one, not {level!r}")


# ---- which key follows what ----


class _KeyRef(ref[LogKey]):
    """A key's, which knows where that was."""

    __slots__ = ("address",)
    address: int


_left: deque["int | _KeyRef"] = deque()
"""The addresses of keys that are gone, but are not forgotten yet."""


class _Follows:
    """What a key follows. It keeps the engine's part of the key, not the key."""

    def __init__(self, key: LogKey, place: "ref[Any]", path: tuple[str, ...], method: str, level: Level) -> None:
        self.address = address(key)
        self.engine_key = key._key
        self.key = _KeyRef(key, Unseen(partial(_key_is_gone, self.address), without_stack=_left.append))
        self.key.address = self.address
        self.place = place  # the module; with no path, the logger
        self.path = path
        self.method = method
        self.level = level
        self.found: Callable[[], Any] = _nothing
        self.number: int | None = None  # the level
        self.depends: tuple[int, ...] = ()  # on the attributes of these objects
        self.watches: tuple[Watch, ...] = ()

    def look_up(self) -> None:
        """What the names stand for now; from now on, changes of them are heard of."""
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
            self.found = _nothing if found is NOT_FOUND else ref(found)
        except TypeError:
            self.found = _nothing
        self.number = number if type(number) is int else None
        self._watch_only(tuple(watches))

    def _watch_only(self, watches: tuple[Watch, ...]) -> None:
        before, self.watches = self.watches, watches
        for watch in before:
            if not any(watch.number == other.number and watch.name == other.name for other in watches):
                name_watch.unwatch(watch, self.address)

    def let_go(self) -> None:
        self.found, self.number, self.depends = _nothing, None, ()
        self._watch_only(())

    def may_act(self, look: Look) -> tuple[bool, tuple[int, ...]]:
        found = self.found()
        if found is None:
            return True, ()
        module = self.place()
        name = looks.name_of(module) if self.path and module is not None else ""
        return look.may_act(found, self.method, self.number, name or None)


def _nothing() -> None:
    return None


_bound: dict[int, _Follows] = {}
"""By the address of their keys."""
_concerned: set[int] = set()
"""The id() of objects on whose attributes keys depend, or did. It only grows, while a key is bound."""
_untold: list[Callable[[], list[Toggle]]] = []
"""What was turned, and is told when we are through."""
_depth = 0
"""How often we are here, under the lock."""


def _exclusively(
    work: Callable[..., R], *arguments: Any, wait: bool = True, tell: bool = True, held: int = 0
) -> R | None:
    """Do it under the lock; what is turned meanwhile is told behind it.

    wait    for the lock; where it is not free, and this says no, nothing is done, and None returned
    tell    in this thread, unless it holds the lock of ``logging`` more often than ``held``: then others may wait for
            it who have what the callbacks need, and a thread of ours tells
    """
    global _depth
    toggles: list[Toggle] = []
    lock = logging._lock  # type: ignore[attr-defined]
    tell = tell and (not callbacks or _times_held(lock) <= held)
    taken = False
    try:
        for taken in map(lock.acquire, (wait,)):  # behind a call a signal handler might raise before we know
            if not taken:
                return None
            _depth += 1
            try:
                if name_watch.turned and _depth == 1:
                    toggles += _turned()
                result = work(*arguments)
                if name_watch.touched and _depth == 1:  # of whoever found the lock taken
                    _bring_up_to_date([])
                return result
            finally:
                try:
                    if _depth == 1:
                        for made in _popped(_untold):
                            toggles += made()
                        _forget_those_left()
                finally:
                    _depth -= 1  # a signal handler may have raised
    finally:
        if taken:
            lock.release()
        if toggles and callbacks:
            _tell(toggles, lock) if tell else tell_elsewhere(toggles)
    return None


def _times_held(lock: Any) -> int:
    """How often this thread has taken it."""
    if not lock._is_owned():
        return 0
    count = re.search(r"\bcount=(\d+)", repr(lock))
    return int(count[1]) if count else 100


def _tell(toggles: list[Toggle], lock: Any) -> None:
    """``Manager._clear_cache`` may have the lock, and is done with it."""
    if not lock._is_owned():
        tell_all(toggles)
        return
    state = None
    try:
        for state in map(type(lock)._release_save, (lock,)):  # noqa: B007
            tell_all(toggles)
    finally:
        if state is not None:
            lock._acquire_restore(state)


def _key_is_gone(its_address: int, _: object, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
    """Anywhere, as the collector runs: so nothing changes under the feet of whoever is here, and nobody waits."""
    if is_finalizing():  # the interpreter empties modules as it ends
        return
    _left.append(its_address)
    _exclusively(_nothing, wait=False, tell=False)


def _forget_those_left() -> None:
    while _left:
        one = _left.popleft()
        _forget(one if isinstance(one, int) else one.address)
    if not _bound:
        name_watch.forget_classes()
        log_hooks.unhook()
        _concerned.clear()


def _forget(its_address: int) -> None:
    follows = _bound.pop(its_address, None)
    name_watch.everything.pop(its_address, None)
    if follows is not None:
        follows.let_go()


# ---- to turn them ----


def bind(keys: Iterable[LogKey], wait: bool = True) -> None:
    """Have the keys follow their loggers from now on, and turn them as those are now, in one transaction.

    A key whose logger is not found stays on, and so does one of what is no logger that we know, until the name stands
    for another one. It is fine to bind keys again. Takes effect at once, within a ``batch()`` too. From any thread.

    Raises PatchError where the sites cannot be rewritten; the keys are bound then, and the next change makes up for it.
    Without ``wait``, BusyError, with nothing bound, while another thread has the lock of ``logging``.
    """
    found = _follows_of("bind", keys)

    def work() -> bool:
        for follows in found:
            _bound[follows.address] = follows
            name_watch.everything[follows.address] = follows.engine_key
            name_watch.touched.add(follows.address)
        _bring_up_to_date([])
        return True

    if not _exclusively(work, wait=wait):
        raise BusyError


def unbind(keys: Iterable[LogKey]) -> None:
    """Turn the keys on, and have them follow nothing any more; keys that are not bound stay as they are.

    Takes effect as ``bind``. Raises PatchError where the sites cannot be rewritten; nothing has changed then.
    """
    found = _follows_of("unbind", keys)

    def work() -> None:
        _turn(lambda: ([follows.address for follows in found if not follows.engine_key.enabled], []))
        for follows in found:
            _forget(follows.address)

    _exclusively(work)


def _follows_of(what: str, keys: Iterable[LogKey]) -> list[_Follows]:
    keys = list(keys)
    for key in keys:
        if not isinstance(key, LogKey):
            raise StaticKeyError(f"{what}() takes LogKeys, not {key!r}")
    return [key._follows for key in keys]


def _turn_if(changes: int, on: list[int], off: list[int]) -> int:
    """name_watch.turn(), to be told of."""
    if not callbacks:
        return int(name_watch.turn(changes, on, off))
    keys = [key for address in (*on, *off) if (key := _key_at(address)) is not None]
    report = new_report(len(on) + len(off))
    _untold.append(partial(changes_of, report, keys))  # first: a signal handler may raise behind the call
    return int(name_watch.turn(changes, on, off, int(ffi.cast("uintptr_t", report))))


def _turned() -> list[Toggle]:
    """The keys that were turned on in the middle of a change, where nobody can be told."""
    found = [(_key_at(address), sites, nanoseconds) for address, sites, nanoseconds in _popped(name_watch.turned)]
    return [Toggle(key, False, True, sites, nanoseconds) for key, sites, nanoseconds in found if key is not None]


def _key_at(its_address: int) -> LogKey | None:
    follows = _bound.get(its_address)
    return follows.key() if follows is not None else None


def _popped(items: list[R]) -> list[R]:
    taken = items[:]
    del items[: len(taken)]  # others may have come meanwhile
    return taken


def _turn(work_out: Callable[[], tuple[list[int], list[int]]]) -> int:
    """Work out which keys are to be on and off, again if something changes meanwhile, and turn them.

    Returns the number of changes that this takes into account.
    """
    error = name_watch.STALE
    while error == name_watch.STALE:
        before: int = name_watch.changes()
        error = _turn_if(before, *work_out())
    if error:
        raise patch_error(error, "the keys of loggers")
    return before


def _bring_up_to_date(some: list[_Follows] | None) -> None:
    """Turn the keys as their loggers are now: these, and those whose names have changed; None: all."""
    looked_up = [] if some is None else list(some)
    try:
        _turn(partial(_as_they_are, looked_up, some is None))
    except BaseException:
        name_watch.touched.update(map(attrgetter("address"), looked_up))  # the next one makes up for it
        raise


def _as_they_are(some: list[_Follows], all_of_them: bool) -> tuple[list[int], list[int]]:
    for its_address in list(name_watch.touched):
        follows = _bound.get(its_address)
        if follows is not None:
            some.append(follows)  # for the next time, too, if there is one; first: a signal handler may raise
        name_watch.touched.discard(its_address)
        if follows is not None:
            follows.look_up()
    look = Look(_concerned)
    result = _compare(list(_bound.values()) if all_of_them else some, look)
    if name_watch.watch_classes(look.kinds, DECISIVE):
        name_watch.changed()  # what they had may have changed before that
    return result


def _compare(some: list[_Follows], look: Look) -> tuple[list[int], list[int]]:
    """Which are to be turned on, and which off."""
    on: list[int] = []
    off: list[int] = []
    for follows in some:
        may_act, follows.depends = follows.may_act(look)
        if may_act != follows.engine_key.enabled:
            (on if may_act else off).append(follows.address)
    return on, off


def _through(changed: object, attributes: dict[str, Any] | None, change: Callable[[], None], wait: bool) -> None:
    """Make a change of an object: before it, turn on what it turns on, and after it, off the others.

    attributes    that the object will have, as far as we can tell
    wait          for the lock; or else it is made past that where it is taken
    """

    def work() -> bool:
        affected = _affected(changed)
        before = [follows.depends for follows in affected]
        after = before
        off: list[int] = []

        def work_out() -> tuple[list[int], list[int]]:
            nonlocal after, off
            if attributes is None:
                return [follows.address for follows in affected], []
            on, off = _compare(affected, Look(_concerned, changed, attributes))
            after = [follows.depends for follows in affected]
            for follows, depends in zip(affected, before, strict=True):
                follows.depends += depends  # until it is done
            return on, []

        name_watch.changed()
        expected = _turn(work_out)
        done = False
        try:
            change()
            done = attributes is not None and _are_the_same(looks.attributes(changed), attributes)
        finally:
            now = _affected(changed)  # another thread, or a signal handler, may have had a name stand for it meanwhile
            if not done or now != affected or _turn_if(expected, [], off):
                _bring_up_to_date(list(dict.fromkeys(affected + now)))
            else:
                for follows, depends in zip(affected, after, strict=True):
                    follows.depends = depends
        return True

    # A handler that sets attributes has a lock which whoever has that of logging may wait for.
    if not _exclusively(work, wait=wait):
        _past_lock(changed, change)


def _affected(changed: object) -> list[_Follows]:
    return [follows for follows in list(_bound.values()) if id(changed) in follows.depends]


def _are_the_same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(one[name] is other[name] for name in other)


def _past_lock(changed: object, change: Callable[[], None]) -> None:
    """The same, where we must not wait for the lock: turn all on that it concerns, and look when the lock is free."""

    def go_on() -> None:
        affected = _affected(changed)
        name_watch.touched.update(follows.address for follows in affected)
        name_watch.changed()
        _turn(lambda: ([follows.address for follows in affected if not follows.engine_key.enabled], []))

    go_on()
    try:
        change()
    finally:
        go_on()  # somebody may have worked it out meanwhile
        _settle()


def _clear(clear: Callable[[], None], is_held: bool) -> None:
    """The cache of a root is cleared: some level may be another one. Whoever does so may have taken the lock for it."""

    def work() -> None:
        clear()
        name_watch.changed()
        _bring_up_to_date(None)

    _exclusively(work, held=int(is_held))


def _rebind(keys: dict[int, Any], change: Callable[[], None]) -> None:
    """Change what a name of these keys stands for, where that is heard of by a module's ``__setattr__``."""

    def work() -> None:
        addresses = list(keys)
        _turn(lambda: ([each for each in addresses if each in _bound and not _bound[each].engine_key.enabled], []))
        name_watch.touched.update(addresses)  # first, too: a signal handler may raise behind the change
        try:
            change()
        finally:
            name_watch.touched.update(addresses)
            name_watch.changed()
            _bring_up_to_date([])

    _exclusively(work)


def _settle() -> None:
    """Names have changed, and their keys are on. Where another thread has the lock they stay so until it is here."""
    _exclusively(_bring_up_to_date, [], wait=False, tell=False)


log_hooks.listeners.concerns = lambda thing: id(thing) in _concerned
log_hooks.listeners.through = _through
log_hooks.listeners.past_lock = _past_lock
log_hooks.listeners.cleared = _clear
name_watch.listeners.settle = _settle
name_watch.listeners.through = _rebind
