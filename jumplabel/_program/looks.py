"""Looks at the program's objects without running the program's code.

A metaclass, a property or a ``__getattribute__`` may answer what an attribute is asked for. So nothing is asked here:
the interpreter's own getters are applied to the object. Names are only taken where they are plain strings.
"""

from types import FunctionType, GetSetDescriptorType, MappingProxyType, MemberDescriptorType, ModuleType
from typing import Any

from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401

NOT_FOUND: Any = object()

_OF_TYPES: Any = type.__dict__
_mro, _dict, _flags = (_OF_TYPES[name].__get__ for name in ("__mro__", "__dict__", "__flags__"))
_module, _qualname, _name = (_OF_TYPES[name].__get__ for name in ("__module__", "__qualname__", "__name__"))
_OF_MODULES: Any = vars(ModuleType)
_variables = _OF_MODULES["__dict__"].__get__


def mro(kind: type) -> tuple[type, ...]:
    """Return ``kind.__mro__``; empty while the class is being made."""
    found: tuple[type, ...] | None = _mro(kind)
    return found or ()


def space(kind: type) -> "MappingProxyType[str, Any]":
    """Return what ``vars(kind)`` is for a class."""
    found: MappingProxyType[str, Any] = _dict(kind)
    return found


def first(kind: type, name: str) -> Any:
    """Return what a class has by a name, itself or from its bases; NOT_FOUND."""
    for base in mro(kind):
        found = _dict(base).get(name, NOT_FOUND)
        if found is not NOT_FOUND:
            return found
    return NOT_FOUND


def first_is(kind: type, name: str, base: type) -> bool:
    """Return whether it is the base that the class has this attribute from."""
    return next((one for one in mro(kind) if name in _dict(one)), None) is base


def can_change(kind: type) -> bool:
    """Return whether attributes of the class can be set: not those of the interpreter's own classes."""
    return not _flags(kind) & 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE, Include/object.h


def flags(kind: type) -> int:
    found: int = _flags(kind)
    return found


def variables(module: ModuleType) -> dict[str, Any]:
    """Return what ``vars(module)`` is; empty for a module that has not been initialized."""
    found: dict[str, Any] | None = _variables(module)
    return found if found is not None else {}


def attributes(thing: object) -> dict[str, Any]:
    """Return the object's own attributes; empty where it has none."""
    for base in mro(type(thing)):
        getter = _dict(base).get("__dict__")
        kind = type(getter)
        if kind is GetSetDescriptorType or kind is MemberDescriptorType:  # not a property above it
            try:
                found = getter.__get__(thing)
            except Exception:  # of a C type, for objects that have none
                return {}
            return found if type(found) is dict else {}
    return {}


def text(value: object) -> str:
    """Return a string as it is, and nothing for anything else."""
    return value if type(value) is str else ""


def name_of(thing: Any) -> str:
    """Return the ``__name__`` of a class or a module, for texts."""
    kind = type(thing)
    if issubclass(kind, type):
        return text(_name(thing))
    return text(variables(thing).get("__name__")) if issubclass(kind, ModuleType) else ""


def qualname_of(kind: type) -> str:
    return text(_qualname(kind))


def module_of(thing: Any) -> str:
    """Return the ``__module__`` of a class or a function."""
    if type(thing) is FunctionType:
        return text(thing.__module__)
    return text(_module(thing)) if issubclass(type(thing), type) else ""


def attribute(holder: Any, name: str) -> tuple[Any, list[Any]]:
    """Return what a module or class has by a name, and the modules and classes that it depends on.

    NOT_FOUND where code decides: a metaclass, a module's class, a descriptor.
    """
    kind: Any = type(holder)
    usual: Any = next((usual for usual in (ModuleType, type) if issubclass(kind, usual)), None)
    if usual is None or first(kind, "__getattribute__") is not space(usual)["__getattribute__"]:
        return NOT_FOUND, []
    depends: list[Any] = [base for base in mro(kind) if can_change(base)]  # it may come first
    if first(kind, name) is not NOT_FOUND:
        return NOT_FOUND, depends
    places: tuple[Any, ...] = mro(holder) if usual is type else (holder,)
    for one in places:
        if usual is ModuleType or can_change(one):
            depends.append(one)
        value = (space(one) if usual is type else variables(one)).get(name, NOT_FOUND)
        if value is not NOT_FOUND:
            decides = usual is type and first(type(value), "__get__") is not NOT_FOUND
            return (NOT_FOUND if decides else value), depends
    return NOT_FOUND, depends
