"""Would a call of a method of loguru's or structlog's loggers do nothing? As logging_state.py, and for it.

loguru
    exact, with the versions named below: whether there are sinks, the lowest of their levels, and ``enable()`` and
    ``disable()`` of the module. A logger with ``opt(depth=...)`` has a module that only the call knows; there, and for
    a logger that a function holds, only the level decides.

structlog
    exact for the classes of ``make_filtering_bound_logger``, whose methods are empty below their level: on a bound
    logger, and on what ``get_logger()`` returns while the first use would do nothing but make one. So those stay on
    that are kept from their first use on (``cache_logger_on_first_use``), until they were used; those with a factory or
    context class that is not structlog's own, as for ``logging``; and all other bound loggers, whose processors decide.

What else may do something. Nothing is imported here: an object whose library is not there is not its logger.
"""

import sys
from types import FunctionType, ModuleType
from typing import Any

from jumplabel._loggers import change_hooks
from jumplabel._loggers.logging_state import LEVELS, METHODS, Answer, Look, others
from jumplabel._program import looks
from jumplabel._program.looks import NOT_FOUND, first_is, mro
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401

LOGURU = ("0.7.2", "0.7.3")
"""The versions that we know."""

_NAMED = {method: "ERROR" if method == "exception" else method.upper() for method in LEVELS}
_OWN = frozenset((*METHODS, "_log"))


def _variables(module: str) -> dict[str, Any]:
    """Of a module that may not be there."""
    found = sys.modules.get(module)
    return looks.variables(found) if issubclass(type(found), ModuleType) else {}  # type: ignore[arg-type]


def _defined_in(module: dict[str, Any], function: object, name: str) -> Any:
    """The function's code, if it is the module's own."""
    if type(function) is FunctionType and function.__globals__ is module and function.__code__.co_name == name:
        return function.__code__
    return None


# ---- loguru ----


def _loguru(look: Look, found: Any, method: str, level: int | None, module_name: str | None) -> Answer | None:
    module = _variables("loguru._logger")
    kind, core_kind = module.get("Logger"), module.get("Core")
    if kind is None or type(found) is not kind:
        return None
    version = _variables("loguru").get("__version__")
    if version not in LOGURU or method == "isEnabledFor" or type(core_kind) is not type:
        return True, ()
    look.note_kinds(kind, core_kind)
    space, core_space = looks.space(kind), looks.space(core_kind)
    own_methods = all(_defined_in(module, space.get(name), name) for name in (method, "_log"))
    if not own_methods or "__getattribute__" in space or "__getattribute__" in core_space:
        return True, ()
    if not change_hooks.hook(kind, past_lock=True) or not change_hooks.hook(core_kind, past_lock=True):
        return True, ()
    own = look.attributes(found)
    core, options = own.get("_core"), own.get("_options")
    if type(core) is not core_kind or type(options) is not tuple or not _OWN.isdisjoint(own):
        return True, (id(found),)
    state = look.attributes(core)
    depends = id(found), id(core)
    try:
        return _loguru_may_act(state, method, level, options, module_name), depends
    except (KeyError, IndexError, TypeError, ValueError):  # not what we know
        return True, depends


def _loguru_may_act(
    state: dict[str, Any], method: str, level: int | None, options: tuple[Any, ...], module_name: str | None
) -> bool:
    """As ``Logger._log`` asks."""
    if type(state["handlers"]) is not dict or type(state["min_level"]) not in (int, float):
        return True
    number = state["levels_lookup"][_NAMED[method]][2] if method in _NAMED else level
    if type(number) is not int or number < 0:
        return True
    if not state["handlers"] or number < state["min_level"]:
        return False
    if module_name is None or options[1] != 0 or type(state["enabled"]) is not dict:
        return True
    known = state["enabled"].get(module_name)
    if known is not None:
        return bool(known)
    dotted = f"{module_name}."
    return next((bool(status) for prefix, status in state["activation_list"] if dotted.startswith(prefix)), True)


# ---- structlog ----

_PROXY_NAMES = {
    *("_context_class", "_initial_values", "_CONFIG", "default_context_class", "_logger", "logger_factory"),
    *("_logger_factory_args", "_processors", "default_processors", "_wrapper_class", "default_wrapper_class"),
    *("_cache_logger_on_first_use", "cache_logger_on_first_use", "bind"),
}
_LOG_NAMES = {"LEVEL_TO_NAME", "_proxy_to_logger", "_maybe_interpolate"}
_FACTORIES = ("PrintLoggerFactory", "WriteLoggerFactory", "BytesLoggerFactory")


