"""The thread that switches off deferred keys that nobody uses any more.

The engine knows which keys linger, how long, and whether the thread has to look sooner than it thinks
(csrc/engine/transaction.h). The thread runs while some key lingers: it sleeps until the first one is due, and ends when
it finds none. Toggles wake or start it. They are called from destructors and signal handlers too, which interrupt
others at any point: nothing here takes a lock that one thread could want twice.
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
"""The keys that there are. static_key.py knows them, and says so here."""

wake: Callable[[], object]
"""Call it behind a toggle that has set ``lib.static_keys_wake``, with nothing in between: a signal handler may raise
behind any call, and this is one call of C. What it raises goes to ``without_a_thread()``."""


_started = count()
_begun = 0
"""How many threads were started, and how many of them have come as far as to run Python."""


def _run(_: int) -> None:
    """Not a threading.Thread: to start one is to wait for it, and to take locks."""
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
        # An error ends the thread, which is how the interpreter reports it, and another one goes on. A toggle sets the
        # flag, then reads ``wake``. This thread resets ``wake``, then reads the flag. So no wake-up is lost.
        if ours is _only_one:
            wake = _start
            ours.release()
            if failed or lib.static_keys_wake:
                _wake_safely()


_start: Callable[[], object] = partial(next, map(start_own_thread, repeat(_run), zip(_started, strict=True)))

wake = _start


def without_a_thread(error: Exception) -> None:
    """Where none can be had, nothing lingers: the process has too many, or the interpreter is ending."""
    is_wakes = isinstance(error, RuntimeError) and not (error.__traceback__ and error.__traceback__.tb_next)
    if is_wakes and wake is not _start:
        return  # another thread has started it meanwhile, and it has yet to look
    try:
        while _expire(_ALL):
            pass
    except PatchError as patch_error:  # of a toggle that has taken place: not its caller's
        _report(patch_error)
    if not is_wakes:
        raise error  # it is an audit hook's, or a signal handler's


def _report(error: PatchError) -> None:
    """To sys.unraisablehook, which is told what a weak reference's callback raises."""

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
    """Switch off what is due. When to look again, in ns of the engine's clock; 0: nothing lingers."""
    lib.os_unblock_signals()  # the mask is that of whoever started us
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
    keys = living()  # held: what the report says is said of these, and of no later ones
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
    """The interpreter dies of a thread that is made and has not begun when it ends: wait for those, and start no more.

    (Its first act is in thread_run() of Modules/_threadmodule.c, with what Py_FinalizeEx() has freed by then.) One that
    has begun is stopped like any daemon thread. The time is for one that could not be made after all.
    """
    global wake, _start
    wake = _start = allocate_lock().release  # RuntimeError: there is nothing to release
    _only_one.acquire(False)  # who begins now finds one at work, and ends
    started, end = next(_started), monotonic() + 1
    while _begun < started and monotonic() < end:
        sleep(1e-3)


def _forked() -> None:
    """Keys linger in a child, too, which has none of its parent's threads but the locks that they held."""
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
