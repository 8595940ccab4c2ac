"""Plans: which tests become sites, in a function and in the code defined within it. A plan makes nothing yet."""

import sys
from itertools import pairwise
from types import CodeType
from typing import Any, NamedTuple

from jumplabel._bytecode import branch_names, code_objects
from jumplabel._bytecode.find_tests import CLOSURE, GLOBAL, NAME, Path, Reading, Test, read, shown
from jumplabel._bytecode.hints import HINTS
from jumplabel._bytecode.kept_values import Pushed, lead_of
from jumplabel._bytecode.scope import Scope, is_key
from jumplabel._bytecode.strict import doubt, tests_that_ask_keys
from jumplabel._bytecode.tests_become_sites import BytecodeSite, CannotRewriteError, Plan, Rewriting
from jumplabel._keys.static_key import StaticKey, address, keys
from jumplabel._program.looks import NOT_FOUND
from jumplabel._program.name_watch import HEARS_ALL
from jumplabel.errors import DecorationError

KNOWN = (3, 11) <= sys.version_info < (3, 16) and code_objects.TOLD
"""Whether the library knows this interpreter's instructions and can tell its JIT. If not, every test stays as it is."""

SITE = "site"
"""First step of the paths that name the keys of existing sites: a test that is a site already has no path to read."""


def plan(
    code: CodeType, scope: Scope, strict: bool, snapshot: bool = False, named: bool = True
) -> tuple[Plan | None, dict[Path, Any]]:
    """Return the plan, or None where there is nothing to do, and what was found at the paths that the plan depends on.

    scope     where the names of the code are looked up
    strict    refuse a test that may be a key's and cannot become a site
    snapshot  plan code that keeps the keys' state for a call, with all code within that runs in the same call
    named     whether the names are the program's, and may stand for something else later

    Raises DecorationError for bytecode that cannot be read; with strict, for a test that stays and may be a key's; with
    snapshot, for a test of a key that stays.
    """
    if not strict and not snapshot and not (KNOWN and _names_a_key(code, scope)):
        return None, {}
    tree = _Tree.read(code, scope)
    planner = _Planner(strict, tree.rebinds(), named and HEARS_ALL)
    return planner.plan(tree, snapshot), planner.found


def refusal(code: CodeType, line: int | None, why: object) -> DecorationError:
    """Return the error that names the function, the file and the line."""
    return DecorationError(f"static_branches: {code.co_qualname}, {code.co_filename}:{line}: {why}")


def _codes_within(code: CodeType) -> dict[int, CodeType]:
    """Return the code objects in ``co_consts``, by index."""
    return {i: constant for i, constant in enumerate(code.co_consts) if isinstance(constant, CodeType)}


def _runs_in_the_call(code: CodeType) -> bool:
    """Return whether code within a function runs as a part of its call: a comprehension, a class's body.

    From 3.12 on a definition with type parameters has a scope around it, which runs at once.
    """
    return (
        code.co_name in _COMPREHENSIONS
        or code.co_name.startswith("<generic parameters of ")
        or not code.co_flags & CO_OPTIMIZED
    )


CO_OPTIMIZED = 1  # Include/cpython/code.h
_COMPREHENSIONS = {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}


def _names_a_key(code: CodeType, scope: Scope) -> bool:
    return scope.names_a_key(code) or any(
        _names_a_key(inner, scope.within(code)) for inner in _codes_within(code).values()
    )


class _Tree(NamedTuple):
    """What was read of a code object, and of the code objects in its ``co_consts``, by index."""

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


NOT_IN_SNAPSHOTS: list[type[StaticKey]] = []
"""Classes of keys that show another object's state. A snapshot keeps no state of theirs. log_keys.py adds its own."""


