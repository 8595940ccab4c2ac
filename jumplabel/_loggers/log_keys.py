"""``LogKey``: a key that is on exactly while a call of a logger's method would do something.

A key that is on is always right: its statement runs, and asks its logger itself. A key that is off is a promise: the
statement would have done nothing but evaluate its arguments. So keys turn on before a change of a logger, and off
after it.

Other files of this room have the rest: which logger a key follows (followed_loggers.py), what that logger would do
(logging_state.py), how changes are heard (change_hooks.py) and what they do to the keys (logger_changes.py).
"""

import logging
from collections.abc import Iterable
from types import ModuleType
from typing import Any, NoReturn
from weakref import WeakValueDictionary, ref

from jumplabel._bytecode import plan_sites
from jumplabel._keys import registry
from jumplabel._keys.static_key import FollowingKey
from jumplabel._loggers import logger_changes, loguru_state, structlog_state  # noqa: F401  # each registers itself
from jumplabel._loggers.followed_loggers import FollowedLogger, Level, bound, forget
from jumplabel._loggers.logging_lock import exclusively, key_is_gone
from jumplabel._loggers.logging_state import LEVELS, METHODS
from jumplabel._loggers.turn_keys import bring_up_to_date, turn
from jumplabel._program import looks, name_watch
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401
from jumplabel._program.printing import printable
from jumplabel.errors import StaticKeyError


class LogKey(FollowingKey):
    """A key that follows a logger. It is off while a call of the method would do nothing but evaluate its arguments.

    name    for ``jumplabel.key()``. Where a living key has this name, " (2)" is added, then " (3)" and so on
    module  the module in whose variables the logger is found. The key does not keep it alive
    path    a variable of the module, then attributes of modules and classes: ``("logger",)``, ``("log", "logger")``
    method  the method that the statement calls: ``"debug"`` to ``"critical"``, ``"exception"``, ``"log"`` or
            ``"isEnabledFor"``
    level   of ``log`` and ``isEnabledFor``: a number, or a path to a number, such as ``("logging", "DEBUG")``

    The key is on, and follows nothing, until ``bind``. It cannot be toggled or overridden. Its toggles take effect at
    once, within a ``batch()`` too: a statement after ``setLevel`` logs. Any thread may make and use it.

    Raises StaticKeyError for a wrong method, path or level, and for a name that StaticKey refuses.
    """

    __slots__ = ("_followed",)
    _followed: FollowedLogger

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
        self._followed = FollowedLogger(self, key_is_gone, place, path, method, level)

    @classmethod
    def of(cls, logger: logging.Logger, method: str, level: int | None = None, wait: bool = True) -> "LogKey":
        """Return the key for a logger that no name leads to: for a logger, method and level there is one key.

        wait  for the lock of ``logging``. Without it, raises BusyError while another thread has the lock

        The key is on until ``bind``. It does not keep the logger alive. Raises StaticKeyError for a wrong method or
        level, and for an object without weak references. Reads only the logger's class and name, without the program's
        code.
        """
        what = "LogKey.of"
        _check_method(what, method, level)
        if isinstance(level, tuple):
            raise StaticKeyError(f"{what}: level is a number, not {level!r}")
        try:
            place = ref(logger)
        except TypeError as error:
            kind = looks.name_of(type(logger))
            raise StaticKeyError(f"{what}: this {kind} is no logger that can be followed") from error

        def shared(made: LogKey | None) -> tuple[LogKey | None]:
            key = _shared.get((id(logger), method, level))
            if key is None or key._followed.place() is not logger:
                key = made
                if made is not None:
                    _shared[id(logger), method, level] = made
            return (key,)

        found = exclusively(shared, None, wait=wait)
        if found == (None,):
            # Made without the lock of logging: its name takes the lock of the registry. The thread that has that one
            # may be about to log.
            made = cls.__new__(cls)
            of_level = "" if level is None else f":{level}"
            name = printable(looks.text(looks.attributes(logger).get("name")))
            made._make(f"logging.({name}).{method}{of_level}", place, (), method, level)
            found = exclusively(shared, made, wait=wait)
        key = found[0] if found is not None else None
        if key is None:
            raise BusyError
        return key

    def _refuse(self) -> NoReturn:
        logger = self._followed.logger()
        name = looks.text(looks.attributes(logger).get("name"))
        if issubclass(type(logger), logging.Logger) and name:
            raise StaticKeyError(
                f"{self!r} follows logger {name!r}; call logging.getLogger({name!r}).setLevel(...) instead"
            )
        path = ".".join(self._followed.path)
        raise StaticKeyError(f"{self!r} follows the logger that {path!r} stands for; change the level of that instead")

    def override(self, enabled: bool) -> NoReturn:
        self._refuse()


plan_sites.NOT_IN_SNAPSHOTS.append(LogKey)


class BusyError(Exception):
    """Another thread has the lock of ``logging``."""


_shared: WeakValueDictionary[tuple[int, str, Level], LogKey] = WeakValueDictionary()
"""The keys that ``LogKey.of`` has made, by the id() of the logger, the method and the level."""


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


def bind(keys: Iterable[LogKey], wait: bool = True) -> None:
    """Have the keys follow their loggers from now on, and turn them as the loggers are now, in one transaction.

    wait  for the lock of ``logging``. Without it, raises BusyError, with nothing bound, while another thread has it

    A key stays on while its names lead to no logger, or to a logger of an unknown kind. Keys may be bound again. Takes
    effect at once, within a ``batch()`` too. Any thread may call this.

    Raises PatchError where the sites cannot be rewritten. The keys are bound then, and the next change makes up for it.
    """
    found = _followed_by("bind", keys)

    def work() -> bool:
        for followed in found:
            bound[followed.address] = followed
            name_watch.everything[followed.address] = followed.engine_key
            name_watch.to_look_up.add(followed.address)
        bring_up_to_date([])
        return True

    if not exclusively(work, wait=wait):
        raise BusyError


def unbind(keys: Iterable[LogKey]) -> None:
    """Turn the keys on, and have them follow nothing any more. Keys that are not bound stay as they are.

    Takes effect as ``bind``. Any thread may call this. Raises PatchError where the sites cannot be rewritten. Nothing
    has changed then.
    """
    found = _followed_by("unbind", keys)

    def work() -> None:
        turn(lambda: ([followed.address for followed in found if not followed.engine_key.enabled], []))
        for followed in found:
            forget(followed.address)

    exclusively(work)


def _followed_by(what: str, keys: Iterable[LogKey]) -> list[FollowedLogger]:
    keys = list(keys)
    for key in keys:
        if not isinstance(key, LogKey):
            raise StaticKeyError(f"{what}() takes LogKeys, not {key!r}")
    return [key._followed for key in keys]
