"""The thread that switches off deferred keys that have no user any more.

The engine knows which keys linger, how long, and whether the thread has to look sooner than it thinks
(csrc/engine/transaction.h). The thread runs while some key lingers. It sleeps until the first one is due, and ends when
it finds none. Toggles wake or start it. A toggle may be made by a destructor or a signal handler, which interrupts the
code here at any point. So no lock is taken here that one thread could want twice.
"""

import atexit
import os
from collections.abc import Callable
from functools import partial
from itertools import count, repeat
from typing import Any
from weakref import ref

from jumplabel._engine import ffi, lib
from jumplabel._keys.toggles import Telling, callbacks, changes_of, go_on_elsewhere, new_report, tells_here
from jumplabel._process import forks
from jumplabel._process.unpatched import allocate_lock, monotonic, monotonic_ns, sleep, start_own_thread
from jumplabel.errors import PatchError

_ALL = 2**63 - 1

_only_one = allocate_lock()

living: Callable[[], list[Any]] = list
"""Returns the living keys. registry.py puts its own function here."""

wake: Callable[[], object]
"""Wakes or starts the thread. Call it behind a toggle that has set ``lib.static_keys_wake``, with no call in between: a
signal handler may raise behind any call. This is one call of C itself. Give what it raises to ``without_a_thread()``.
"""


_started = count()
_begun = 0
"""How many threads were started, and how many of them have begun to run Python."""


def _run(_: int) -> None:
    """Switch off keys as they become due, until none lingers. The number of the thread is not used.

    This is not a threading.Thread: starting one waits for it, and takes locks.
    """
    global wake, _begun
    _begun += 1
    lib.own_thread_enters()
    ours = _only_one
    if not ours.acquire(False):
        return
    failed = True
    try:
        while ours is _only_one:
            # Before each look: a toggle that the look does not see rings.
            heard = lib.own_thread_rings()
            wake = lib.own_thread_ring
            due = _look()
            if not due or ours is not _only_one:  # a callback has forked, and the child has another thread for this
                break
            lib.own_thread_sleep(due, heard)
        failed = False
    finally:
        # An error ends the thread, so that the interpreter reports it, and another thread goes on. A toggle sets the
        # flag, then reads ``wake``. This thread resets ``wake``, then reads the flag. So no wake-up is lost.
        if ours is _only_one:
            wake = _start
            ours.release()
            if failed or lib.static_keys_wake:
                _wake_safely()


def _counting_start() -> Callable[[], object]:
    """Return a callable that counts a thread in ``_started`` and starts it, both in one call of C.

    Each ``next`` takes a number from ``_started`` and calls ``start_own_thread(_run, (number,))``.
    """
    arguments = zip(_started, strict=True)
    starts = map(start_own_thread, repeat(_run), arguments)
    return partial(next, starts)


_start = _counting_start()

wake = _start


def without_a_thread(error: Exception) -> None:
    """Switch off all keys that linger, as no thread can be had: there are too many, or the interpreter is ending.

    error  what ``wake`` has raised. Raises it again where it is an audit hook's or a signal handler's.
    """
    is_wakes = isinstance(error, RuntimeError) and not (error.__traceback__ and error.__traceback__.tb_next)
    if is_wakes and wake is not _start:
        return  # another thread has started it meanwhile, and it has yet to look
    try:
        while _expire(_ALL):
            pass
    except PatchError as patch_error:  # the toggle itself has taken place, so its caller does not get this
        _report(patch_error)
    if not is_wakes:
        raise error  # it is an audit hook's, or a signal handler's


def _report(error: PatchError) -> None:
    """Report the error by ``sys.unraisablehook``, which gets what a weak reference's callback raises."""

    def callback(_: object) -> None:
        raise error

    nothing = partial(int)
    reference = ref(nothing, callback)
    del nothing, reference


def _wake_safely() -> None:
    try:
        wake()
    except Exception as error:
        without_a_thread(error)


def _look() -> int:
    """Switch off the keys that are due. Return when to look again, in ns of the engine's clock; 0: no key lingers."""
    lib.os_unblock_signals()  # the thread has the signal mask of the thread that started it
    return _expire(monotonic_ns())


def _expire(now: int) -> int:
    expiry = ffi.new("struct key_expiry *")
    if callbacks:
        error = _expire_and_tell(now, expiry)
    else:
        error = lib.static_keys_expire(now, expiry, ffi.NULL)
    if error:
        name = ffi.string(expiry.name).decode(errors="replace")
        others = f" and {expiry.failed - 1} more" if expiry.failed > 1 else ""
        raise PatchError(
            -error, f"StaticKey {name!r}{others}, no longer used, could not be switched off yet: {os.strerror(-error)}"
        )
    return int(expiry.next)


_telling: Telling | None = None
"""What is being told; where a fork comes in between, its child goes on with it."""


def _expire_and_tell(now: int, expiry: Any) -> int:
    global _telling
    keys = living()  # kept alive: the report is about these keys
    report = new_report(len(keys) + 1)
    telling = _telling = Telling(partial(changes_of, report, keys))
    try:
        return int(lib.static_keys_expire(now, expiry, report))
    finally:
        try:
            telling.run()
        finally:
            _telling = None


@atexit.register
def _end() -> None:
    """Start no more threads, and wait for those that have not begun: at most a second.

    A thread that was made and has not begun crashes an interpreter that has ended. It begins in thread_run() of
    Modules/_threadmodule.c, which uses what Py_FinalizeEx() has freed by then. A thread that has begun is stopped like
    any daemon thread. The second is for a thread that was counted and could not be made.
    """
    global wake, _start
    wake = _start = allocate_lock().release  # RuntimeError: there is nothing to release
    _only_one.acquire(False)  # a thread that begins now finds another one at work, and ends
    started, end = next(_started), monotonic() + 1
    while _begun < started and monotonic() < end:
        sleep(1e-3)


def _forked() -> None:
    """Start a thread in the child, where keys linger, too. The child has its parent's locks and none of its threads."""
    global wake, _only_one, _begun, _telling
    _begun = next(_started) + 1  # with this one
    had_a_thread = wake is not _start
    wake, _only_one = _start, allocate_lock()
    untold, _telling = _telling, None
    if untold is not None and not tells_here():
        go_on_elsewhere(untold)
    if had_a_thread or lib.static_keys_wake:
        _wake_safely()


forks.in_child(_forked)
