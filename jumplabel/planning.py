"""Which tests of a function, and of what is defined in it, become sites? The answer is a plan; nothing is made yet."""

import sys
from dataclasses import dataclass
from types import CodeType
from typing import Any

from jumplabel._engine import lib
from jumplabel.errors import DecorationError
from jumplabel.hints import HINTS
from jumplabel.keys import StaticKey
from jumplabel.reading import NAME, Path, Reading, Test, read
from jumplabel.rewriting import CannotRewriteError, Plan, Rewriting
from jumplabel.scope import NOT_FOUND, Scope

_jit = getattr(sys, "_jit", None)
KNOWN = (3, 11) <= sys.version_info < (3, 16) and not lib.code_object_start(bool(_jit and _jit.is_enabled()))
"""Whether we know what this interpreter's instructions do, and can tell its JIT; if not, every test stays as it is."""


def plan(code: CodeType, scope: Scope, strict: bool) -> tuple[Plan | None, dict[Path, Any]]:
    """The plan, None for nothing to do, and what was found at the paths that it depends on.

    Raises DecorationError for bytecode that cannot be read and, with strict, for a test that stays and may be a key's.
    """
    tree = _Tree.of(code, scope, strict)
    if not tree.has_tests():
        return None, {}
    planner = _Planner(strict, tree.rebinds())
    return planner.plan(tree), planner.found


def refusal(code: CodeType, line: int | None, why: object) -> DecorationError:
    return DecorationError(f"static_branches: {code.co_qualname}, {code.co_filename}:{line}: {why}")


@dataclass
class _Tree:
    """A code object and those within it."""

    code: CodeType
    scope: Scope
    reading: Reading | None
    """None: it names no key."""
    within: "dict[int, _Tree]"
    """By their place in co_consts."""

    @classmethod
    def of(cls, code: CodeType, scope: Scope, strict: bool) -> "_Tree":
        reading = _read(code) if strict or (KNOWN and scope.names_a_key(code)) else None
        codes = {i: constant for i, constant in enumerate(code.co_consts) if isinstance(constant, CodeType)}
        return cls(code, scope, reading, {i: cls.of(inner, scope.within(code), strict) for i, inner in codes.items()})

    def has_tests(self) -> bool:
        return bool(self.reading and self.reading.tests) or any(tree.has_tests() for tree in self.within.values())

    def rebinds(self) -> set[str]:
        return set(self.reading.rebinds if self.reading else ()).union(*(t.rebinds() for t in self.within.values()))


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
        within = {i: made for i, inner in tree.within.items() if (made := self.plan(inner))}
        if not tree.reading and not within:
            return None
        rewriting = Rewriting(tree.reading or _read(tree.code))
        for test in rewriting.reading.tests:
            is_key, why_not = self.is_of_a_key(test, tree.scope)
            if is_key:
                try:
                    rewriting.add(test)
                except CannotRewriteError as error:
                    why_not = str(error)
            if why_not and self.strict:
                name = ".".join(test.path[1:])
                raise refusal(tree.code, test.line, f"the test of {name} cannot become a site: {why_not}")
        return rewriting.plan(within) if rewriting.sites or within else None

    def is_of_a_key(self, test: Test, scope: Scope) -> tuple[bool, str]:
        """Whether it is the test of a key that can be found; if not, why it might be one all the same."""
        if test.hint and not any(self.find(test.hint, scope) is hint for hint in HINTS):
            return False, ""
        found = self.find(test.path, scope)
        if self.rebinds.intersection(test.path[1:]):
            return False, "the function itself binds that name"
        if found is NOT_FOUND and (scope.knows(test.path) or len(test.path) > 2 or test.path[0] == NAME):
            return False, "it is not found as a global, a closure variable, or an attribute of a module or class"
        if not isinstance(found, StaticKey):
            return False, ""
        if not KNOWN:
            return False, f"the bytecode of Python {sys.version_info.major}.{sys.version_info.minor} is not known"
        return True, ""

    def find(self, path: Path, scope: Scope) -> Any:
        found = scope.find(path)
        if scope.knows(path):
            self.found[path] = found
        return found
