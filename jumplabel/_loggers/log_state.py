"""Would a call of a logger's method do nothing? Looks, and runs no code of anybody's; in doubt: no.

Knows how ``logging.Logger`` and ``logging.LoggerAdapter`` answer, from CPython 3.11 to 3.15: a logger of which
something is replaced that answers before the level is compared, in the object, its class, or ``logging`` itself, may
do something.
"""

import logging
from collections.abc import Callable
from itertools import takewhile
from typing import Any

from jumplabel._engine import ffi, lib
from jumplabel._loggers import log_hooks
from jumplabel._program import looks
from jumplabel._program.looks import mro
from jumplabel._program.name_watch import HEARS_ALL
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401

LEVELS = {
    **{"debug": "DEBUG", "info": "INFO", "warning": "WARNING", "error": "ERROR"},
    **{"critical": "CRITICAL", "exception": "ERROR"},
}
METHODS = (*LEVELS, "log", "isEnabledFor")
"""What a LogKey may stand for."""

_CALLED = frozenset((*METHODS, "getEffectiveLevel"))
_DATA = ("disabled", "_cache", "level", "parent", "__class__")
_SPECIAL = ("__getattribute__", "__setattr__", "__delattr__", "__bool__", "__len__", "__dict__", "__getattr__")
_ELSEWHERE = ("_log", "bind", "__init__", "__new__")  # log_others.py
DECISIVE = (*_CALLED, *_DATA, *_SPECIAL, *_ELSEWHERE, "manager", "logger", "disable", "_clear_cache")
"""The names in the classes of loggers that decide."""

# What the functions name that decide, in all versions that we know. With another name they are not those.
_NAMES = {
    **{method: {"isEnabledFor", level, "_log"} for method, level in LEVELS.items()},
    "exception": {"error"},
    "log": {"isinstance", "int", "raiseExceptions", "TypeError", "isEnabledFor", "_log"},
    "isEnabledFor": {
        *("disabled", "_cache", "KeyError", "_acquireLock", "_releaseLock", "_lock"),
        *("manager", "disable", "getEffectiveLevel"),
    },
    "getEffectiveLevel": {"level", "parent", "NOTSET"},
    "_clear_cache": {
        *("_acquireLock", "_releaseLock", "_lock", "loggerDict", "values", "isinstance", "Logger", "_cache"),
        *("clear", "root"),
    },
}
_ADAPTER_NAMES = {
    **{method: {"log", level} for method, level in LEVELS.items()},
    "log": {"isEnabledFor", "process", "logger", "log"},
    "isEnabledFor": {"logger", "isEnabledFor"},
}


def _own(kind: type, names: dict[str, set[str]]) -> dict[str, Any]:
    """The class's own functions, as far as they are those that we know; nothing is None, so None is for the others."""
    found: dict[str, Any] = {}
    for name, known in names.items():
        code = getattr(vars(kind).get(name), "__code__", None)
        genuine = code is not None and known.issuperset(code.co_names) and code.co_filename == _FILE
        found[name] = vars(kind)[name] if genuine else None
    return found


_FILE = logging.Logger.__init__.__code__.co_filename
_LOGGER = _own(logging.Logger, {name: names for name, names in _NAMES.items() if name != "_clear_cache"})
_ADAPTER = _own(logging.LoggerAdapter, _ADAPTER_NAMES)
_CLEAR_CACHE = _own(logging.Manager, {"_clear_cache": _NAMES["_clear_cache"]})["_clear_cache"]
_DISABLE = vars(logging.Manager).get("disable")
_GENERATIONS = 1000
"""More ancestors than any logger has, if they are not its descendants, too."""


Answer = tuple[bool, tuple[int, ...]]
"""Whether a call may do something, and the id() of the objects on whose attributes that depends."""


