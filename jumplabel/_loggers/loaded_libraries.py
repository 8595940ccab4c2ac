"""Recognise the modules and functions of other logging libraries. Imports nothing and runs nothing of theirs."""

import sys
from types import CodeType, FunctionType, ModuleType
from typing import Any

from jumplabel._loggers.logging_state import METHODS
from jumplabel._program import looks
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401

DECISIVE = frozenset((*METHODS, "_log"))
"""An object that has one of these attributes itself may answer in its own way."""


def variables(module: str) -> dict[str, Any]:
    """Return the variables of a loaded module; empty if it is not loaded."""
    found = sys.modules.get(module)
    return looks.variables(found) if issubclass(type(found), ModuleType) else {}  # type: ignore[arg-type]


def code_defined_in(module: dict[str, Any], function: object, name: str) -> CodeType | None:
    """Return the code of a function that the module itself defines by this name; None for any other object."""
    if type(function) is FunctionType and function.__globals__ is module and function.__code__.co_name == name:
        return function.__code__
    return None
