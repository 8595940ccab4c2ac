"""Python objects that the engine makes: types, and functions that Python calls without cffi."""

from collections.abc import Callable
from typing import Any


def published(publish: Callable[..., int], *arguments: object) -> list[Any]:
    """Return the objects that a function of the engine publishes.

    publish    appends them to a list, as cffi cannot return objects; takes the list's address (csrc/cpython/publish.h)
    arguments  what else it takes

    Raises MemoryError.
    """
    objects: list[Any] = []
    if publish(id(objects), *arguments):
        raise MemoryError
    return objects
