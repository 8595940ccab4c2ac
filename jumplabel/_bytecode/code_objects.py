"""The engine's functions on code objects (csrc/cpython/code_object.h), and records of code objects."""

import sys
from collections.abc import Iterable
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


(make_branches, branches_of, set_code, lead_branches), TOLD = _start()
"""TOLD: whether code that the interpreter compiles can be told of a toggle; if not, there must be no branches."""


_SLOTS = ("first", "second", "third", "fourth")


class CodeRef(ref[CodeType]):
    """A weak reference with the id() of its code object, for a callback that many references share."""

    __slots__ = ("number",)
    number: int


class _Known(CodeRef):
    """A weak reference that carries all records of one code object, as imports make thousands of them."""

    __slots__ = _SLOTS


_found: dict[int, _Known] = {}
"""By id. By value, equal code of two files would be the same key, and a toggle changes the value."""
_free_slots = iter(_SLOTS)


def _forget(gone: Any) -> None:
    if _found.get(gone.number) is gone:
        del _found[gone.number]


_gone = Unseen(_forget)


class OfCode(Generic[T]):
    """A table of records, one for a code object, which live as long as it. _SLOTS has a name for each such table."""

    def __init__(self) -> None:
        self._slot = next(_free_slots)

    def __setitem__(self, code: CodeType, known: T) -> None:
        number = id(code)
        of = _found.get(number)
        if of is None or of() is not code:
            of = _Known(code, _gone)
            of.number = number
            _found[number] = of
        setattr(of, self._slot, known)

    def get(self, code: CodeType) -> T | None:
        of = _found.get(id(code))
        return getattr(of, self._slot, None) if of is not None and of() is code else None


_kept: OfCode[tuple[StaticKey, ...]] = OfCode()


def keep(code: CodeType, keys: Iterable[StaticKey]) -> None:
    """Let keys live as long as code with their sites. No toggle could turn a site without its key."""
    _kept[code] = tuple(keys)


def kept(code: CodeType) -> tuple[StaticKey, ...]:
    """Return the keys that live as long as code."""
    return _kept.get(code) or ()
