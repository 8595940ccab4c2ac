"""The living keys, by their names."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from jumplabel import lingering
from jumplabel.errors import StaticKeyError
from jumplabel.key_names import addressable

if TYPE_CHECKING:
    from jumplabel.keys import StaticKey
    from jumplabel.starting import Starting

by_name: "WeakValueDictionary[str, StaticKey]" = WeakValueDictionary()
"""To be read and changed under the lock."""
lock = threading.RLock()
"""For whoever makes a key: it is looked up, made and entered in one step. Replaced in the child of a fork."""

starting: "list[Starting]" = []
"""What starts on, see starting.py."""


def _new_lock() -> None:
    global lock
    lock = threading.RLock()  # another thread of the parent may have held the old one


os.register_at_fork(after_in_child=_new_lock)


def living() -> "list[StaticKey]":
    """All living keys, in no order, and without the lock: the thread of the deferred keys never waits for it."""
    return [key for reference in by_name.valuerefs() if (key := reference()) is not None]


lingering.living = living


def keys() -> "list[StaticKey]":
    """All living keys, in the order of their names."""
    with lock:
        found = list(by_name.values())
    return sorted(found, key=lambda key: key.name)


def key(name: str) -> "StaticKey":
    """The key of this name. Raises StaticKeyError where there is none."""
    with lock:
        found = by_name.get(name)
    if found is None:
        raise StaticKeyError(
            f"there is no StaticKey {name!r}: it is made by the module that defines it, which may not be imported yet; "
            "jumplabel.keys() lists those there are"
        )
    return found


@contextmanager
def free_name(name: str) -> Iterator[str]:
    """A name for a key of our own: this one, with ``_`` for what a key's name cannot have.

    "name (2)" and so on, if a living key has it. No other thread takes it within the block.
    """
    with lock:
        free = name
        if isinstance(name, str) and name:
            name = free = addressable(name)
            n = 1
            while free in by_name:
                n += 1
                free = f"{name} ({n})"
        yield free
