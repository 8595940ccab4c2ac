"""Decide whether a call of a loguru logger's method would do nothing.

The answer is exact for the versions in ``VERSIONS``. It depends on the sinks, on the lowest of their levels, and on
``enable()`` and ``disable()`` of the calling module. Two loggers have no calling module that is known before the call:
a logger with ``opt(depth=...)``, and a logger that a closure holds. For these only the level decides. Any other version
may do something.
"""

from typing import Any

from jumplabel._loggers import change_hooks
from jumplabel._loggers.loaded_libraries import DECISIVE, code_defined_in, variables
from jumplabel._loggers.logging_state import LEVELS, Answer, LoggerStates, other_libraries
from jumplabel._program import looks
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401

VERSIONS = ("0.7.2", "0.7.3")
"""The versions whose code this module knows."""

_LEVEL_NAMES = {method: "ERROR" if method == "exception" else method.upper() for method in LEVELS}


def _may_act(
    states: LoggerStates, logger: Any, method: str, level: int | None, module_name: str | None
) -> Answer | None:
    """Answer as ``LoggerStates.may_act``; None for an object that is no logger of loguru."""
    module = variables("loguru._logger")
    kind, core_kind = module.get("Logger"), module.get("Core")
    if kind is None or type(logger) is not kind:
        return None
    version = variables("loguru").get("__version__")
    if version not in VERSIONS or method == "isEnabledFor" or type(core_kind) is not type:
        return True, ()
    states.note_kinds(kind, core_kind)
    space, core_space = looks.class_dict(kind), looks.class_dict(core_kind)
    own_methods = all(code_defined_in(module, space.get(name), name) for name in (method, "_log"))
    if not own_methods or "__getattribute__" in space or "__getattribute__" in core_space:
        return True, ()
    if not change_hooks.hook(kind, past_lock=True) or not change_hooks.hook(core_kind, past_lock=True):
        return True, ()
    own = states.attributes(logger)
    core, options = own.get("_core"), own.get("_options")
    if type(core) is not core_kind or type(options) is not tuple or not DECISIVE.isdisjoint(own):
        return True, (id(logger),)
    core_state = states.attributes(core)
    depends = id(logger), id(core)
    try:
        return _core_may_act(core_state, method, level, options, module_name), depends
    except (KeyError, IndexError, TypeError, ValueError):  # the core has another layout than the known versions
        return True, depends


def _core_may_act(
    core: dict[str, Any], method: str, level: int | None, options: tuple[Any, ...], module_name: str | None
) -> bool:
    """Decide as ``Logger._log`` does: by sinks, then by level, then by the module."""
    if type(core["handlers"]) is not dict or type(core["min_level"]) not in (int, float):
        return True
    number = core["levels_lookup"][_LEVEL_NAMES[method]][2] if method in _LEVEL_NAMES else level
    if type(number) is not int or number < 0:
        return True
    if not core["handlers"] or number < core["min_level"]:
        return False
    if module_name is None or options[1] != 0 or type(core["enabled"]) is not dict:
        return True
    known = core["enabled"].get(module_name)
    if known is not None:
        return bool(known)
    dotted = f"{module_name}."
    return next((bool(status) for prefix, status in core["activation_list"] if dotted.startswith(prefix)), True)


other_libraries.append(_may_act)
