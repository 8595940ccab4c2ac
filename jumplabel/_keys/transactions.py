"""The one way from Python into a transaction of the engine, for a single toggle as for a batch.

``take`` and ``attempt`` cross over to C (csrc/cpython/key_toggle.h). Both wake the thread that switches off lingering
keys, and call the callbacks of toggles. The engine's errors become exceptions here.

A signal handler may raise right behind any call, that of the engine, too. So what must follow stands in a ``finally``,
with no call before it. Until the engine's outcome is known, it counts as one that sets ``static_keys_wake``.
"""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from jumplabel._engine import ffi, lib
from jumplabel._keys import lingering
from jumplabel._keys.toggles import callbacks, new_report, tell
from jumplabel._program.engine_objects import published
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401
from jumplabel.errors import PatchError, StaticKeyError

if TYPE_CHECKING:
    from jumplabel._keys.static_key import StaticKey

    Steps = Sequence[tuple[StaticKey, int]]
    """Keys and what to do with them: KEY_ENABLE, KEY_DISABLE, KEY_INC, KEY_DEC, KEY_FLUSH."""

_transact: Callable[..., tuple[int, int] | None]
(_transact,) = published(lib.key_toggle_function)

_NOT_KNOWN = 0, 0


def take(key: "StaticKey", operation: int) -> None:
    """Take one step, now: not when a ``batch()`` ends. Raises what ``apply`` raises."""
    report = new_report(1) if callbacks else None
    outcome: tuple[int, int] | None = _NOT_KNOWN
    try:
        try:
            outcome = _transact(0 if report is None else _address(report), key._address, operation)
        finally:
            if outcome is not None and lib.static_keys_wake:
                try:
                    lingering.wake()
                except Exception as trouble:
                    lingering.without_a_thread(trouble)
    finally:
        if report is not None:
            tell(report, [key])
    if outcome is not None and outcome[0]:
        fail(outcome[0], key)


def attempt(steps: "Steps") -> tuple[int, int] | None:
    """Take steps in one transaction, now; return None, or the engine's error and the step that failed.

    A positive error is a key's refusal of that step. A negative one is the patch's, and the step is how many there are.
    """
    keys = [key for key, _ in steps]
    numbers = [number for key, operation in steps for number in (key._address, operation)]
    report = new_report(len(keys)) if callbacks else None
    outcome: tuple[int, int] | None = _NOT_KNOWN
    try:
        try:
            outcome = _transact(0 if report is None else _address(report), *numbers)
        finally:
            if outcome is not None and lib.static_keys_wake:
                try:
                    lingering.wake()
                except Exception as trouble:
                    lingering.without_a_thread(trouble)
    finally:
        if report is not None:
            tell(report, keys)
    return outcome if outcome is not None and outcome[0] else None


def _address(report: Any) -> int:
    return int(ffi.cast("uintptr_t", report))


def apply(steps: "Steps") -> None:
    """Take steps, of which there is at least one, in one transaction: now, not when a ``batch()`` ends.

    Raises StaticKeyError where a key refuses its step, and PatchError where the sites cannot be rewritten. No step was
    taken then.
    """
    failure = attempt(steps)
    if failure:
        error, at = failure
        at = 0 if len(steps) == 1 else at
        fail(error, steps[at][0] if at < len(steps) else None)


_NOT_POSSIBLE = {
    lib.KEY_SEVERAL_USERS: "disable() would turn it off under its other users; let each of them call dec()",
    lib.KEY_NO_USERS: "dec() without an inc() or enable() before it; it has no users",
    lib.KEY_TOO_MANY_USERS: "inc() beyond the largest count; is a dec() missing somewhere?",
}


def fail(error: int, key: "StaticKey | None") -> NoReturn:
    """Raise the engine's error. None: it is not that of one key, but of a batch."""
    raise error_of(error, key)


def error_of(error: int, key: "StaticKey | None") -> StaticKeyError | PatchError:
    """Return the exception for the engine's error: positive for what the key refuses, negative for the patch."""
    if error > 0:
        return StaticKeyError(f"{key!r}: {_NOT_POSSIBLE[error]}")
    return patch_error(error, f"{key!r}" if key is not None else "a batch")


def patch_error(error: int, what: str) -> PatchError:
    """Return the exception for a negative error of the engine.

    what  the key or the batch, for the message
    """
    return PatchError(-error, f"{what} could not be patched and is as it was: {os.strerror(-error)}")


def check(error: int, key: "StaticKey | None") -> None:
    """Raise the engine's error, if it is one. 0 is none."""
    if error:
        fail(error, key)