class _Planner:
    """Makes the plan of one function."""

    def __init__(self, strict: bool, rebinds: set[str], named: bool) -> None:
        self.strict = strict
        self.named = named
        self.rebinds = rebinds
        self.found: dict[Path, Any] = {}

    def plan(self, tree: _Tree, snapshot: bool) -> Plan | None:
        code = tree.reading.code
        within = {}
        for i, inner in tree.within.items():
            made = self.plan(inner, snapshot and _runs_in_the_call(inner.reading.code))
            if made:
                within[i] = made
        if snapshot:
            self.refuse_changing_values(tree)
        if self.strict:
            for name, line, why in tests_that_ask_keys(tree.reading, lambda path: self.find(path, tree.scope)):
                raise refusal(code, line, f"the test of {name} cannot become a site: {why}")
        rewriting = Rewriting(tree.reading)
        for test in tree.reading.tests:
            self.make_site(rewriting, test, tree, snapshot)
        existing = self.existing_sites(tree.reading)
        if snapshot:
            # These keys follow their loggers, not the call. With the sites on, the loggers themselves decide.
            for site in [one for one, path, _ in existing if type(self.found[path]) in NOT_IN_SNAPSHOTS]:
                rewriting.turn_on(site)
            existing = [one for one in existing if type(self.found[one[1]]) not in NOT_IN_SNAPSHOTS]
        if not rewriting.sites and not within and not (snapshot and existing):
            return None
        rewriting.sites += existing
        if existing:
            rewriting.has_older_sites = True
            rewriting.ordinary.update(branch_names.of(code))
        try:
            return rewriting.plan(within, snapshot)
        except ValueError as error:
            raise refusal(code, code.co_firstlineno, f"{error}; it is left as it was") from error

    def make_site(self, rewriting: Rewriting, test: Test, tree: _Tree, snapshot: bool) -> None:
        of_a_key, why_not = self.is_of_a_key(test, tree.scope, snapshot)
        if of_a_key and not why_not:
            try:
                rewriting.make_site(test, named=self.named and test.path[0] == GLOBAL and not snapshot)
            except CannotRewriteError as error:
                why_not = str(error)
        if why_not and (self.strict or (snapshot and of_a_key)):
            name = shown(test.path)
            what = "be kept for a call" if snapshot and of_a_key else "become a site"
            raise refusal(tree.reading.code, test.line, f"the test of {name} cannot {what}: {why_not}")

    def is_of_a_key(self, test: Test, scope: Scope, snapshot: bool) -> tuple[bool, str]:
        """Return whether a test is of a key that can be found, and why it cannot become a site.

        The reason is empty where it can, and where the test is certainly of no key.
        """
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

    def refuse_changing_values(self, tree: _Tree) -> None:
        """Raise DecorationError for a value made of a key: it would change during a call that keeps the key's state."""
        reading = tree.reading
        values = [(self.find(path, tree.scope), line, "not key") for path, line in reading.negations]
        for test in reading.tests:
            lead = lead_of(reading, test)
            if lead.pushed is Pushed.KEY and not reading.is_dropped_at(lead.target):
                values.append((self.find(test.path, tree.scope), test.line, "key and ..., key or ..."))
        for load, jump in pairwise(reading.instructions):  # a relay that pushes a key, in code made by a plan
            if load.name == "LOAD_CONST" and not reading.is_dropped_at(jump.target):
                constants = reading.code.co_consts[load.arg : load.arg + 1]
                values += [(constant, load.line, "key and ..., key or ...") for constant in constants]
        for value, line, what in values:
            if is_key(value):
                name = f"with {value.name!r} for key, the value of `{what}`"
                raise refusal(reading.code, line, f"{name} would change during a call; write a conditional expression")

    def existing_sites(self, reading: Reading) -> list[tuple[BytecodeSite, Path, int | None]]:
        """Return the sites of code that a plan has made. Its tests cannot be read any more."""
        sites: list[tuple[BytecodeSite, Path, int | None]] = []
        branches = code_objects.branches_of(reading.code)
        living = {address(key): key for key in keys()} if branches else {}
        for key_address, *site in branches:
            if key_address in living:  # no toggle turns the others again
                path = (SITE, living[key_address].name)
                self.found[path] = living[key_address]
                sites.append((BytecodeSite(*site), path, reading.instructions[reading.at[site[0]]].line))
        return sites

    def find(self, path: Path, scope: Scope) -> Any:
        """Return the value at a path, or NOT_FOUND, and note that the plan depends on it."""
        found = scope.find(path)
        if scope.knows(path):
            self.found[path] = found
        return found
