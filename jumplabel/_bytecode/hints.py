"""What a test says about its key, to the reader."""

from typing import TypeVar

T = TypeVar("T")


def likely(condition: T) -> T:
    """Say that a key is usually on: ``if likely(key):``. Returns its argument; ``static_branches`` spares the call.

    Nothing moves in a rewritten function, so neither way is the faster one.
    """
    return condition


def unlikely(condition: T) -> T:
    """Say that a key is usually off: ``if unlikely(key):``. Otherwise as ``likely``."""
    return condition


HINTS = (likely, unlikely)
