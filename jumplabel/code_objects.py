"""The engine's functions on code objects, described in csrc/cpython/code_object.h, and what lives as long as one."""

import sys
from collections.abc import Iterable
from types import CodeType
from typing import Any, Generic, TypeVar
from weakref import ref

from jumplabel._engine import ffi, lib
from jumplabel.keys import StaticKey

T = TypeVar("T")


def _start() -> tuple[list[Any], bool]:
    jit = getattr(sys, "_jit", None)  # 3.14
    functions: list[Any] = []
    result = lib.code_object_start(ffi.cast("uintptr_t", id(functions)), bool(jit and jit.is_enabled()))
    if result < 0:
        raise MemoryError
    return functions, not result


(make_branches, branches_of, set_code), TOLD = _start()
"""TOLD: whether code that the interpreter compiles can be told of a toggle; if not, there must be no branches."""


class OfCode(Generic[T]):
    """What is known of code objects, as long as they live. By id: by value, equal functions of two files are one."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[ref[CodeType], T]] = {}

    def __setitem__(self, code: CodeType, known: T) -> None:
        number = id(code)
        self._found[number] = ref(code, lambda _: self._found.pop(number, None)), known

    def get(self, code: CodeType) -> T | None:
        of, known = self._found.get(id(code), (None, None))
        return known if of is not None and of() is code else None


_kept: OfCode[tuple[StaticKey, ...]] = OfCode()


def keep(code: CodeType, keys: Iterable[StaticKey]) -> None:
    """Let keys live as long as code does, whose sites nobody would turn without them."""
    _kept[code] = tuple(keys)


def kept(code: CodeType) -> tuple[StaticKey, ...]:
    return _kept.get(code) or ()
