"""Looks at the program's objects without running the program's code.

A metaclass, a property or a ``__getattribute__`` may run when an attribute is read. So this module reads none: it
applies the interpreter's own getters to the object. A name counts only where it is a plain string.
"""

from types import FunctionType, GetSetDescriptorType, MappingProxyType, MemberDescriptorType, ModuleType
from typing import Any

from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401

NOT_FOUND: Any = object()
"""In place of a value: there is none, or code of the program would decide it."""

_OF_TYPES: Any = type.__dict__
_mro, _dict, _flags = (_OF_TYPES[name].__get__ for name in ("__mro__", "__dict__", "__flags__"))
_module, _qualname, _name = (_OF_TYPES[name].__get__ for name in ("__module__", "__qualname__", "__name__"))
_OF_MODULES: Any = vars(ModuleType)
_variables = _OF_MODULES["__dict__"].__get__


def mro(kind: type) -> tuple[type, ...]:
    """Return ``kind.__mro__``: the class and its bases. It is empty while the class is being made."""
    found: tuple[type, ...] | None = _mro(kind)
    return found or ()


def class_dict(kind: type) -> "MappingProxyType[str, Any]":
    """Return the dict of a class, as ``vars(kind)`` does."""
    found: MappingProxyType[str, Any] = _dict(kind)
    return found


def class_attribute(kind: type, name: str) -> Any:
    """Return what a class has by a name, its own or from the first base that has it; or NOT_FOUND."""
    for base in mro(kind):
        found = _dict(base).get(name, NOT_FOUND)
        if found is not NOT_FOUND:
            return found
    return NOT_FOUND


def first_is(kind: type, name: str, base: type) -> bool:
    """Return whether the base is the first class of the MRO that has the attribute."""
    for one in mro(kind):  # no generator: what a signal handler raises while one is closed would be lost
        if name in _dict(one):
            return one is base
    return False


def can_change(kind: type) -> bool:
    """Return whether attributes of the class can be set. Those of the interpreter's own classes cannot."""
    return not _flags(kind) & 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE, Include/object.h


def flags(kind: type) -> int:
    """Return ``kind.__flags__``."""
    found: int = _flags(kind)
    return found


def variables(module: ModuleType) -> dict[str, Any]:
    """Return the dict of a module, as ``vars(module)`` does; empty for a module that has not been initialized."""
    found: dict[str, Any] | None = _variables(module)
    return found if found is not None else {}


def attributes(thing: object) -> dict[str, Any]:
    """Return the dict of an object's own attributes; empty where the object has none."""
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
    """Return a plain string as it is, and ``""`` for anything else."""
    return value if type(value) is str else ""


def name_of(thing: Any) -> str:
    """Return the ``__name__`` of a class or a module; ``""`` for anything else."""
    kind = type(thing)
    if issubclass(kind, type):
        return text(_name(thing))
    return text(variables(thing).get("__name__")) if issubclass(kind, ModuleType) else ""


def qualname_of(kind: type) -> str:
    """Return the ``__qualname__`` of a class."""
    return text(_qualname(kind))


def module_of(thing: Any) -> str:
    """Return the ``__module__`` of a class or a function; ``""`` for anything else."""
    if type(thing) is FunctionType:
        return text(thing.__module__)
    return text(_module(thing)) if issubclass(type(thing), type) else ""


def attribute(holder: Any, name: str) -> tuple[Any, list[Any]]:
    """Return what a module or class has by a name, and the modules and classes that it depends on.

    The value is NOT_FOUND where code decides it: a metaclass, a module's class, a descriptor.
    """
    kind: Any = type(holder)
    usual: Any = next((usual for usual in (ModuleType, type) if issubclass(kind, usual)), None)
    if usual is None or class_attribute(kind, "__getattribute__") is not class_dict(usual)["__getattribute__"]:
        return NOT_FOUND, []
    depends: list[Any] = [base for base in mro(kind) if can_change(base)]  # an attribute of a metaclass may come first
    if class_attribute(kind, name) is not NOT_FOUND:
        return NOT_FOUND, depends
    places: tuple[Any, ...] = mro(holder) if usual is type else (holder,)
    for one in places:
        if usual is ModuleType or can_change(one):
            depends.append(one)
        value = (class_dict(one) if usual is type else variables(one)).get(name, NOT_FOUND)
        if value is not NOT_FOUND:
            decides = usual is type and class_attribute(type(value), "__get__") is not NOT_FOUND
            return (NOT_FOUND if decides else value), depends
    return NOT_FOUND, depends
