"""Work under the lock of ``logging``. Toggles are told to callbacks when the lock is free again.

The states of all keys that follow loggers are kept under this lock. It is taken before the engine's mutex, and survives
a fork. A signal handler may raise behind each call. So a result that decides what is to be undone is stored by
``_append_result``, within the call.
"""

import logging
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from jumplabel._keys.toggles import Toggle, callbacks, tell_all, tell_elsewhere
from jumplabel._loggers.followed_loggers import forget_keys_gone, keys_gone, nothing
from jumplabel._loggers.turn_keys import bring_up_to_date, popped, turned_by_watches, untold
from jumplabel._program import name_watch
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401

A = TypeVar("A")
R = TypeVar("R")

_depth = 0
"""How many calls of ``exclusively`` are under way in the thread that holds the lock."""


def exclusively(
    work: Callable[..., R], *arguments: Any, wait: bool = True, tell: bool = True, held: int = 0
) -> R | None:
    """Call ``work`` under the lock, and return its result. Tell the callbacks of its toggles afterwards.

    wait  for the lock. Without it, do nothing and return None while another thread has the lock
    tell  the callbacks in this thread; otherwise in a thread of the library's
    held  how often this thread may hold the lock already and still tell the callbacks itself. If it holds the lock more
          often, a thread of the library's tells them: another thread may have what a callback waits for, and wait for
          the lock itself
    """
    global _depth
    toggles: list[Toggle] = []
    lock = logging._lock  # type: ignore[attr-defined]
    tell = tell and (not callbacks or _times_held(lock) <= held)
    taken: list[bool] = []
    try:
        _append_result(taken, lock.acquire, wait)
        if not taken[0]:
            return None
        _depth += 1
        try:
            if name_watch.turned and _depth == 1:
                toggles += turned_by_watches()
            result = work(*arguments)
            if name_watch.to_look_up and _depth == 1:  # by threads that found the lock taken
                bring_up_to_date([])
            return result
        finally:
            try:
                if _depth == 1:
                    for toggles_of in popped(untold):
                        toggles += toggles_of()
                    forget_keys_gone()
            finally:
                _depth -= 1  # also where a signal handler has raised
    finally:
        if taken and taken[0]:
            lock.release()
        if toggles and callbacks:
            _tell(toggles, lock) if tell else tell_elsewhere(toggles)


def _append_result(results: list[R], function: Callable[[A], R], argument: A) -> None:
    """Append ``function(argument)`` to ``results`` in one step, between whose parts no signal handler can run.

    ``results.append(function(argument))`` is two calls. A handler that raises between them would lose the result.
    """
    results.extend(map(function, (argument,)))


def _times_held(lock: Any) -> int:
    """Return how often this thread has taken the lock; 100 for a lock that does not say how often."""
    if not lock._is_owned():
        return 0
    recursion_count = getattr(lock, "_recursion_count", None)
    if recursion_count is not None:
        return int(recursion_count())
    # The lock of CPython 3.11 says so in its repr alone: "<locked _thread.RLock object owner=... count=1 at 0x...>".
    count = repr(lock).partition(" count=")[2].partition(" ")[0]
    return int(count) if count.isdigit() else 100


def _tell(toggles: list[Toggle], lock: Any) -> None:
    """Call the callbacks without the lock.

    ``Manager._clear_cache`` may have it still. It has finished its work under the lock, so others may take it now.
    """
    if not lock._is_owned():
        tell_all(toggles)
        return
    released: list[Any] = []
    try:
        _append_result(released, type(lock)._release_save, lock)
        tell_all(toggles)
    finally:
        if released:
            lock._acquire_restore(released[0])


def key_is_gone(its_address: int, _: object, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
    """Forget a key that has been deleted; later, if another thread has the lock.

    The garbage collector calls this, in any thread and at any place. So it never waits, and a call of ``exclusively``
    that is under way in this thread forgets the key itself at its end.
    """
    if is_finalizing():  # the interpreter empties modules as it ends
        return
    keys_gone.append(its_address)
    exclusively(nothing, wait=False, tell=False)
