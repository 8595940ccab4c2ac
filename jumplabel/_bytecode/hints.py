"""``likely`` and ``unlikely``: notes in a test, for the reader of the source."""

from typing import TypeVar

T = TypeVar("T")


def likely(condition: T) -> T:
    """Say that a key is usually on: ``if likely(key):``.

    condition  a key, or anything else

    Returns its argument. Under ``static_branches`` the call does not run: the whole test becomes one site. Nothing
    moves in a rewritten function, so neither branch becomes faster. Any thread may call it.
    """
    return condition


def unlikely(condition: T) -> T:
    """Say that a key is usually off: ``if unlikely(key):``. In all else it is as ``likely``."""
    return condition


HINTS = (likely, unlikely)
