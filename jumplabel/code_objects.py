"""The engine's functions on code objects, described in csrc/code_object.h."""

import sys
from typing import Any

from jumplabel._engine import ffi, lib


def _start() -> tuple[list[Any], bool]:
    jit = getattr(sys, "_jit", None)  # 3.14
    functions: list[Any] = []
    result = lib.code_object_start(ffi.cast("uintptr_t", id(functions)), bool(jit and jit.is_enabled()))
    if result < 0:
        raise MemoryError
    return functions, not result


(make_branches, branches_of, set_code), TOLD = _start()
"""TOLD: whether code that the interpreter compiles can be told of a toggle; if not, there must be no branches."""
