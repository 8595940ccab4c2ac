"""The engine's functions on code objects, described in csrc/code_object.h, and what lives as long as one."""

import sys
from collections.abc import Iterable
from types import CodeType
from typing import Any
from weakref import ref

from jumplabel._engine import ffi, lib
from jumplabel.keys import StaticKey


def _start() -> tuple[list[Any], bool]:
    jit = getattr(sys, "_jit", None)  # 3.14
    functions: list[Any] = []
    result = lib.code_object_start(ffi.cast("uintptr_t", id(functions)), bool(jit and jit.is_enabled()))
    if result < 0:
        raise MemoryError
    return functions, not result


(make_branches, branches_of, set_code), TOLD = _start()
"""TOLD: whether code that the interpreter compiles can be told of a toggle; if not, there must be no branches."""


_kept: dict[int, tuple[ref[CodeType], tuple[StaticKey, ...]]] = {}
"""By id of the code: by value, equal functions of two files would be one."""


def keep(code: CodeType, keys: Iterable[StaticKey]) -> None:
    """Let keys live as long as code does, whose sites nobody would turn without them."""
    number = id(code)
    _kept[number] = ref(code, lambda _: _kept.pop(number, None)), tuple(keys)


def kept(code: CodeType) -> tuple[StaticKey, ...]:
    of, keys = _kept.get(id(code), (None, ()))
    return keys if of is not None and of() is code else ()
