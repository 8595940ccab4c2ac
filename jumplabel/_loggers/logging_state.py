"""Decide whether a call of a logger's method would do nothing. Reads objects, and runs no code of the program's.

In doubt, a call may do something. This module knows how ``logging.Logger`` and ``logging.LoggerAdapter`` decide, from
CPython 3.11 to 3.15. Some code runs before a logger compares its level. Where the program has replaced any of that, in
the object, in its class or in ``logging`` itself, a call may do something.

``loguru_state.py`` and ``structlog_state.py`` decide for other libraries' loggers.
"""

import logging
from collections.abc import Callable
from itertools import takewhile
from typing import Any

from jumplabel._engine import ffi, lib
from jumplabel._loggers import change_hooks
from jumplabel._program import looks
from jumplabel._program.looks import mro
from jumplabel._program.name_watch import HEARS_ALL
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401

LEVELS = {
    **{"debug": "DEBUG", "info": "INFO", "warning": "WARNING", "error": "ERROR"},
    **{"critical": "CRITICAL", "exception": "ERROR"},
}
METHODS = (*LEVELS, "log", "isEnabledFor")
"""The methods that a LogKey may follow."""

_CALLED = frozenset((*METHODS, "getEffectiveLevel"))
_DATA = ("disabled", "_cache", "level", "parent", "__class__")
_SPECIAL = ("__getattribute__", "__setattr__", "__delattr__", "__bool__", "__len__", "__dict__", "__getattr__")
_OF_OTHER_LIBRARIES = ("_log", "bind", "__init__", "__new__")
DECISIVE = (*_CALLED, *_DATA, *_SPECIAL, *_OF_OTHER_LIBRARIES, "manager", "logger", "disable", "_clear_cache")
"""The names in classes of loggers on which a logger's answer depends."""

# The names in the code of the deciding functions, in all versions that this module knows. A function with another name
# in its code is the program's.
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
    """Return a class's own functions by name; None for a function whose code is not the known one."""
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
_MOST_ANCESTORS = 1000
"""A logger with more ancestors than this is among its own ancestors."""


Answer = tuple[bool, tuple[int, ...]]
"""Whether a call may do something, and the id() of the objects on whose attributes the answer depends."""


