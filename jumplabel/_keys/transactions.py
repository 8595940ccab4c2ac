"""The one way from Python into a transaction of the engine, for a single toggle as for a batch.

``transact`` crosses over to C (csrc/cpython/key_toggle.h). Behind each transaction it wakes the thread that switches
off lingering keys, and calls the callbacks of toggles. The engine's errors become exceptions here.
"""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

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

_transact: Callable[[tuple[int, ...], int], tuple[int, int] | None]
(_transact,) = published(lib.key_toggle_function)

_INTERRUPTED = 0, 0


def transact(keys: "Sequence[StaticKey]", steps: tuple[int, ...]) -> tuple[int, int] | None:
    """Take steps in one transaction, now; return the engine's error and the step that failed, or None.

    keys   the keys of all steps
    steps  the address of a key, what to do with it, the address of the next key, and so on

    A positive error is a key's refusal of that step. A negative one is the patch's, and the step is how many there are.
    """
    report = new_report(len(keys)) if callbacks else None
    outcome: tuple[int, int] | None = _INTERRUPTED  # stays so where a signal handler raises right behind the call
    try:
        try:
            outcome = _transact(steps, 0 if report is None else int(ffi.cast("uintptr_t", report)))
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


def attempt(steps: "Steps") -> tuple[int, int] | None:
    """Take steps in one transaction, now. Returns what ``transact`` does."""
    numbers = [number for key, operation in steps for number in (key._address, operation)]
    return transact([key for key, _ in steps], tuple(numbers))


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
    raise error_of(error, key)


def error_of(error: int, key: "StaticKey | None") -> StaticKeyError | PatchError:
    if error > 0:
        return StaticKeyError(f"{key!r}: {_NOT_POSSIBLE[error]}")
    return patch_error(error, f"{key!r}" if key is not None else "a batch")


def patch_error(error: int, what: str) -> PatchError:
    """Of an error of the engine's, which is negative."""
    return PatchError(-error, f"{what} could not be patched and is as it was: {os.strerror(-error)}")


def check(error: int, key: "StaticKey | None") -> None:
    if error:
        fail(error, key)