class Look:
    """What loggers would do now; or if one object had other attributes than it has.

    concerned              the id() of objects is added here before anything is read from them
    changed, attributes    the object, and what it would have

    Hooks what it meets, so that changes of it are heard of from then on. To be used under the lock of ``logging``, for
    an instant.
    """

    def __init__(self, concerned: set[int], changed: object = None, attributes: dict[str, Any] | None = None) -> None:
        self._concerned = concerned
        self._changed = changed
        self._instead = attributes
        self._managers: dict[int, dict[str, Any] | None] = {}
        self._kinds: dict[tuple[int, type], bool] = {}
        self._levels: dict[int, tuple[int | None, tuple[int, ...]]] = {}
        self._answers: dict[tuple[int, int], tuple[bool, tuple[int, ...], object]] = {}
        self.kinds: dict[int, type] = {}
        """The classes that had a say, by id()."""

    def may_act(self, found: object, method: str, level: int | None, module_name: str | None) -> Answer:
        """Whether a method of an object may, with a level where that is an argument; and whose attributes decide that.

        module_name    the ``__name__`` of the module that calls it, if that is known
        """
        kind = type(found)
        number = vars(logging).get(LEVELS[method]) if method in LEVELS else level
        if type(number) is not int:
            return True, ()
        if issubclass(kind, logging.Logger):
            return self._logger(found, number)
        if issubclass(kind, logging.LoggerAdapter):
            return self._adapter(found, number, 0)
        for look in others:
            answer = look(self, found, method, level, module_name)
            if answer is not None:
                return answer
        return True, ()

    def attributes(self, thing: object) -> dict[str, Any]:
        """The object's own, not its class's."""
        self._concerned.add(id(thing))
        if self._instead is not None and thing is self._changed:
            return self._instead
        return looks.attributes(thing)

    def _own(self, thing: object) -> dict[str, Any]:
        """Return ``attributes`` of a logger or manager whose class is plain; in fewer steps."""
        self._concerned.add(id(thing))
        if self._instead is not None and thing is self._changed:
            return self._instead
        own: dict[str, Any] = (_own_of_manager if type(thing) is logging.Manager else _own_of_logger)(thing)
        return own

    def _logger(self, logger: Any, level: int) -> Answer:
        known = self._answers.get((id(logger), level))
        if known is not None:
            return known[:2]
        effective, line = self._effective(logger)
        own = {} if effective is None else self._own(logger)
        manager = None if effective is None else own.get("manager", vars(logging.Logger).get("manager"))
        of_manager = self._of_manager(manager)
        depends = line if of_manager is None else (*line, id(manager), id(of_manager["root"]))
        may_act = effective is None or of_manager is None or self._enabled(own, of_manager, effective, level)
        self._answers[id(logger), level] = may_act, depends, logger
        return may_act, depends

    def _enabled(self, own: dict[str, Any], of_manager: dict[str, Any], effective: int, level: int) -> bool:
        disabled, cache = own.get("disabled"), own.get("_cache")
        if type(disabled) not in (bool, int) or cache is None or type(cache) not in (dict, log_hooks.Cache):
            return True
        if disabled:
            return False
        # What the cache says against the level, which was set past setLevel(), holds until somebody clears the cache.
        stale = cache.get(level, False)
        return stale is not False or (level > of_manager["_disable"] and level >= effective)

    def _of_manager(self, manager: Any) -> dict[str, Any] | None:
        """Its attributes; None for one that we do not know."""
        if id(manager) not in self._managers:
            self._managers[id(manager)] = self._own(manager) if self._is_known(manager) else None
        return self._managers[id(manager)]

    def _is_known(self, manager: Any) -> bool:
        kind = vars(logging.Manager)
        if type(manager) is not logging.Manager or kind.get("disable") is not _DISABLE or not _CLEAR_CACHE:
            return False
        self.note_kinds(logging.Manager)
        hooked = log_hooks.hook(logging.Manager)
        own = self._own(manager)
        root = own.get("root")
        return (
            hooked
            and kind.get("_clear_cache") is _CLEAR_CACHE
            and type(own.get("_disable")) is int
            and "_clear_cache" not in own
            and self._is_plain(type(root), logging.Logger, _LOGGER, _DATA)
            and log_hooks.hook_cache(root)
        )

    def _effective(self, logger: Any) -> tuple[int | None, tuple[int, ...]]:
        """Its effective level, None for one that asks others; and the loggers which say so."""
        known = self._levels.get(id(logger))
        if known is not None:
            return known
        line: list[int] = []
        effective: int | None = 0
        one = logger
        while one is not None:
            line.append(id(one))
            if not self._is_plain(type(one), logging.Logger, _LOGGER, _DATA):
                effective = None
                break
            own = self._own(one)
            effective = own.get("level")
            if not _CALLED.isdisjoint(own) or "parent" not in own or len(line) > _GENERATIONS:
                effective = None
            if type(effective) is not int:
                effective = None
                break
            if effective:
                break
            one = own["parent"]
        self._levels[id(logger)] = effective, tuple(line)
        return effective, tuple(line)

    def _adapter(self, adapter: Any, level: int, depth: int) -> Answer:
        depends = (id(adapter),)
        if depth > 20 or not self._is_plain(type(adapter), logging.LoggerAdapter, _ADAPTER, ("logger",)):
            return True, depends
        own = self.attributes(adapter)
        if not _CALLED.isdisjoint(own) or "logger" not in own:
            return True, depends
        inner = own["logger"]
        if issubclass(type(inner), logging.Logger):
            answer, more = self._logger(inner, level)
        elif issubclass(type(inner), logging.LoggerAdapter):
            answer, more = self._adapter(inner, level, depth + 1)
        else:
            return True, depends
        return answer, depends + more

    def _is_plain(self, kind: type, base: type, own: dict[str, Any], attributes: tuple[str, ...]) -> bool:
        """Whether the class leaves to the base what decides, with nothing between us and its objects' attributes."""
        if not issubclass(kind, base):
            return False
        known = self._kinds.get((id(kind), base))
        if known is None:
            kinds = mro(kind)[:-1]
            self.note_kinds(*kinds)
            version = _version(kind)
            known = _plain.get((version, base))
        if known is None:
            of_base, below = looks.space(base), list(takewhile(lambda one: one is not base, kinds))
            none_has = {*attributes, "__getattribute__", "__bool__", "__len__"}
            none_below_has = {*own, "__setattr__", "__delattr__"}
            known = (
                all(function and of_base.get(name) is function for name, function in own.items())
                and all(none_has.isdisjoint(looks.space(one)) for one in kinds)
                and all(none_below_has.isdisjoint(looks.space(one)) for one in below)
                and _usual_dict(kind)
                and log_hooks.hook(base)
            )
            if version and _version(kind) == version:  # hooking it changes it
                if len(_plain) > _MOST:
                    _plain.clear()
                _plain[version, base] = known
            self._kinds[id(kind), base] = known
        return known

    def note_kinds(self, *kinds: type) -> None:
        if not HEARS_ALL:  # then nothing that is set in them is heard of
            return
        for kind in kinds:
            self.kinds[id(kind)] = kind


_own_of_logger, _own_of_manager = (looks.first(kind, "__dict__").__get__ for kind in (logging.Logger, logging.Manager))

_plain: dict[tuple[int, type], bool] = {}
"""By the version of a class, which stands for all that it has, and the base: whether it is plain."""
_MOST = 1000
_UNSIGNED = ffi.typeof("unsigned int *")
_OFFSET = int(lib.TYPE_VERSION)


def _version(kind: type) -> int:
    """csrc/cpython/type_version.h"""
    return int(ffi.cast(_UNSIGNED, id(kind) + _OFFSET)[0])


def _usual_dict(kind: type) -> bool:
    """Every class in which it is not a property of its own has it from the interpreter."""
    found = [space["__dict__"] for space in map(looks.space, mro(kind)) if "__dict__" in space]
    return all(type(one) is _GETSET for one in found)


_GETSET = type(vars(logging.Filterer)["__dict__"])

others: list[Callable[[Look, object, str, int | None, str | None], Answer | None]] = []
"""What knows other libraries' loggers, asked as ``Look.may_act``. None: it is none of them."""