class LoggerStates:
    """What loggers would do now, or would do if one object had other attributes.

    concerned            gets the id() of each object before an attribute of the object is read
    changed, attributes  the object with other attributes, and these attributes

    Puts change hooks into the classes that it meets, so later changes are heard. Answers are kept for the lifetime of
    this object: use it at once, under the lock of ``logging``, and drop it.
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
        """The classes on which answers depend, by id()."""

    def may_act(self, logger: object, method: str, level: int | None, module_name: str | None) -> Answer:
        """Return whether a call of a method may do something, and on which objects' attributes that depends.

        logger       any object. An object of an unknown kind may do something
        level        the first argument of ``log`` and ``isEnabledFor``
        module_name  the ``__name__`` of the calling module; None if it is not known before the call
        """
        kind = type(logger)
        number = vars(logging).get(LEVELS[method]) if method in LEVELS else level
        if type(number) is not int:
            return True, ()
        if issubclass(kind, logging.Logger):
            return self._logger(logger, number)
        if issubclass(kind, logging.LoggerAdapter):
            return self._adapter(logger, number, 0)
        for library_may_act in other_libraries:
            answer = library_may_act(self, logger, method, level, module_name)
            if answer is not None:
                return answer
        return True, ()

    def attributes(self, thing: object) -> dict[str, Any]:
        """Return the object's own attributes, without those of its class."""
        self._concerned.add(id(thing))
        if self._instead is not None and thing is self._changed:
            return self._instead
        return looks.attributes(thing)

    def _plain_attributes(self, thing: object) -> dict[str, Any]:
        """Return ``attributes`` of a logger or manager with a plain class, in fewer steps."""
        self._concerned.add(id(thing))
        if self._instead is not None and thing is self._changed:
            return self._instead
        own: dict[str, Any] = (_manager_attributes if type(thing) is logging.Manager else _logger_attributes)(thing)
        return own

    def _logger(self, logger: Any, level: int) -> Answer:
        known = self._answers.get((id(logger), level))
        if known is not None:
            return known[:2]
        effective, depends = self._effective_level(logger)
        may_act = True
        if effective is not None:
            own = self._plain_attributes(logger)
            manager = own.get("manager", vars(logging.Logger).get("manager"))
            of_manager = self._attributes_of_manager(manager)
            if of_manager is not None:
                depends = (*depends, id(manager), id(of_manager["root"]))
                may_act = self._enabled(own, of_manager, effective, level)
        self._answers[id(logger), level] = may_act, depends, logger
        return may_act, depends

    def _enabled(self, own: dict[str, Any], of_manager: dict[str, Any], effective: int, level: int) -> bool:
        """Return whether a logger may be enabled for a level, by its own and its manager's attributes."""
        disabled, cache = own.get("disabled"), own.get("_cache")
        if type(disabled) not in (bool, int) or cache is None or type(cache) not in (dict, change_hooks.Cache):
            return True
        if disabled:
            return False
        # A level that is set past setLevel() leaves old answers in the cache. These hold until the cache is cleared.
        cached = cache.get(level, False)
        return cached is not False or (level > of_manager["_disable"] and level >= effective)

    def _attributes_of_manager(self, manager: Any) -> dict[str, Any] | None:
        """Return a manager's attributes; None for a manager with other code than that of ``logging``."""
        if id(manager) not in self._managers:
            is_known = self._is_known_manager(manager)
            self._managers[id(manager)] = self._plain_attributes(manager) if is_known else None
        return self._managers[id(manager)]

    def _is_known_manager(self, manager: Any) -> bool:
        kind = vars(logging.Manager)
        if type(manager) is not logging.Manager or kind.get("disable") is not _DISABLE or not _CLEAR_CACHE:
            return False
        self.note_kinds(logging.Manager)
        hooked = change_hooks.hook(logging.Manager)
        own = self._plain_attributes(manager)
        root = own.get("root")
        return (
            hooked
            and kind.get("_clear_cache") is _CLEAR_CACHE
            and type(own.get("_disable")) is int
            and "_clear_cache" not in own
            and self._is_plain(type(root), logging.Logger, _LOGGER, _DATA)
            and change_hooks.hook_cache(root)
        )

    def _effective_level(self, logger: Any) -> tuple[int | None, tuple[int, ...]]:
        """Return a logger's effective level, and the id() of the loggers from it up to the one with that level.

        The level is None where code of the program's would decide it.
        """
        known = self._levels.get(id(logger))
        if known is not None:
            return known
        ancestry: list[int] = []
        effective: int | None = 0
        one = logger
        while one is not None:
            ancestry.append(id(one))
            effective, one = self._level_and_parent(one)
            if len(ancestry) > _MOST_ANCESTORS:
                effective = None
            if effective != 0:
                break
        self._levels[id(logger)] = effective, tuple(ancestry)
        return effective, tuple(ancestry)

    def _level_and_parent(self, logger: Any) -> tuple[int | None, Any]:
        """Return the level of the logger itself, 0 for NOTSET, and its parent.

        The level is None where code of the program's would decide it.
        """
        if not self._is_plain(type(logger), logging.Logger, _LOGGER, _DATA):
            return None, None
        own = self._plain_attributes(logger)
        level = own.get("level")
        if type(level) is not int or "parent" not in own or not _CALLED.isdisjoint(own):
            return None, None
        return level, own["parent"]

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
        """Return whether a class decides as its base does, and its objects' attributes can be read without its code.

        own         the deciding functions of the base, by name; None for a function that is not the known one
        attributes  the deciding attributes of objects, which no class may have
        """
        if not issubclass(kind, base):
            return False
        known = self._kinds.get((id(kind), base))
        if known is None:
            kinds = mro(kind)[:-1]
            self.note_kinds(*kinds)
            version = _version(kind)
            known = _plain.get((version, base))
        if known is None:
            of_base, below = looks.class_dict(base), list(takewhile(lambda one: one is not base, kinds))
            none_has = {*attributes, "__getattribute__", "__bool__", "__len__"}
            none_below_has = {*own, "__setattr__", "__delattr__"}
            known = (
                all(function and of_base.get(name) is function for name, function in own.items())
                and all(none_has.isdisjoint(looks.class_dict(one)) for one in kinds)
                and all(none_below_has.isdisjoint(looks.class_dict(one)) for one in below)
                and _usual_dict(kind)
                and change_hooks.hook(base)
            )
            if version and _version(kind) == version:  # putting hooks into the class changes its version
                if len(_plain) > _MOST_VERSIONS:
                    _plain.clear()
                _plain[version, base] = known
            self._kinds[id(kind), base] = known
        return known

    def note_kinds(self, *kinds: type) -> None:
        """Note that answers depend on these classes."""
        if HEARS_ALL:  # otherwise no change of a class is heard
            for kind in kinds:
                self.kinds[id(kind)] = kind


_logger_attributes, _manager_attributes = (
    looks.class_attribute(kind, "__dict__").__get__ for kind in (logging.Logger, logging.Manager)
)

_plain: dict[tuple[int, type], bool] = {}
"""Whether a class is plain, by its version and the base. A version stands for all attributes of a class."""
_MOST_VERSIONS = 1000
_UNSIGNED = ffi.typeof("unsigned int *")
_OFFSET = int(lib.TYPE_VERSION)


def _version(kind: type) -> int:
    """Return a class's version; 0 for a class without one. See csrc/cpython/type_version.h."""
    return int(ffi.cast(_UNSIGNED, id(kind) + _OFFSET)[0])


def _usual_dict(kind: type) -> bool:
    """Return whether every ``__dict__`` in the class and its bases is the interpreter's, and none is a property."""
    found = [space["__dict__"] for space in map(looks.class_dict, mro(kind)) if "__dict__" in space]
    return all(type(one) is _GETSET for one in found)


_GETSET = type(vars(logging.Filterer)["__dict__"])

other_libraries: list[Callable[[LoggerStates, object, str, int | None, str | None], Answer | None]] = []
"""One function for each other library, with the parameters of ``LoggerStates.may_act``.

Each returns None for an object that is no logger of its library.
"""
