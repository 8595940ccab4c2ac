"""The registry of living keys, by their names."""

from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from jumplabel._keys import lingering
from jumplabel._keys.key_names import addressable
from jumplabel._process.unpatched import ProcessLock
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401
from jumplabel.errors import StaticKeyError

if TYPE_CHECKING:
    from jumplabel._keys.starting import Starting
    from jumplabel._keys.static_key import StaticKey

by_name: "WeakValueDictionary[str, StaticKey]" = WeakValueDictionary()
"""The living keys. Read and change it under the lock."""
lock = ProcessLock()
"""Held while a key is looked up, made and entered, so that this is one step."""

starting: "list[Starting]" = []
"""Which keys start on: see starting.py."""


def living() -> "list[StaticKey]":
    """Return all living keys, in no order. Takes no lock, so the thread of the deferred keys never waits for it."""
    # Not valuerefs(): that runs Python code, with builtins that the program may have replaced.
    return [key for reference in [*by_name.data.values()] if (key := reference()) is not None]  # type: ignore[attr-defined]


def n_living() -> int:
    """Return how many keys there are, or a few more: keys that have just gone may still be counted."""
    return len(by_name)


lingering.living = living


def starts_on(name: str) -> bool:
    """Return whether a ``Starting`` turns on a key of this name that is made now with ``default=False``."""
    return any(name in one.patterns for one in starting)


def keys() -> "list[StaticKey]":
    """Return all living keys, in the order of their names. Any thread may call this."""
    with lock:
        found = list(by_name.values())
    return sorted(found, key=lambda key: key.name)


def missing(name: str) -> "StaticKey | None":
    """Make the key that ``key`` looks for and does not find, and return it; or None.

    instrumented_modules.py puts its own function here. The caller holds the lock.
    """
    return None


def key(name: str) -> "StaticKey":
    """Return the key of this name. Any thread may call this. Raises StaticKeyError where there is no such key."""
    with lock:
        found = by_name.get(name)
        if found is None and isinstance(name, str):
            found = missing(name)
    if found is None:
        raise StaticKeyError(
            f"there is no StaticKey {name!r}: it is made by the module that defines it, which may not be imported yet; "
            "jumplabel.keys() lists those there are"
        )
    return found


def free_name(name: str) -> str:
    """Return a name for a key of our own: this one, with ``_`` for each character that a key's name cannot have.

    Where a living key has the name, it is "name (2)" and so on. The caller holds the lock, so no other thread takes it.
    """
    if not isinstance(name, str) or not name:
        return name
    name = free = addressable(name)
    n = 1
    while free in by_name:
        n += 1
        free = f"{name} ({n})"
    return free
