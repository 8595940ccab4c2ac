"""One transaction of the engine, with its callbacks, its errors, and the thread that switches off what lingers."""

import os
from typing import TYPE_CHECKING, NoReturn

from jumplabel._engine import ffi, lib
from jumplabel._keys import lingering
from jumplabel._keys.toggles import callbacks, new_report, tell
from jumplabel._process import forks
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401
from jumplabel.errors import PatchError, StaticKeyError

if TYPE_CHECKING:
    from jumplabel._keys.static_key import StaticKey


def apply(steps: "list[tuple[StaticKey, int]]") -> None:
    """Take steps, of which there is at least one, in one transaction: now, not when a ``batch()`` ends."""
    error, at = transact(steps)
    if error:
        at = 0 if len(steps) == 1 else at
        fail(error, steps[at][0] if at < len(steps) else None)


def transact(steps: "list[tuple[StaticKey, int]]") -> tuple[int, int]:
    """The same, with the engine's error, or 0, as result; and the step that its key refuses, if it is one's."""
    if lib.fork_notice_due:
        forks.notice()
    failed = ffi.new("size_t *")
    keys = [key for key, _ in steps]
    native = ffi.new("struct key_step[]", [(key._key, operation) for key, operation in steps])
    report = new_report(len(steps)) if callbacks else ffi.NULL
    try:
        try:
            error = lib.static_key_apply(native, len(steps), failed, report)
        finally:
            if lib.static_keys_wake:
                try:
                    lingering.wake()
                except Exception as trouble:
                    lingering.without_a_thread(trouble)
    finally:
        if report:
            tell(report, keys)
    return int(error), int(failed[0])


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
