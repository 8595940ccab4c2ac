"""Which tests of a function, and of what is defined in it, become sites? The answer is a plan; nothing is made yet."""

import sys
from dataclasses import dataclass
from types import CodeType
from typing import Any

from jumplabel import code_objects
from jumplabel.errors import DecorationError
from jumplabel.hints import HINTS
from jumplabel.reading import NAME, Path, Reading, Test, read
from jumplabel.rewriting import CannotRewriteError, Plan, Rewriting
from jumplabel.scope import NOT_FOUND, Scope, is_key

KNOWN = (3, 11) <= sys.version_info < (3, 16) and code_objects.TOLD
"""Whether we know what this interpreter's instructions do, and can tell its JIT; if not, every test stays as it is."""


def plan(code: CodeType, scope: Scope, strict: bool) -> tuple[Plan | None, dict[Path, Any]]:
    """The plan, None for nothing to do, and what was found at the paths that it depends on.

    Raises DecorationError for bytecode that cannot be read and, with strict, for a test that stays and may be a key's.
    """
    if not strict and not (KNOWN and _names_a_key(code, scope)):
        return None, {}
    tree = _Tree.read(code, scope)
    planner = _Planner(strict, tree.rebinds())
    return planner.plan(tree), planner.found


def refusal(code: CodeType, line: int | None, why: object) -> DecorationError:
    return DecorationError(f"static_branches: {code.co_qualname}, {code.co_filename}:{line}: {why}")


def _codes_within(code: CodeType) -> dict[int, CodeType]:
    """By their place in co_consts."""
    return {i: constant for i, constant in enumerate(code.co_consts) if isinstance(constant, CodeType)}


def _names_a_key(code: CodeType, scope: Scope) -> bool:
    return scope.names_a_key(code) or any(
        _names_a_key(inner, scope.within(code)) for inner in _codes_within(code).values()
    )


@dataclass
class _Tree:
    """A code object, as read, and those within it, by their place in co_consts."""

    reading: Reading
    scope: Scope
    within: "dict[int, _Tree]"

    @classmethod
    def read(cls, code: CodeType, scope: Scope) -> "_Tree":
        within = {i: cls.read(inner, scope.within(code)) for i, inner in _codes_within(code).items()}
        return cls(_read(code), scope, within)

    def rebinds(self) -> set[str]:
        return self.reading.rebinds.union(*(tree.rebinds() for tree in self.within.values()))


def _read(code: CodeType) -> Reading:
    try:
        return read(code)
    except ValueError as error:
        raise refusal(code, code.co_firstlineno, f"{error}; it is left as it was") from error


class _Planner:
    def __init__(self, strict: bool, rebinds: set[str]) -> None:
        self.strict = strict
        self.rebinds = rebinds
        self.found: dict[Path, Any] = {}

    def plan(self, tree: _Tree) -> Plan | None:
        code = tree.reading.code
        within = {i: made for i, inner in tree.within.items() if (made := self.plan(inner))}
        rewriting = Rewriting(tree.reading)
        for test in tree.reading.tests:
            of_a_key, why_not = self.is_of_a_key(test, tree.scope)
            if of_a_key:
                try:
                    rewriting.add(test)
                except CannotRewriteError as error:
                    why_not = str(error)
            if why_not and self.strict:
                name = ".".join(test.path[1:])
                raise refusal(code, test.line, f"the test of {name} cannot become a site: {why_not}")
        if not rewriting.sites and not within:
            return None
        try:
            return rewriting.plan(within)
        except ValueError as error:
            raise refusal(code, code.co_firstlineno, f"{error}; it is left as it was") from error

    def is_of_a_key(self, test: Test, scope: Scope) -> tuple[bool, str]:
        """Whether it is the test of a key that can be found; if not, why it might be one all the same."""
        if test.hint and not any(self.find(test.hint, scope) is hint for hint in HINTS):
            return False, ""
        found = self.find(test.path, scope)
        if self.rebinds.intersection((*test.path[1:], *(test.hint or ())[1:])):
            return False, "the function itself binds that name"
        if found is NOT_FOUND and (scope.knows(test.path) or len(test.path) > 2 or test.path[0] == NAME):
            return False, "it is not found as a global, a closure variable, or an attribute of a module or class"
        if not is_key(found):
            return False, ""
        if not KNOWN:
            return False, f"the bytecode of Python {sys.version_info.major}.{sys.version_info.minor} is not known"
        return True, ""

    def find(self, path: Path, scope: Scope) -> Any:
        found = scope.find(path)
        if scope.knows(path):
            self.found[path] = found
        return found
