"""Which tests of a function, and of what is defined in it, become sites? The answer is a plan; nothing is made yet."""

import sys
from itertools import pairwise
from types import CodeType
from typing import Any, NamedTuple

from jumplabel._bytecode import branch_names, code_objects
from jumplabel._bytecode.find_tests import CLOSURE, GLOBAL, NAME, Path, Reading, Test, read, shown
from jumplabel._bytecode.hints import HINTS
from jumplabel._bytecode.kept_values import Pushed, lead_of
from jumplabel._bytecode.scope import Scope, is_key
from jumplabel._bytecode.strict import asks_of_keys, doubt
from jumplabel._bytecode.tests_become_sites import CannotRewriteError, Plan, Rewriting, Site
from jumplabel._keys.static_key import StaticKey, address, keys
from jumplabel._program.looks import NOT_FOUND
from jumplabel._program.name_watch import HEARS_ALL
from jumplabel.errors import DecorationError

KNOWN = (3, 11) <= sys.version_info < (3, 16) and code_objects.TOLD
"""Whether we know what this interpreter's instructions do, and can tell its JIT; if not, every test stays as it is."""

SITE = "site"
"""Where a key is found, in a path, of a test that is a site already."""


def plan(
    code: CodeType, scope: Scope, strict: bool, snapshot: bool = False, named: bool = True
) -> tuple[Plan | None, dict[Path, Any]]:
    """The plan, None for nothing to do, and what was found at the paths that it depends on.

    named  whether the names are the program's, and may stand for something else later
    With snapshot, the plan of code that keeps the keys' state for a call, and of all that is run by the same call.

    Raises DecorationError for bytecode that cannot be read; for a test that stays and, with strict, may be a key's or,
    with snapshot, is one's.
    """
    if not strict and not snapshot and not (KNOWN and _names_a_key(code, scope)):
        return None, {}
    tree = _Tree.read(code, scope)
    planner = _Planner(strict, tree.rebinds(), named and HEARS_ALL)
    return planner.plan(tree, snapshot), planner.found


def refusal(code: CodeType, line: int | None, why: object) -> DecorationError:
    return DecorationError(f"static_branches: {code.co_qualname}, {code.co_filename}:{line}: {why}")


def _codes_within(code: CodeType) -> dict[int, CodeType]:
    """By their place in co_consts."""
    return {i: constant for i, constant in enumerate(code.co_consts) if isinstance(constant, CodeType)}


def _is_run_in_the_call(code: CodeType) -> bool:
    """Whether code within a function is a part of it, and no function of its own: a comprehension, a class's body."""
    # From 3.12 on what has type parameters is within a scope of its own, which is run at once.
    return (
        code.co_name in _PARTS or code.co_name.startswith("<generic parameters of ") or not code.co_flags & CO_OPTIMIZED
    )


CO_OPTIMIZED = 1  # Include/cpython/code.h
_PARTS = {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}


def _names_a_key(code: CodeType, scope: Scope) -> bool:
    return scope.names_a_key(code) or any(
        _names_a_key(inner, scope.within(code)) for inner in _codes_within(code).values()
    )


class _Tree(NamedTuple):
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


NOT_KEPT: list[type[StaticKey]] = []
"""Classes of keys that a snapshot does not keep: they show another object's state. log_keys.py adds its own."""


