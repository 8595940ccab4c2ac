"""Decide whether a call of a structlog logger's method would do nothing.

The answer is exact for the classes of ``make_filtering_bound_logger``, whose methods below their level are empty. That
covers two kinds of logger:

- A bound logger of such a class.
- The proxy that ``get_logger()`` returns, while its first use would do nothing but make such a bound logger.

A proxy that keeps the bound logger of its first use (``cache_logger_on_first_use``) therefore may do something until
that use. A proxy with a factory or a context class of the program's may do something, too: its first use runs their
code. So may every other bound logger, because its processors decide, as do the proxies for ``logging``.
"""

from typing import Any

from jumplabel._loggers import change_hooks
from jumplabel._loggers.loaded_libraries import DECISIVE, code_defined_in, variables
from jumplabel._loggers.logging_state import LEVELS, Answer, LoggerStates, other_libraries
from jumplabel._program import looks
from jumplabel._program.looks import NOT_FOUND, first_is, mro
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401

# The names in the code of structlog's own functions, in all versions that this module knows. A function with another
# name in its code does something else.
_BIND_NAMES = {
    *("_context_class", "_initial_values", "_CONFIG", "default_context_class", "_logger", "logger_factory"),
    *("_logger_factory_args", "_processors", "default_processors", "_wrapper_class", "default_wrapper_class"),
    *("_cache_logger_on_first_use", "cache_logger_on_first_use", "bind"),
}
_GETATTR_NAMES = {"AttributeError", "bind", "getattr"}
_LOG_NAMES = {"LEVEL_TO_NAME", "_proxy_to_logger", "_maybe_interpolate"}

_FACTORIES = ("PrintLoggerFactory", "WriteLoggerFactory", "BytesLoggerFactory")


def _may_act(states: LoggerStates, logger: Any, method: str, level: int | None, _: str | None) -> Answer | None:
    """Answer as ``LoggerStates.may_act``; None for an object that is no logger of structlog."""
    base = variables("structlog._base").get("BoundLoggerBase")
    if not issubclass(type(base), type):
        return None
    assert base is not None
    if issubclass(type(logger), base):
        return _bound_may_act(states, logger, base, method, level)
    if type(logger) is variables("structlog._config").get("BoundLoggerLazyProxy"):
        return _proxy_may_act(states, logger, base, method, level)
    return None


# ---- what get_logger() returns ----


def _proxy_may_act(states: LoggerStates, proxy: Any, base: type, method: str, level: int | None) -> Answer:
    own = states.attributes(proxy)
    depends: tuple[int, ...] = (id(proxy),)
    states.note_kinds(type(proxy))
    if not change_hooks.hook(type(proxy), past_lock=True) or not _is_unchanged_proxy(type(proxy), own):
        return True, depends
    if "bind" in own:
        kept, is_known = _kept_logger(own["bind"])
        answer, more = _bound_may_act(states, kept, base, method, level) if is_known else (True, ())
        return answer, depends + more

    configuration = variables("structlog._config").get("_CONFIG")
    if not change_hooks.hook(type(configuration), past_lock=True):
        return True, depends
    defaults = {**looks.class_dict(type(configuration)), **states.attributes(configuration)}
    depends += (id(configuration),)
    states.note_kinds(type(configuration))
    wrapper = _own_or_default(own, "_wrapper_class", defaults)
    if not _first_use_only_binds(own, defaults) or not _is_made_by_base(states, wrapper, base):
        return True, depends
    return not _is_empty(wrapper, method, level), depends


def _is_unchanged_proxy(kind: type, own: dict[str, Any]) -> bool:
    """Return whether structlog's own ``bind`` and ``__getattr__`` answer for the object's logging methods."""
    space = looks.class_dict(kind)
    if "__getattribute__" in space or not DECISIVE.isdisjoint((*own, *space)):
        return False
    config = variables("structlog._config")
    bind, get = (code_defined_in(config, space.get(name), name) for name in ("bind", "__getattr__"))
    if bind is None or get is None:
        return False
    return _BIND_NAMES.issuperset(bind.co_names) and _GETATTR_NAMES.issuperset(get.co_names)