def _structlog(look: Look, found: Any, method: str, level: int | None, module_name: str | None) -> Answer | None:
    config = _variables("structlog._config")
    base = _variables("structlog._base").get("BoundLoggerBase")
    kind = type(found)
    if not issubclass(type(base), type):
        return None
    assert base is not None
    if issubclass(kind, base):
        return _structlog_bound(look, found, base, method, level)
    if kind is not config.get("BoundLoggerLazyProxy"):
        return None
    own = look.attributes(found)
    depends: tuple[int, ...] = (id(found),)
    look.note_kinds(kind)
    space = looks.space(kind)
    if not change_hooks.hook(kind, past_lock=True) or not _OWN.isdisjoint((*own, *space)):
        return True, depends
    bind, get = (_defined_in(config, space.get(name), name) for name in ("bind", "__getattr__"))
    if not bind or not get or "__getattribute__" in space:
        return True, depends
    if not _PROXY_NAMES.issuperset(bind.co_names) or not {"AttributeError", "bind", "getattr"} >= {*get.co_names}:
        return True, depends
    if "bind" in own:  # it was used and kept
        kept = _defined_in(config, own["bind"], "finalized_bind")
        if not kept or kept.co_freevars != ("logger",):
            return True, depends
        answer, more = _structlog_bound(look, own["bind"].__closure__[0].cell_contents, base, method, level)
        return answer, depends + more
    configuration = config.get("_CONFIG")
    if not change_hooks.hook(type(configuration), past_lock=True):
        return True, depends
    default = {**looks.space(type(configuration)), **look.attributes(configuration)}
    depends += (id(configuration),)
    look.note_kinds(type(configuration))
    wrapper = own.get("_wrapper_class", None)
    if wrapper is None:
        wrapper = default.get("default_wrapper_class")
    if not _makes_nothing_else(own, default) or not issubclass(type(wrapper), type):
        return True, depends
    assert wrapper is not None
    if base not in mro(wrapper):
        return True, depends
    look.note_kinds(*mro(wrapper)[:-1])
    if not first_is(wrapper, "__init__", base) or not first_is(wrapper, "__new__", object):
        return True, depends
    return not _is_empty(wrapper, method, level), depends


def _makes_nothing_else(own: dict[str, Any], default: dict[str, Any]) -> bool:
    """Whether the first use of what get_logger() returned makes a bound logger, and does nothing that anybody sees."""
    keeps = own.get("_cache_logger_on_first_use")
    if keeps not in (None, False) or (keeps is None and default.get("cache_logger_on_first_use") is not False):
        return False
    context = own.get("_context_class")
    if context is None:
        context = default.get("default_context_class")
    factory = type(default.get("logger_factory"))
    output = _variables("structlog._output")
    known = own.get("_logger") is not None or any(factory is output.get(name) for name in _FACTORIES)
    given = [own.get(name) for name in ("_logger", "_context_class", "_wrapper_class")]
    asked = [type(one) for one in given if one is not None]  # whether they are true
    return (
        context is dict
        and type(own.get("_initial_values")) is dict
        and known
        and all(looks.first(kind, name) is NOT_FOUND for kind in asked for name in ("__bool__", "__len__"))
    )


def _structlog_bound(look: Look, found: Any, base: type, method: str, level: int | None) -> Answer:
    kind = type(found)
    if not issubclass(kind, base):
        return True, ()
    look.note_kinds(*mro(kind)[:-1])
    hooked = change_hooks.hook(base, past_lock=True)
    if not hooked or not all(first_is(kind, name, base) for name in ("__setattr__", "__delattr__")):
        return True, ()
    if not _OWN.isdisjoint(look.attributes(found)):
        return True, (id(found),)
    return not _is_empty(kind, method, level), (id(found),)


def _is_empty(kind: type, method: str, level: int | None) -> bool:
    """Whether the class's method returns at once."""
    module = _variables("structlog._native")
    if not first_is(kind, "__getattribute__", object):
        return False
    function = looks.first(kind, method)
    if method == "exception":
        code = _defined_in(module, function, "exception")
        return bool(code) and {*code.co_names} <= {"setdefault", "error"} and _is_empty(kind, "error", level)
    if method == "log":
        code = _defined_in(module, function, "log")
        if not code or code.co_freevars != ("min_level",) or not _LOG_NAMES.issuperset(code.co_names):
            return False
        lowest: Any = function.__closure__[0].cell_contents
        return type(lowest) is int and type(level) is int and level < lowest
    code = _defined_in(module, function, "_nop")
    return bool(code) and not code.co_names and method in LEVELS


others += [_loguru, _structlog]
