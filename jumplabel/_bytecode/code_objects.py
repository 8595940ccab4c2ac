"""The engine's functions on code objects, described in csrc/cpython/code_object.h, and what lives as long as one."""

import sys
from collections.abc import Iterable, Mapping
from types import CodeType
from typing import Any, Generic, TypeVar
from weakref import ref

from jumplabel._engine import ffi, lib
from jumplabel._keys.static_key import StaticKey
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401
from jumplabel._program.unseen import Unseen

T = TypeVar("T")


def _start() -> tuple[list[Any], bool]:
    jit = getattr(sys, "_jit", None)  # 3.14
    functions: list[Any] = []
    result = lib.code_object_start(ffi.cast("uintptr_t", id(functions)), bool(jit and jit.is_enabled()))
    if result < 0:
        raise MemoryError
    return functions, not result


(make_branches, make_branches_of_module, branches_of, set_code), TOLD = _start()
"""TOLD: whether code that the interpreter compiles can be told of a toggle; if not, there must be no branches."""


class CodeRef(ref[CodeType]):
    """A weak reference that knows the id() of its code object, for a callback that many of them share."""

    __slots__ = ("number",)
    number: int


class _Known(CodeRef):
    """A weak reference that carries what is known: one for each code object, as imports make thousands."""

    __slots__ = ("kept", "origin", "seen")
    kept: tuple[StaticKey, ...]
    origin: object


_found: dict[int, _Known] = {}
"""By id: by value, equal functions of two files are one."""


def _forget(gone: Any) -> None:
    if _found.get(gone.number) is gone:
        del _found[gone.number]


_gone = Unseen(_forget)


def _known(code: CodeType) -> _Known:
    number = id(code)
    of = _found.get(number)
    if of is None or of() is not code:
        of = _Known(code, _gone)
        of.number = number
        _found[number] = of
    return of


class OfCode(Generic[T]):
    """What is known of code objects, as long as they live.

    slot  of ``_Known``, where it is
    """

    def __init__(self, slot: str) -> None:
        self._slot = slot

    def __setitem__(self, code: CodeType, known: T) -> None:
        setattr(_known(code), self._slot, known)

    def get(self, code: CodeType) -> T | None:
        of = _found.get(id(code))
        return getattr(of, self._slot, None) if of is not None and of() is code else None


_kept: OfCode[tuple[StaticKey, ...]] = OfCode("kept")


def keep(code: CodeType, keys: Iterable[StaticKey]) -> None:
    """Let keys live as long as code does, whose sites nobody would turn without them."""
    _kept[code] = tuple(keys)


def kept(code: CodeType) -> tuple[StaticKey, ...]:
    return _kept.get(code) or ()


def enter(owner: Any, new: Iterable[tuple[T, CodeType]], keys: Mapping[T, tuple[StaticKey, ...]]) -> None:
    """Enter code objects of which nothing is known yet: the keys that they keep, and their origins (origins.py)."""
    for way, code in new:
        known = _Known(code, _gone)
        known.number = number = id(code)
        known.kept = keys.get(way, ())
        known.origin = owner, way
        _found[number] = known
