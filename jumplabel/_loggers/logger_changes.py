"""What happens when a logger changes: keys turn on before the change, and off after it.

The hooks in loggers (change_hooks.py) and the watches of names (name_watch.py) call this.
"""

from collections.abc import Callable
from typing import Any

from jumplabel._loggers import change_hooks
from jumplabel._loggers.followed_loggers import bound, concerned, depending_on
from jumplabel._loggers.logging_lock import exclusively
from jumplabel._loggers.logging_state import LoggerStates
from jumplabel._loggers.turn_keys import Turn, bring_up_to_date, compare, turn, turn_if
from jumplabel._program import looks, name_watch
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401


def _make_change(changed: object, attributes: dict[str, Any] | None, change: Callable[[], None], wait: bool) -> None:
    """Change an object: turn on before the change what it turns on, and turn off the other keys after it.

    attributes  the object's attributes after the change; None if they cannot be foreseen
    wait        for the lock of ``logging``. Without it, make the change past the lock while another thread has it
    """

    def work() -> bool:
        affected = depending_on(changed)
        before = [followed.depends for followed in affected]
        after = before
        off: list[int] = []

        def work_out() -> Turn:
            nonlocal after, off
            if attributes is None:
                return [followed.address for followed in affected], []
            on, off = compare(affected, LoggerStates(concerned, changed, attributes))
            after = [followed.depends for followed in affected]
            for followed, depends in zip(affected, before, strict=True):
                followed.depends += depends  # until the change is made
            return on, []

        name_watch.changed()
        expected = turn(work_out)
        is_as_foreseen = False
        try:
            change()
            is_as_foreseen = attributes is not None and _are_the_same(looks.attributes(changed), attributes)
        finally:
            # Another thread or a signal handler may have bound a name to the object meanwhile.
            now = depending_on(changed)
            if not is_as_foreseen or now != affected or turn_if(expected, [], off):
                bring_up_to_date(list(dict.fromkeys(affected + now)))
            else:
                for followed, depends in zip(affected, after, strict=True):
                    followed.depends = depends
        return True

    # Without `wait`: a handler that sets attributes holds its own lock. The thread with the lock of logging may wait
    # for that one.
    if not exclusively(work, wait=wait):
        _make_change_past_lock(changed, change)


def _are_the_same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(one[name] is other[name] for name in other)


def _make_change_past_lock(changed: object, change: Callable[[], None]) -> None:
    """Change an object without waiting for the lock of ``logging``.

    Turn on all keys that depend on the object. They are worked out when the lock is free.
    """

    def turn_on() -> None:
        affected = depending_on(changed)
        name_watch.to_look_up.update(followed.address for followed in affected)
        name_watch.changed()
        turn(lambda: ([followed.address for followed in affected if not followed.engine_key.enabled], []))

    turn_on()
    try:
        change()
    finally:
        turn_on()  # the thread with the lock may have worked them out meanwhile, from before the change
        _settle()


def _clear_cache(clear: Callable[[], None], is_by_manager: bool) -> None:
    """Clear the cache of a root logger, after which any level may be another one.

    is_by_manager  ``Manager._clear_cache`` clears it, and has taken the lock of ``logging`` for it
    """

    def work() -> None:
        clear()
        name_watch.changed()
        bring_up_to_date(None)

    exclusively(work, held=int(is_by_manager))


def _rebind_name(keys: dict[int, Any], change: Callable[[], None]) -> None:
    """Bind a name to another object, or delete it, where a module's ``__setattr__`` reports that.

    keys  those that depend on the name, by address
    """

    def work() -> None:
        addresses = list(keys)
        turn(lambda: ([each for each in addresses if each in bound and not bound[each].engine_key.enabled], []))
        name_watch.to_look_up.update(addresses)  # already here, because a signal handler may raise behind the change
        try:
            change()
        finally:
            name_watch.to_look_up.update(addresses)
            name_watch.changed()
            bring_up_to_date([])

    exclusively(work)


def _settle() -> None:
    """Work out the keys whose names have changed. While another thread has the lock, they stay on for now."""
    exclusively(bring_up_to_date, [], wait=False, tell=False)


change_hooks.listeners.concerns = lambda thing: id(thing) in concerned
change_hooks.listeners.make_change = _make_change
change_hooks.listeners.make_change_past_lock = _make_change_past_lock
change_hooks.listeners.clear_cache = _clear_cache
name_watch.listeners.settle = _settle
name_watch.listeners.through = _rebind_name
