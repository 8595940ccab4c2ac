"""Turn keys on and off as their loggers are now. The one path on which the keys of loggers are toggled.

The caller holds the lock of ``logging``. Signal handlers run between two instructions, also in here, and may change
loggers. So ``turn`` has the engine compare the number of changes, and works the states out again after a change.
"""

from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import TypeVar

from jumplabel._engine import ffi
from jumplabel._keys.toggles import Toggle, callbacks, changes_of, new_report
from jumplabel._keys.transactions import patch_error
from jumplabel._loggers.followed_loggers import FollowedLogger, bound, concerned, key_at
from jumplabel._loggers.logging_state import DECISIVE, LoggerStates
from jumplabel._program import name_watch
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401

T = TypeVar("T")

Turn = tuple[list[int], list[int]]
"""The addresses of the keys to turn on, and of those to turn off."""

untold: list[Callable[[], list[Toggle]]] = []
"""The toggles that callbacks have not been told of yet, one function for each transaction."""


def bring_up_to_date(some: list[FollowedLogger] | None) -> None:
    """Turn these keys as their loggers are now, and the keys whose names have changed; None: all bound keys.

    Raises PatchError where the sites cannot be rewritten. The next call makes up for it then.
    """
    looked_up = [] if some is None else list(some)
    try:
        turn(partial(_as_loggers_are, looked_up, some is None))
    except BaseException:
        name_watch.to_look_up.update(map(attrgetter("address"), looked_up))
        raise


def _as_loggers_are(some: list[FollowedLogger], all_of_them: bool) -> Turn:
    """Look the names up that have changed, and compare. Adds the keys of these names to ``some``."""
    for its_address in list(name_watch.to_look_up):
        followed = bound.get(its_address)
        if followed is not None:
            # Before discard(), behind which a signal handler may raise: bring_up_to_date() then notes the key again.
            # The key also stays in `some` for the next round of turn().
            some.append(followed)
        name_watch.to_look_up.discard(its_address)
        if followed is not None:
            followed.look_up()
    states = LoggerStates(concerned)
    result = compare(list(bound.values()) if all_of_them else some, states)
    if name_watch.watch_classes(states.kinds, DECISIVE):
        name_watch.changed()  # a class may have changed between the comparison and its watch: compare again
    return result


def compare(some: list[FollowedLogger], states: LoggerStates) -> Turn:
    """Return the keys to turn on and those to turn off. Notes on which objects each key depends."""
    on: list[int] = []
    off: list[int] = []
    for followed in some:
        may_act, followed.depends = followed.may_act(states)
        if may_act != followed.engine_key.enabled:
            (on if may_act else off).append(followed.address)
    return on, off


def turn(work_out: Callable[[], Turn]) -> int:
    """Work out which keys to turn, and turn them. Works it out again if something changes meanwhile.

    Returns the number of changes that the states take into account. Raises PatchError where the sites cannot be
    rewritten.
    """
    error = name_watch.STALE
    while error == name_watch.STALE:
        changes: int = name_watch.changes()
        error = turn_if(changes, *work_out())
    if error:
        raise patch_error(error, "the keys of loggers")
    return changes


def turn_if(changes: int, on: list[int], off: list[int]) -> int:
    """Turn the keys if the number of changes is still this one. Returns 0, ``name_watch.STALE`` or an error's number.

    Notes the toggles for the callbacks.
    """
    if not callbacks:
        return int(name_watch.turn(changes, on, off))
    keys = [key for address in (*on, *off) if (key := key_at(address)) is not None]
    report = new_report(len(on) + len(off))
    untold.append(partial(changes_of, report, keys))  # before the call, behind which a signal handler may raise
    return int(name_watch.turn(changes, on, off, int(ffi.cast("uintptr_t", report))))


def turned_by_watches() -> list[Toggle]:
    """Return the toggles that the watches of names have made: in the middle of a change, where no callback may run."""
    found = [(key_at(address), sites, nanoseconds) for address, sites, nanoseconds in popped(name_watch.turned)]
    return [Toggle(key, False, True, sites, nanoseconds) for key, sites, nanoseconds in found if key is not None]


def popped(items: list[T]) -> list[T]:
    """Return the items, and take them out of the list. Items that are added meanwhile stay in it."""
    taken = items[:]
    del items[: len(taken)]
    return taken
