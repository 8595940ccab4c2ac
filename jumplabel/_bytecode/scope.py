"""Where a function finds a name, looked up before it runs. Looks, and runs no code of the program's."""

from collections.abc import Collection, Iterable
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

from jumplabel._bytecode.find_tests import CLOSURE, GLOBAL, Path, is_item
from jumplabel._keys.key_arrays import StaticKeyArray
from jumplabel._keys.static_key import StaticKey
from jumplabel._program import looks
from jumplabel._program.looks import NOT_FOUND
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401

KEY_ATTRIBUTES: list[tuple[type, str]] = []
"""Types of the library that have a key as an attribute, and the attribute's name. tracepoint.py adds its own."""


class Scope(NamedTuple):
    """The namespaces in which a function finds its names."""

    variables: dict[str, Any]
    """The function's globals."""
    builtins: dict[str, Any]
    cells: dict[str, Any]
    """The cells of its closure variables, by name."""

    @classmethod
    def of(cls, function: FunctionType) -> "Scope":
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        return cls(function.__globals__, function.__builtins__, cells)

    def within(self, code: CodeType) -> "Scope":
        """Return the scope of a function that this code defines. The code's own variables do not exist yet."""
        return self._replace(cells={name: cell for name, cell in self.cells.items() if name not in code.co_cellvars})

    def knows(self, path: Path) -> bool:
        """Return whether the path begins where a name can be found before the function runs."""
        return path[0] == GLOBAL or (path[0] == CLOSURE and path[1] in self.cells)

    def find(self, path: Path) -> Any:
        """Return the value at a path, or NOT_FOUND."""
        if not self.knows(path):
            return NOT_FOUND
        where, name, *attributes = path
        if where == GLOBAL:
            if type(self.variables) is not dict or type(self.builtins) is not dict:
                return NOT_FOUND  # a subclass: its __getitem__ decides
            found = self.variables.get(name, NOT_FOUND)
            if found is NOT_FOUND:
                found = self.builtins.get(name, NOT_FOUND)
        else:
            try:
                found = self.cells[name].cell_contents
            except ValueError:  # nothing is in it yet
                return NOT_FOUND
        for attribute in attributes:
            found = attribute_of(found, attribute)
        return found

    def names_a_key(self, code: CodeType) -> bool:
        """Return False where the code tests no key for certain. This is the quick answer for most functions."""
        return self.has_a_key(code.co_names, code.co_freevars)

    def has_a_key(self, names: Collection[str], free: Iterable[str] = ()) -> bool:
        """Return whether these names may lead to a key.

        names  of globals, builtins and attributes
        free   of closure variables
        """
        values = [self.find((CLOSURE, name)) for name in free]
        for space in (self.variables, self.builtins):
            if type(space) is dict:
                values += [space[name] for name in names if name in space]
        for value in values:  # the list grows: modules and classes in it add what they hold
            kind = type(value)
            if issubclass(kind, StaticKey | StaticKeyArray) or _key_attribute(kind) in names:
                return True
            if issubclass(kind, _HOLDERS):
                spaces: list[Any] = (
                    [looks.variables(value)]
                    if issubclass(kind, ModuleType)
                    else [looks.class_dict(base) for base in looks.mro(value)]
                )
                held = [space[name] for space in spaces for name in names if name in space]
                values += [one for one in held if _may_lead_to_a_key(type(one)) and not _among(one, values)]
        return False


_HOLDERS = (ModuleType, type)
_NAMED = (StaticKey, StaticKeyArray, *_HOLDERS)


def _may_lead_to_a_key(kind: type) -> bool:
    return issubclass(kind, _NAMED) or _key_attribute(kind) is not None


def _key_attribute(kind: type) -> str | None:
    for owner, name in KEY_ATTRIBUTES:
        if owner is kind:
            return name
    return None


def _among(value: Any, values: list[Any]) -> bool:
    return any([value is one for one in values])


def is_key(value: Any) -> bool:
    """Return whether a test of the value asks the engine.

    A mock of a key is none, and neither is a subclass with a ``__bool__`` of its own, or a key that was never made.
    """
    kind = type(value)
    return issubclass(kind, StaticKey) and looks.first_is(kind, "__bool__", StaticKey) and _is_made(value)


def _is_made(key: StaticKey) -> bool:
    try:
        _engine_key(key)
    except AttributeError:
        return False
    return True


_engine_key: Any = vars(StaticKey)["_key"].__get__


def attribute_of(holder: Any, name: str) -> Any:
    """Return an attribute of a module or class, or a key of an array or tracepoint.

    NOT_FOUND for any other holder, and where code of the program decides.
    """
    kind: Any = type(holder)
    if is_item(name):
        return vars(holder)["_keys"].get(name[1:-1], NOT_FOUND) if kind is StaticKeyArray else NOT_FOUND
    if kind is StaticKeyArray:
        return vars(holder).get(name, NOT_FOUND)
    key_attribute = _key_attribute(kind)
    if key_attribute is not None:
        return getattr(holder, name) if name == key_attribute else NOT_FOUND
    return looks.attribute(holder, name)[0]
