"""The original of code that is in the place of other code."""

from types import CodeType
from typing import Any

from jumplabel._bytecode.code_objects import OfCode
from jumplabel._instrument.compile_marked import Way, codes
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401

Origin = tuple[Any, Way | CodeType]
"""Whose instrumentation it is, and the original: its way in the module's code, or itself."""

_origins: OfCode[Origin] = OfCode("origin")


def remember(code: CodeType, owner: Any, original: Way | CodeType) -> None:
    _origins[code] = owner, original


def remember_copy(new: CodeType, old: CodeType, owner: Any) -> None:
    """Of code made of other code, and of what is within it."""
    for (_, copy), (_, was) in zip(codes(new), codes(old), strict=True):
        if copy is not was:
            remember(copy, owner, (origin(was) or (owner, was))[1])


def origin(code: CodeType) -> Origin | None:
    return _origins.get(code)
