"""The original of code that is in the place of other code."""

from types import CodeType
from typing import Any
from weakref import ref

from jumplabel.marked_code import Way, codes

Origin = tuple[Any, Way | CodeType]
"""Whose instrumentation it is, and the original: its way in the module's code, or itself."""

_origins: dict[int, tuple[ref[CodeType], Origin]] = {}
"""By id: by value, equal functions of two files would be one."""


def remember(code: CodeType, owner: Any, original: Way | CodeType) -> None:
    number = id(code)
    _origins[number] = ref(code, lambda _: _origins.pop(number, None)), (owner, original)


def remember_copy(new: CodeType, old: CodeType, owner: Any) -> None:
    """Of code made of other code, and of what is within it."""
    for (_, copy), (_, was) in zip(codes(new), codes(old), strict=True):
        if copy is not was:
            remember(copy, owner, (origin(was) or (owner, was))[1])


def origin(code: CodeType) -> Origin | None:
    of, found = _origins.get(id(code), (None, None))
    return found if of is not None and of() is code else None
