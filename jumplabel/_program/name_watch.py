"""Watches names in modules and classes: finds what a name stands for, and notices when that changes.

From CPython 3.12 on the dicts of modules and classes are watched (csrc/cpython/dict_watch.h). On 3.11, and where other
tools have taken all watchers, a module gets a class with ``__setattr__`` and ``__delattr__`` while names in it are
watched. **There, a change of a class, or one made in a module's dict directly, is not noticed.**
"""

import logging
import sys
from collections.abc import Callable, Iterable
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple
from weakref import ref

from jumplabel._engine import lib
from jumplabel._program import looks
from jumplabel._program.engine_objects import published
from jumplabel._program.looks import NOT_FOUND
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401
from jumplabel._program.unseen import Unseen, seen
from jumplabel.errors import JumpLabelError

STALE = lib.TURN_STALE

_Keys = dict[int, Any]
names: dict[int, dict[str, _Keys]] = {}
"""Maps the number of a dict, and a name in it, to the keys that depend on the name: address to what keeps the key."""
to_look_up: set[int] = set()
"""The addresses of the keys whose names must be looked up again. C adds the keys of a name that changes."""
turned: list[tuple[int, int, int]] = []
"""The keys that C has turned on, until callbacks are told of the toggle.

Each is the address, the number of sites, and the nanoseconds that the toggle took.
"""

away: set[int] = set()
"""The ids of code objects whose sites C has led away since ``_settle`` looked last."""

everything: _Keys = {}
"""All bound keys. Stands in ``names`` for a name that each of them may depend on."""


class _Listeners:
    """The functions to call after changes. logger_changes.py and branch_names.py set their own functions here."""

    def __init__(self) -> None:
        self.settle: Callable[[], None] = int  # type: ignore[assignment]
        self.settle_branches: Callable[[], None] = int  # type: ignore[assignment]
        self.through: Callable[[_Keys, Callable[[], None]], None] = lambda keys, change: change()


listeners = _Listeners()


