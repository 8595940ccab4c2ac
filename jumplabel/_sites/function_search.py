"""The search for Python functions in a decorated object: looks into classes and wrappers.

The search runs no code of the program's. It goes by an object's type, not by its ``__class__``. It reads an attribute
by a getter that C code made for the type, or from the instance's dictionary. No property, ``__getattribute__`` or
metaclass runs.
"""

import gc
from collections.abc import Iterator
from functools import cached_property, partial, partialmethod, singledispatchmethod
from types import (
    CellType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

from jumplabel._program import looks
from jumplabel._program.looks import NOT_FOUND
from jumplabel._sites.snapshots import Snapshot

_GETTERS = (GetSetDescriptorType, MemberDescriptorType)

_WRAPPERS_IN_C: list[tuple[type, list[Any]]] = [
    (property, [vars(property)[name] for name in ("fget", "fset", "fdel")]),
    (classmethod, [vars(classmethod)["__func__"]]),
    (staticmethod, [vars(staticmethod)["__func__"]]),
    (MethodType, [vars(MethodType)["__func__"]]),
    (partial, [vars(partial)["func"]]),
]
"""Types, and the getters of the attributes that hold a function or a wrapper. A subclass may hide these attributes."""

_WRAPPERS_IN_PYTHON: list[tuple[type, str]] = [
    (cached_property, "func"),
    (partialmethod, "func"),
    (singledispatchmethod, "dispatcher"),
]
"""Types, and the attribute in the instance's dictionary that holds a function or a wrapper."""

_LAZY = "__wrapped_factory__"
"""The attribute of wrapt's lazy proxies with a function of the program's. They call it to get what they wrap."""


def functions_in(target: Any, above: tuple[Any, ...] = ()) -> Iterator[FunctionType]:
    """Yield the functions in a decorated object, or in an attribute of a class, which may be any object.

    above  the objects that the search has come through; wrappers may wrap each other
    """
    kind = type(target)
    if kind is Snapshot or any([target is one for one in above]):
        return
    above = (*above, target)
    if issubclass(kind, type):
        for name, value in list(looks.class_dict(target).items()):
            if not issubclass(type(value), type) or _is_defined_in(target, value):
                yield from functions_in(value, above)
                yield from _hidden(target, name, value)
    elif kind is FunctionType:
        yield target
        yield from functions_in(getattr(target, "__wrapped__", None), above)
        for implementation in _registered(target):
            yield from functions_in(implementation, above)
    else:
        for below in _held(target, kind):
            yield from functions_in(below, above)


def module_of(target: Any) -> Any:
    """Return the ``__module__`` of a class or function, or of what is wrapped; None where there is none."""
    for _ in range(_MANY):  # wrappers may wrap each other
        kind = type(target)
        if issubclass(kind, type):
            return looks.module_of(target) or None
        if kind is FunctionType:
            return target.__module__
        held = [one for one in _held(target, kind) if one is not None]
        if not held:
            break
        target = held[0]
    return None


def _is_defined_in(outer: type, inner: type) -> bool:
    name = f"{looks.qualname_of(outer)}.{looks.name_of(inner)}"
    return looks.module_of(inner) == looks.module_of(outer) and looks.qualname_of(inner) == name


_DEEP = 4
"""The most steps of the search in a wrapper without ``__wrapped__``."""
_MANY = 100
"""The most elements of a tuple or dictionary on its way, and the most wrappers around each other."""


def _hidden(owner: type, name: str, value: Any) -> Iterator[FunctionType]:
    """Yield the method of this name that a wrapper without ``__wrapped__`` has in a closure or an attribute.

    The search knows the method by its module and its qualified name. It asks the garbage collector what refers to what,
    which runs no code of the program's.
    """
    module, qualname = looks.module_of(owner), f"{looks.qualname_of(owner)}.{name}"

    def is_the_method(one: Any) -> bool:
        return type(one) is FunctionType and one.__module__ == module and one.__qualname__ == qualname

    if is_the_method(value) or not _may_wrap(value):
        return
    around, seen = [value], {id(value)}
    for _ in range(_DEEP):
        held = [one for each in around for one in gc.get_referents(*_parts(each))]
        yield from filter(is_the_method, held)
        around = [one for one in {id(one): one for one in held if id(one) not in seen}.values() if _may_wrap(one)]
        seen.update(map(id, around))


def _may_wrap(one: Any) -> bool:
    kind = type(one)
    if kind is tuple or kind is dict:
        return len(one) <= _MANY
    if issubclass(kind, type | ModuleType | Snapshot):
        return False
    return kind is CellType or callable(one) or looks.class_attribute(kind, "__get__") is not NOT_FOUND


def _parts(one: Any) -> list[Any]:
    """Return the parts of an object to search. Of a function: what made it, and its attributes, but not its globals."""
    if type(one) is not FunctionType:
        return [one]
    parts = [part for part in gc.get_referents(one) if type(part) in (tuple, dict)]
    return [part for part in parts if part is not one.__globals__ and part is not one.__builtins__]


def _registered(function: FunctionType) -> list[Any]:
    """Return the implementations behind a function that ``singledispatch`` has made."""
    registry = getattr(function, "registry", None)  # vars() would give each function a dictionary
    # The view may be of a dictionary of the program's own class, whose code would run.
    if type(registry) is MappingProxyType and [type(one) for one in gc.get_referents(registry)] == [dict]:
        return list(registry.values())
    return []


def _held(target: Any, kind: type) -> list[Any]:
    """Return what an object wraps, as far as its type tells."""
    for base, getters in _WRAPPERS_IN_C:
        if issubclass(kind, base):
            return [getter.__get__(target) for getter in getters]
    for base, name in _WRAPPERS_IN_PYTHON:
        if issubclass(kind, base):
            return [looks.attributes(target).get(name)]
    if looks.class_attribute(kind, _LAZY) is not NOT_FOUND:
        return []
    getter = looks.class_attribute(kind, "__wrapped__")
    if type(getter) in _GETTERS:  # wrapt's proxies in C, or a slot
        try:
            return [getter.__get__(target)]
        except Exception:  # there is nothing in it yet: AttributeError, or what the type makes of it
            return []
    return [looks.attributes(target).get("__wrapped__")]
