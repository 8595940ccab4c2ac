"""Which Python functions are in what is decorated? Looks into classes and wrappers, and runs no code of the program's.

An object says by its type, not by ``__class__``, what it is. An attribute is read by a getter that C code made for the
type, or from the instance's dictionary: a property, a ``__getattribute__`` or a metaclass is never asked.
"""

import gc
from collections.abc import Iterator
from functools import cached_property, partial, partialmethod, singledispatchmethod
from types import FunctionType, GetSetDescriptorType, MappingProxyType, MemberDescriptorType, MethodType
from typing import Any

from jumplabel.snapshots import Snapshot

_MISSING = object()
_GETTERS = (GetSetDescriptorType, MemberDescriptorType)
_mro_of = vars(type)["__mro__"].__get__
_dict_of = vars(type)["__dict__"].__get__
_qualname_of = vars(type)["__qualname__"].__get__
_name_of = vars(type)["__name__"].__get__

# Attributes of the types themselves, which a subclass may hide, and which hold a function or a wrapper.
_HELD: list[tuple[type, list[Any]]] = [
    (property, [vars(property)[name] for name in ("fget", "fset", "fdel")]),
    (classmethod, [vars(classmethod)["__func__"]]),
    (staticmethod, [vars(staticmethod)["__func__"]]),
    (MethodType, [vars(MethodType)["__func__"]]),
    (partial, [vars(partial)["func"]]),
]

_NAMED: list[tuple[type, str]] = [
    (cached_property, "func"),
    (partialmethod, "func"),
    (singledispatchmethod, "dispatcher"),
]
"""Types in Python, and the name in the instance's dictionary."""

_LAZY = "__wrapped_factory__"
"""wrapt's lazy proxies call this function of the program's to get at what they wrap."""


def functions_in(target: Any, above: tuple[Any, ...] = ()) -> Iterator[FunctionType]:
    """The functions in what is decorated, or in an attribute of a class: anything may be there."""
    kind = type(target)
    if kind is Snapshot or any(target is one for one in above):
        return
    above = (*above, target)
    if issubclass(kind, type):
        for value in list(_dict_of(target).values()):
            if not issubclass(type(value), type) or _is_defined_in(target, value):
                yield from functions_in(value, above)
    elif kind is FunctionType:
        yield target
        yield from functions_in(getattr(target, "__wrapped__", None), above)
        for implementation in _registered(target):
            yield from functions_in(implementation, above)
    else:
        for below in _held(target, kind):
            yield from functions_in(below, above)


def module_of(target: Any) -> Any:
    """The module that says that a class or function is its own; None for anything else."""
    kind = type(target)
    if issubclass(kind, type):
        return _module_of_class(target)
    return target.__module__ if kind is FunctionType else None


def _module_of_class(kind: type) -> str | None:
    module = _dict_of(kind).get("__module__")
    return module if type(module) is str else None


def _is_defined_in(outer: type, inner: type) -> bool:
    name = f"{_qualname_of(outer)}.{_name_of(inner)}"
    return bool(_module_of_class(inner) == _module_of_class(outer) and _qualname_of(inner) == name)


def _registered(function: FunctionType) -> list[Any]:
    """The implementations behind a function that ``singledispatch`` has made."""
    registry = vars(function).get("registry")
    # A view of a dictionary of the program's own class would run its code.
    if type(registry) is MappingProxyType and [type(one) for one in gc.get_referents(registry)] == [dict]:
        return list(registry.values())
    return []


def _held(target: Any, kind: type) -> list[Any]:
    """What an object wraps, as far as it can be told; perhaps nothing."""
    for base, getters in _HELD:
        if issubclass(kind, base):
            return [getter.__get__(target) for getter in getters]
    for base, name in _NAMED:
        if issubclass(kind, base):
            return [_instance_dict(target, kind).get(name)]
    if _in_mro(kind, _LAZY) is not _MISSING:
        return []
    getter = _in_mro(kind, "__wrapped__")
    if type(getter) in _GETTERS:  # wrapt's proxies in C, or a slot
        try:
            return [getter.__get__(target)]
        except Exception:  # there is nothing in it yet: AttributeError, or what the type makes of it
            return []
    return [_instance_dict(target, kind).get("__wrapped__")]


def _in_mro(kind: type, name: str) -> Any:
    for base in _mro_of(kind):
        found = _dict_of(base).get(name, _MISSING)
        if found is not _MISSING:
            return found
    return _MISSING


def _instance_dict(target: Any, kind: type) -> dict[str, Any]:
    """Empty where there is none."""
    for base in _mro_of(kind):
        getter = _dict_of(base).get("__dict__")
        if type(getter) is GetSetDescriptorType:  # a property of that name may be above it
            try:
                found = getter.__get__(target)
            except Exception:  # of a C type, for objects that have none
                return {}
            return found if type(found) is dict else {}
    return {}
