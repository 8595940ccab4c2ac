"""The engine's functions on code objects (csrc/cpython/code_object.h), and records of code objects."""

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
"""TOLD: whether code that the JIT compiled can be told of a toggle. If not, there must be no branches."""


class CodeRef(ref[CodeType]):
    """A weak reference with the id() of its code object, for a callback that many references share."""

    __slots__ = ("number",)
    number: int


class _Known(CodeRef):
    """A weak reference that carries all records of one code object, as imports make thousands of them."""

    __slots__ = ("kept", "made", "origin", "seen")
    kept: tuple[StaticKey, ...]
    origin: object


_found: dict[int, _Known] = {}
"""By id. By value, equal code of two files would be the same key, and a toggle changes the value."""


def _forget(gone: Any) -> None:
    if _found.get(gone.number) is gone:
        del _found[gone.number]


_gone = Unseen(_forget)


def _known(code: CodeType) -> _Known:
    """Return the records of a code object; a new reference without any, if there are none yet."""
    number = id(code)
    of = _found.get(number)
    if of is None or of() is not code:
        of = _Known(code, _gone)
        of.number = number
        _found[number] = of
    return of


class OfCode(Generic[T]):
    """A table of records, one for a code object, which live as long as it.

    slot  the slot of ``_Known`` for the records of this table
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
    """Let keys live as long as code with their sites. No toggle could turn a site without its key."""
    _kept[code] = tuple(keys)


def kept(code: CodeType) -> tuple[StaticKey, ...]:
    """Return the keys that live as long as code."""
    return _kept.get(code) or ()


def enter(owner: Any, new: Iterable[tuple[T, CodeType]], keys: Mapping[T, tuple[StaticKey, ...]]) -> None:
    """Make the records of code objects that have none yet, in fewer steps than one by one.

    owner  with its way, the origin of each code object (original_code.py)
    new    the code objects, each with its way
    keys   the keys that code keeps, by way
    """
    for way, code in new:
        known = _Known(code, _gone)
        known.number = number = id(code)
        known.kept = keys.get(way, ())
        known.origin = owner, way
        _found[number] = known