class _Planner:
    def __init__(self, strict: bool, rebinds: set[str], named: bool) -> None:
        self.strict = strict
        self.named = named
        self.rebinds = rebinds
        self.found: dict[Path, Any] = {}

    def plan(self, tree: _Tree, snapshot: bool) -> Plan | None:
        code = tree.reading.code
        within = {}
        for i, inner in tree.within.items():
            made = self.plan(inner, snapshot and _is_run_in_the_call(inner.reading.code))
            if made:
                within[i] = made
        if snapshot:
            self.check_values(tree)
        if self.strict:
            for name, line, why in asks_of_keys(tree.reading, lambda path: self.find(path, tree.scope)):
                raise refusal(code, line, f"the test of {name} cannot become a site: {why}")
        rewriting = Rewriting(tree.reading)
        for test in tree.reading.tests:
            self.add(rewriting, test, tree, snapshot)
        live = self.sites_already(tree.reading)
        if snapshot:  # what is logged is not of the call's state, but of the logger's
            for site in [one for one, path, _ in live if type(self.found[path]) in NOT_KEPT]:
                rewriting.turn_on(site)
            live = [one for one in live if type(self.found[one[1]]) not in NOT_KEPT]
        if not rewriting.sites and not within and not (snapshot and live):
            return None
        rewriting.sites += live
        if live:
            rewriting.carries = True
            rewriting.ordinary.update(branch_names.of(code))
        try:
            return rewriting.plan(within, snapshot)
        except ValueError as error:
            raise refusal(code, code.co_firstlineno, f"{error}; it is left as it was") from error

    def add(self, rewriting: Rewriting, test: Test, tree: _Tree, snapshot: bool) -> None:
        of_a_key, why_not = self.is_of_a_key(test, tree.scope, snapshot)
        if of_a_key and not why_not:
            try:
                rewriting.add(test, named=self.named and test.path[0] == GLOBAL and not snapshot)
            except CannotRewriteError as error:
                why_not = str(error)
        if why_not and (self.strict or (snapshot and of_a_key)):
            name = shown(test.path)
            what = "be kept for a call" if snapshot and of_a_key else "become a site"
            raise refusal(tree.reading.code, test.line, f"the test of {name} cannot {what}: {why_not}")

    def is_of_a_key(self, test: Test, scope: Scope, snapshot: bool) -> tuple[bool, str]:
        """Whether it is the test of a key that can be found; and why it cannot become a site, if it is or might be."""
        if test.hint and not any(self.find(test.hint, scope) is hint for hint in HINTS):
            return False, ""
        found = self.find(test.path, scope)
        if snapshot and test.path[0] == NAME:
            outside = [self.find((where, *test.path[1:]), scope) for where in (CLOSURE, GLOBAL)]
            return any(map(is_key, outside)), "a class's body may find another one by that name"
        if self.rebinds.intersection((*test.path[1:], *(test.hint or ())[1:])):
            return is_key(found), "the function itself binds that name; let it use another one"
        if found is NOT_FOUND and (scope.knows(test.path) or len(test.path) > 2 or test.path[0] == NAME):
            return False, doubt(test.path, scope) if self.strict else ""
        if not is_key(found):
            return False, ""
        if not KNOWN:
            return True, f"the bytecode of Python {sys.version_info.major}.{sys.version_info.minor} is not known"
        return True, ""

    def check_values(self, tree: _Tree) -> None:
        """What makes a value of a key would go on changing in a call that keeps the key's state."""
        reading = tree.reading
        values = [(self.find(path, tree.scope), line, "not key") for path, line in reading.negations]
        for test in reading.tests:
            lead = lead_of(reading, test)
            if lead.pushed is Pushed.KEY and not reading.is_dropped_at(lead.target):
                values.append((self.find(test.path, tree.scope), test.line, "key and ..., key or ..."))
        for load, jump in pairwise(reading.instructions):  # made by a plan
            if load.name == "LOAD_CONST" and not reading.is_dropped_at(jump.target):
                constants = reading.code.co_consts[load.arg : load.arg + 1]
                values += [(constant, load.line, "key and ..., key or ...") for constant in constants]
        for value, line, what in values:
            if is_key(value):
                name = f"with {value.name!r} for key, the value of `{what}`"
                raise refusal(reading.code, line, f"{name} would change during a call; write a conditional expression")

    def sites_already(self, reading: Reading) -> list[tuple[Site, Path, int | None]]:
        """Those of code that is a plan's work: its tests cannot be read any more."""
        sites: list[tuple[Site, Path, int | None]] = []
        branches = code_objects.branches_of(reading.code)
        living = {address(key): key for key in keys()} if branches else {}
        for key_address, *site in branches:
            if key_address in living:  # nobody turns the others again
                path = (SITE, living[key_address].name)
                self.found[path] = living[key_address]
                sites.append((Site(*site), path, reading.instructions[reading.at[site[0]]].line))
        return sites

    def find(self, path: Path, scope: Scope) -> Any:
        found = scope.find(path)
        if scope.knows(path):
            self.found[path] = found
        return found
