"""Attributes of types and of their instances, read by getters in C: no code of the program's runs."""

from types import GetSetDescriptorType
from typing import Any

MISSING = object()

mro_of = vars(type)["__mro__"].__get__
dict_of = vars(type)["__dict__"].__get__
qualname_of = vars(type)["__qualname__"].__get__
name_of = vars(type)["__name__"].__get__


def in_mro(kind: type, name: str) -> Any:
    """What the type or the nearest of its bases has by this name; MISSING where none has."""
    for base in mro_of(kind):
        found = dict_of(base).get(name, MISSING)
        if found is not MISSING:
            return found
    return MISSING


def module_of_class(kind: type) -> str | None:
    module = dict_of(kind).get("__module__")
    return module if type(module) is str else None


def instance_dict(target: Any, kind: type) -> dict[str, Any]:
    """Empty where there is none."""
    for base in mro_of(kind):
        getter = dict_of(base).get("__dict__")
        if type(getter) is GetSetDescriptorType:  # a property of that name may be above it
            try:
                found = getter.__get__(target)
            except Exception:  # of a C type, for objects that have none
                return {}
            return found if type(found) is dict else {}
    return {}
