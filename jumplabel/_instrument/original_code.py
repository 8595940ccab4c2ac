"""Map instrumented code objects to the code that they replace."""

from types import CodeType
from typing import Any

from jumplabel._bytecode.code_objects import OfCode
from jumplabel._instrument.compile_marked import Way, codes
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401

Origin = tuple[Any, Way | CodeType]
"""The owner of the instrumentation, and the original code: its way within the module's code, or the code itself."""

_origins: OfCode[Origin] = OfCode("origin")


def remember(code: CodeType, owner: Any, original: Way | CodeType) -> None:
    _origins[code] = owner, original


def remember_copy(new: CodeType, old: CodeType, owner: Any) -> None:
    """Note the original of a copy, and of each code object within it.

    new    made from ``old``: both have the same code objects within them, in the same order
    owner  of the instrumentation, where ``old`` has none
    """
    for (_, copy), (_, was) in zip(codes(new), codes(old), strict=True):
        if copy is not was:
            remember(copy, owner, (origin(was) or (owner, was))[1])


def origin(code: CodeType) -> Origin | None:
    """Return the owner and the original of instrumented code; None for any other code."""
    return _origins.get(code)