def _kept_logger(bind: Any) -> tuple[Any, bool]:
    """Return the bound logger that a proxy keeps from its first use, and whether it is known.

    bind  the function that the first use has put into the proxy: structlog's own has the logger in its closure
    """
    code = code_defined_in(variables("structlog._config"), bind, "finalized_bind")
    if code is None or code.co_freevars != ("logger",):
        return None, False
    return bind.__closure__[0].cell_contents, True


def _own_or_default(own: dict[str, Any], name: str, defaults: dict[str, Any]) -> Any:
    """Return a proxy's own setting, or the configured default where the proxy has None."""
    found = own.get(name)
    return defaults.get(f"default{name}") if found is None else found


def _first_use_only_binds(own: dict[str, Any], defaults: dict[str, Any]) -> bool:
    """Return whether the first use of a proxy makes a bound logger, and does nothing else that the program can see."""
    keeps = own.get("_cache_logger_on_first_use")
    if keeps not in (None, False) or (keeps is None and defaults.get("cache_logger_on_first_use") is not False):
        return False
    factory = type(defaults.get("logger_factory"))
    output = variables("structlog._output")
    makes_known_logger = own.get("_logger") is not None or any(factory is output.get(name) for name in _FACTORIES)
    # structlog tests whether these are true. A class with a __bool__ or __len__ would run its code then.
    tested = [type(own[name]) for name in ("_logger", "_context_class", "_wrapper_class") if own.get(name) is not None]
    return (
        _own_or_default(own, "_context_class", defaults) is dict
        and type(own.get("_initial_values")) is dict
        and makes_known_logger
        and all(looks.class_attribute(kind, name) is NOT_FOUND for kind in tested for name in ("__bool__", "__len__"))
    )


def _is_made_by_base(states: LoggerStates, wrapper: Any, base: type) -> bool:
    """Return whether to make an object of the wrapper class runs structlog's own code alone."""
    if not issubclass(type(wrapper), type) or base not in mro(wrapper):
        return False
    states.note_kinds(*mro(wrapper)[:-1])
    return first_is(wrapper, "__init__", base) and first_is(wrapper, "__new__", object)


# ---- bound loggers ----


def _bound_may_act(states: LoggerStates, logger: Any, base: type, method: str, level: int | None) -> Answer:
    kind = type(logger)
    if not issubclass(kind, base):
        return True, ()
    states.note_kinds(*mro(kind)[:-1])
    hooked = change_hooks.hook(base, past_lock=True)
    if not hooked or not all(first_is(kind, name, base) for name in ("__setattr__", "__delattr__")):
        return True, ()
    if not DECISIVE.isdisjoint(states.attributes(logger)):
        return True, (id(logger),)
    return not _is_empty(kind, method, level), (id(logger),)


def _is_empty(kind: type, method: str, level: int | None) -> bool:
    """Return whether the class's method returns at once."""
    if not first_is(kind, "__getattribute__", object):
        return False
    module = variables("structlog._native")
    function = looks.class_attribute(kind, method)
    if method == "exception":
        code = code_defined_in(module, function, "exception")
        calls_error = code is not None and {*code.co_names} <= {"setdefault", "error"}
        return calls_error and _is_empty(kind, "error", level)
    if method == "log":
        code = code_defined_in(module, function, "log")
        if code is None or code.co_freevars != ("min_level",) or not _LOG_NAMES.issuperset(code.co_names):
            return False
        lowest: Any = function.__closure__[0].cell_contents
        return type(lowest) is int and type(level) is int and level < lowest
    code = code_defined_in(module, function, "_nop")
    return code is not None and not code.co_names and method in LEVELS


other_libraries.append(_may_act)
