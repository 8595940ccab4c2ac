"""How the engine hands over Python objects that it makes: its types, and functions that are called without cffi."""

from collections.abc import Callable
from typing import Any


def published(publish: Callable[[int], int]) -> list[Any]:
    """What a function of the engine appends to a list: cffi cannot return objects."""
    found: list[Any] = []
    if publish(id(found)):
        raise MemoryError
    return found