def _settle_now(is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
    """Settle what depends on changed names. Runs between any two instructions of any thread.

    Reports our own errors as unraisable. Any other exception is a signal handler's, for the code that runs.
    """
    if is_finalizing():  # the interpreter empties modules as it ends
        return
    try:
        if away:
            listeners.settle_branches()
        listeners.settle()
    except (JumpLabelError, RecursionError) as error:
        lib.call_site_unraisable(id(error), id(_settle))


_settle = Unseen(_settle_now)


def _start() -> tuple[Any, ...]:
    shared = names, to_look_up, turned, _settle, away
    changes, changed, turn, *watching = published(lib.dict_watch_start, *map(id, shared))
    return changes, changed, turn, *(watching or (None,) * 9)


changes, changed, turn, watch_dict, _unwatch, note, follow_again, *_of_sites = _start()
follow, follow_also, followed, lead_branches, followers = _of_sites
"""For branch_names.py: csrc/cpython/named_sites.h."""
HEARS_ALL = watch_dict is not None
"""Whether dicts are watched."""


class Watch(NamedTuple):
    """A name in a module or class that is watched for a key."""

    holder: "ref[Any]"
    number: int
    name: str


def watch(holder: Any, name: str, address: int, keep: object) -> Watch | None:
    """Have the key turned on when the name in the module or class changes. None: a change would not be noticed.

    holder   the module or class
    address  the engine's key
    keep     what keeps the key alive
    """
    if HEARS_ALL:
        note(name)
        number = watch_dict(holder)
    else:
        number = _number_by_class(holder)
    if number is None:
        return None
    keys = names.setdefault(number, {}).setdefault(name, {})
    if keys is not everything:
        keys[address] = keep
    return Watch(ref(holder), number, name)


def unwatch(watch: Watch, address: int) -> None:
    """Watch the name for this key no longer."""
    in_dict = names.get(watch.number, {})
    keys = in_dict.get(watch.name, everything)
    if keys is not everything:
        keys.pop(address, None)
        if not keys:
            del in_dict[watch.name]
            _unwatch_if_empty(watch.number, watch.holder())


def _unwatch_if_empty(number: int, holder: Any) -> None:
    if names.get(number):
        return
    names.pop(number, None)
    if holder is not None and HEARS_ALL:
        _unwatch(holder)
    elif type(holder) is _Module:
        ModuleType.__setattr__(holder, "__class__", ModuleType)


_classes: "dict[int, ref[type]]" = {}
"""The classes of loggers, by the numbers of their dicts."""


def watch_classes(kinds: dict[int, type], decisive: Iterable[str]) -> bool:
    """Have all keys turned on when one of these names in one of the classes changes.

    Returns whether this watches a class that was not watched before.
    """
    if not HEARS_ALL:
        return False
    for number, reference in list(_classes.items()):
        kind = reference()
        if kind is None:
            _forget_class(number)
        kinds.pop(id(kind), None)
    new = [kind for kind in kinds.values() if looks.can_change(kind)]
    if new:
        decisive = list(decisive)
        for name in decisive:
            note(name)
    for kind in new:
        number = watch_dict(kind)
        _classes[number] = ref(kind)
        names.setdefault(number, {}).update(dict.fromkeys(decisive, everything))
    return bool(new)


def forget_classes() -> None:
    """Watch no class any longer: no key is bound."""
    for number in list(_classes):
        _forget_class(number)


def _forget_class(number: int) -> None:
    in_dict = names.get(number, {})
    for name in [name for name, keys in in_dict.items() if keys is everything]:
        del in_dict[name]
    _unwatch_if_empty(number, _classes.pop(number)())


# ---- where there are no watchers ----


class _Module(ModuleType):
    __slots__ = ()


def _set(module: Any, name: str, value: object) -> None:
    _change(module, name, partial(seen, super(_Module, module).__setattr__, name, value))


def _delete(module: Any, name: str) -> None:
    _change(module, name, partial(seen, super(_Module, module).__delattr__, name))


_Module.__setattr__ = Unseen(_set, ModuleType.__setattr__)  # type: ignore[method-assign]
_Module.__delattr__ = Unseen(_delete, ModuleType.__delattr__)  # type: ignore[method-assign]


_Module.__name__ = _Module.__qualname__ = "module"
_Module.__module__ = ModuleType.__module__


def _change(module: ModuleType, name: str, change: Callable[[], None]) -> None:
    in_dict = names.get(id(looks.variables(module)), {})
    if name == "__class__":  # with another class, later changes may not be noticed: the keys stay on
        keys = {address: keep for keys in list(in_dict.values()) for address, keep in list(keys.items())}
    else:
        keys = in_dict.get(name, {})
    if keys:
        listeners.through(keys, change)
    else:
        change()


def _number_by_class(holder: Any) -> int | None:
    if issubclass(type(holder), type) or holder is logging:  # changes there are not noticed
        return 0
    if type(holder) is ModuleType:
        ModuleType.__setattr__(holder, "__class__", _Module)
    return id(looks.variables(holder)) if type(holder) is _Module else None


# ---- to look a name up ----


def find(module: ModuleType, path: tuple[str, ...]) -> tuple[Any, list[tuple[Any, str]]]:
    """Return what a path in a module stands for, or NOT_FOUND; and the names that this depends on.

    path  the name of a global, then of attributes of modules and classes
    """
    variables = looks.variables(module)
    depends: list[tuple[Any, str]] = [(module, path[0])]
    found: Any = variables.get(path[0], NOT_FOUND)
    for name in path[1:]:
        found, more = _attribute(found, name)
        depends += more
    return found, depends


def _attribute(holder: Any, name: str) -> tuple[Any, list[tuple[Any, str]]]:
    found, depends = looks.attribute(holder, name)
    return found, [(one, name) for one in depends]
