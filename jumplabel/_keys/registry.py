"""The living keys, by their names."""

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
"""To be read and changed under the lock."""
lock = ProcessLock()
"""For the making of a key: it is looked up, made and entered in one step."""

starting: "list[Starting]" = []
"""What starts on, see starting.py."""


def living() -> "list[StaticKey]":
    """All living keys, in no order, and without the lock: the thread of the deferred keys never waits for it."""
    # Not valuerefs(): that runs Python code, with builtins that the program may have replaced.
    return [key for reference in [*by_name.data.values()] if (key := reference()) is not None]  # type: ignore[attr-defined]


def n_living() -> int:
    """How many keys there are, or a few more: of some that are gone this may not have been heard of."""
    return len(by_name)


lingering.living = living


def starts_on(name: str) -> bool:
    """Whether a key of this name, made now with ``default=False``, starts on by a ``Starting``."""
    return any(name in one.patterns for one in starting)


def keys() -> "list[StaticKey]":
    """All living keys, in the order of their names."""
    with lock:
        found = list(by_name.values())
    return sorted(found, key=lambda key: key.name)


def missing(name: str) -> "StaticKey | None":
    """Make a key that is looked up by its name and is not there. Set by instrumented_modules.py."""
    return None


def key(name: str) -> "StaticKey":
    """The key of this name. Raises StaticKeyError where there is none."""
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
    """Return a name for a key of our own: this one, with ``_`` for what a key's name cannot have.

    "name (2)" and so on, if a living key has it. The caller holds the lock, so no other thread takes it.
    """
    if not isinstance(name, str) or not name:
        return name
    name = free = addressable(name)
    n = 1
    while free in by_name:
        n += 1
        free = f"{name} ({n})"
    return free
