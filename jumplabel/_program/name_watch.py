"""What does a name stand for, and how do we hear that it stands for something else?

From CPython 3.12 on the dicts of modules and classes are watched (csrc/cpython/dict_watch.h). On 3.11, and where other
tools have taken all watchers, a module gets a class with ``__setattr__`` and ``__delattr__`` while names in it are
watched: what is stored in its dict directly, or in a class, is not heard of there.
"""

import logging
import sys
from collections.abc import Callable, Iterable
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple
from weakref import ref

from jumplabel._engine import ffi, lib
from jumplabel._program import looks
from jumplabel._program.looks import NOT_FOUND
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401
from jumplabel._program.unseen import Unseen, seen
from jumplabel.errors import JumpLabelError

STALE = lib.TURN_STALE

_Keys = dict[int, Any]
names: dict[int, dict[str, _Keys]] = {}
"""By the number of a dict and a name in it: the addresses of the keys that depend on it, and what keeps those."""
touched: set[int] = set()
"""The addresses of keys that were turned on since what they depend on has changed."""
turned: list[tuple[int, int, int]] = []
"""Of those that were off: the address, the number of sites, the nanoseconds that it took; until somebody tells."""

away: set[int] = set()
"""Code objects whose sites C has led away since _settle() looked last, by id."""

everything: _Keys = {}
"""All bound keys. In place of a name's own, where each of them may depend on it."""


class _Listeners:
    """Set by log_keys.py and branch_names.py."""

    def __init__(self) -> None:
        self.settle: Callable[[], None] = int  # type: ignore[assignment]
        self.settle_branches: Callable[[], None] = int  # type: ignore[assignment]
        self.through: Callable[[_Keys, Callable[[], None]], None] = lambda keys, change: change()


listeners = _Listeners()


def _settle_now(is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
    """Between any two instructions of any thread. What else is raised is a signal handler's, for whoever runs."""
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
    found: list[Any] = []
    shared = (found, names, touched, turned, _settle, away)
    if lib.dict_watch_start(*(ffi.cast("uintptr_t", id(each)) for each in shared)):
        raise MemoryError
    changes, changed, turn, *watching = found
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
    """Have the key turned on when the name in the module or class changes; None: it would not be heard of."""
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
"""Of loggers, by the numbers of their dicts."""


def watch_classes(kinds: dict[int, type], decisive: Iterable[str]) -> bool:
    """Have all keys turned on when one of these names in one of the classes changes. Whether one is watched newly."""
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
    """Nothing is bound any more."""
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
    if name == "__class__":  # behind which nobody may tell us of changes any more: then the keys stay on
        keys = {address: keep for keys in list(in_dict.values()) for address, keep in list(keys.items())}
    else:
        keys = in_dict.get(name, {})
    if keys:
        listeners.through(keys, change)
    else:
        change()


def _number_by_class(holder: Any) -> int | None:
    if issubclass(type(holder), type) or holder is logging:  # what is changed there is not heard of
        return 0
    if type(holder) is ModuleType:
        ModuleType.__setattr__(holder, "__class__", _Module)
    return id(looks.variables(holder)) if type(holder) is _Module else None


# ---- to look a name up ----


def find(module: ModuleType, path: tuple[str, ...]) -> tuple[Any, list[tuple[Any, str]]]:
    """A global and then attributes of modules and classes, or NOT_FOUND; and the names that this depends on."""
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
