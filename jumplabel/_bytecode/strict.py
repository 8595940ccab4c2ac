"""What ``static_branches(strict=True)`` refuses, and what it says to do instead.

A test may be a key's where it tests a name, or a name with dots: ``tracing``, ``flags.tracing``, ``self.tracing``. It
is refused unless it becomes a site, or the value can be looked up now and is no key. A plain local variable counts as
no key.

A subscript, a call or a comparison is no name, and so an ordinary test. There are three exceptions: items of an array
of keys, keys that are found in a dictionary, and tests that ask a key about itself.
"""

import gc
from collections.abc import Callable, Iterator
from types import (
    BuiltinFunctionType,
    FunctionType,
    MemberDescriptorType,
    MethodDescriptorType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any

from jumplabel._bytecode.find_tests import GLOBAL, LOCAL, Path, Reading, Test, is_item, shown
from jumplabel._bytecode.hints import HINTS
from jumplabel._bytecode.scope import Scope, is_key
from jumplabel._keys.key_arrays import StaticKeyArray
from jumplabel._program import looks
from jumplabel._program.looks import NOT_FOUND

_STATE = {"enabled", "count"}
"""The attributes of a key that tell its state."""


def tests_that_ask_keys(reading: Reading, find: Callable[[Path], Any]) -> Iterator[tuple[str, int | None, str]]:
    """Return the tests that ask a key about itself: what the source says, on which line, and why it is no site.

    find  returns the value at a path, or NOT_FOUND
    """
    for test in reading.tests:
        hint = find(test.hint) if test.hint else None
        asked = _key_asked(test.path, find)
        if hint is bool and is_key(find(test.path)):
            asked = test.path
        if asked and (hint is None or hint is bool or any(hint is one for one in HINTS)):
            written = f"{shown(test.hint)}({shown(test.path)})" if test.hint else shown(test.path)
            yield written, test.line, _advice(asked)
    for path, line in reading.comparisons():
        asked = _key_asked(path, find)
        if asked:
            yield shown(path), line, _advice(asked)
    for path, line in reading.kept_tests():
        if is_key(find(path)):
            yield shown(path), line, f"its value is put into a variable, too; {_advice(path).partition('; ')[2]}"
    for path, line in reading.negations:
        if is_key(find(path)):
            name = shown(path)
            yield f"not {name}", line, f"its value is used; write `False if {name} else True`"


def _key_asked(path: Path, find: Callable[[Path], Any]) -> Path | None:
    """Return the path of the key that the last name of a path asks; None where it asks none."""
    return path[:-1] if path[-1] in _STATE and len(path) > 2 and is_key(find(path[:-1])) else None


def _advice(key: Path) -> str:
    return f"it asks the key whenever it runs; write `if {shown(key)}:`"


def doubt(path: Path, scope: Scope) -> str:
    """Return why a value that is not found may be a key, and what to do about it; empty where it is no key.

    Looks, and runs no code of the program's.
    """
    if any(map(is_item, path)):
        return _doubt_of_item(path, scope)
    name = shown(path)
    if not scope.knows(path):
        if path[0] == LOCAL and len(path) == 2:
            return ""
        return f"{_NOWHERE}: {path[1]} is known only when the function runs; {_NAME_THE_KEY}"
    known = 2
    holder = scope.find(path[:known])
    if holder is NOT_FOUND:
        where = "global" if path[0] == GLOBAL else "closure variable"
        return f"{_NOWHERE}: there is no {where} {path[1]} yet; make the key before the function is decorated"
    while known < len(path):
        found = scope.find(path[: known + 1])
        if found is NOT_FOUND:
            break
        holder, known = found, known + 1
    kind, attribute = type(holder), path[known]
    if kind is StaticKeyArray:
        return f"{_NOWHERE}: the array has no key {attribute!r}"
    if is_key(holder) or (known == len(path) - 1 and not _may_have_a_key(holder, kind, attribute)):
        return ""
    if issubclass(kind, ModuleType):
        return f"{_NOWHERE}: the module has no {attribute} yet; make the key before the function is decorated"
    if issubclass(kind, type):
        return f"{_NOWHERE}: code of the class decides what {name} is; {_NAME_THE_KEY}"
    of = f"{shown(path[:known])} is an object of {looks.name_of(kind)}, which is asked whenever the test runs"
    return f"{_NOWHERE}: {of}; {_NAME_THE_KEY}"


_NOWHERE = "it is not found as a global, a closure variable, or an attribute of a module or class"
_NAME_THE_KEY = "let a global, or an attribute of a module, a class or a StaticKeyArray, be the key"


def _doubt_of_item(path: Path, scope: Scope) -> str:
    holder = scope.find(path[:-1])
    if is_item(path[-1]) and type(holder) is dict and is_key(dict.get(holder, path[-1][1:-1])):
        return "it is looked up in a dictionary whenever it runs; make a StaticKeyArray of the keys, or name each"
    return ""


_PLAIN = [looks.class_attribute(kind, "__getattribute__") for kind in (object, tuple, SimpleNamespace)]
"""The methods that find attributes in the usual way."""

_STORED = (MemberDescriptorType, type(vars(Test)["path"]))
"""Descriptors that read an attribute from the object itself: slots, and the names of a named tuple."""

_NO_KEYS = (FunctionType, BuiltinFunctionType, MethodDescriptorType, classmethod)
"""Types of class attributes that give objects a method."""


def _may_have_a_key(holder: Any, kind: type, name: str) -> bool:
    """Return whether an object's attribute is a key now, or code of the program decides what it is."""
    if issubclass(kind, type | ModuleType):
        return True
    finds = looks.class_attribute(kind, "__getattribute__")
    if not any(finds is one for one in _PLAIN) or looks.class_attribute(kind, "__getattr__") is not NOT_FOUND:
        return True
    of_class = looks.class_attribute(kind, name)
    if type(of_class) in _NO_KEYS:
        return False
    has_getter = any("__get__" in looks.class_dict(base) for base in looks.mro(type(of_class)))
    if is_key(of_class) or (has_getter and type(of_class) not in _STORED):
        return True
    # The collector knows what an object refers to. vars() would give the object a dictionary, and make it slower.
    held = gc.get_referents(holder)
    held += [one.get(name) for one in held if type(one) is dict]
    return any(map(is_key, held))
