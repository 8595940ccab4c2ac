"""The new code of a function: its plan carried out, and shared by functions of the same code and keys."""

from types import CodeType, FunctionType
from typing import Any
from weakref import WeakValueDictionary, ref

from jumplabel._bytecode import branch_names
from jumplabel._bytecode.code_objects import keep, kept, make_branches
from jumplabel._bytecode.find_tests import Path
from jumplabel._bytecode.hints import HINTS
from jumplabel._bytecode.plan_sites import plan, refusal
from jumplabel._bytecode.scope import Scope, is_key
from jumplabel._bytecode.tests_become_sites import Plan
from jumplabel._keys.static_key import StaticKey, address
from jumplabel._program.looks import NOT_FOUND, module_of
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401
from jumplabel._program.printing import printable


class _Seen:
    """What was made of one code object, which may be decorated again and again, as those of closures are.

    Functions for which the same keys are found share their new code, as long as one of them lives. The plans stay as
    long as the old code does.
    """

    def __init__(self, code: CodeType, paths: list[Path]) -> None:
        number = id(code)
        self.code = ref(code, lambda _: _seen.pop(number, None))
        self.paths = paths
        self.plans: dict[tuple[object, ...], Plan | None] = {}
        self.codes: WeakValueDictionary[tuple[object, ...], CodeType] = WeakValueDictionary()
        self.templates: WeakValueDictionary[tuple[object, ...], Template] = WeakValueDictionary()


_seen: dict[int, _Seen] = {}
"""By id: by value, equal functions of two files would be one."""


class Template:
    """What the variants of a function's code have in common: all but the way that the tests of its keys go."""

    def __init__(self, code: CodeType, plan: Plan, found: dict[Path, StaticKey]) -> None:
        self.code = code
        self.plan = plan
        self.found = found
        self.keys = tuple({id(found[path]): found[path] for path in plan.fixed()}.values())
        self.variants: WeakValueDictionary[int, CodeType] = WeakValueDictionary()

    def variant(self, state: int) -> CodeType:
        """The code for a state of the keys: bit i is set where keys[i] is on."""
        made = self.variants.get(state)
        if made is None:
            is_on = {id(key): bool(state >> i & 1) for i, key in enumerate(self.keys)}
            made = self.plan.fix(self.code, lambda path: is_on[id(self.found[path])])
            made = self.variants.setdefault(state, made)
        return made


def rewritten(function: FunctionType, strict: bool) -> CodeType:
    """The function's code with sites in it; the very same code object where there is nothing to do."""
    code = function.__code__
    seen, made_plan, found = _planned(function, strict, snapshot=False)
    if seen is None or made_plan is None:
        return code
    identity = _identity(strict, found)
    new = seen.codes.get(identity)
    if new is None:
        new = seen.codes[identity] = _make(code, made_plan, found, module_of(function))
    branch_names.watch(function, new, made_plan, found)
    return new


def template(function: FunctionType, strict: bool) -> Template | None:
    """That of a function's variants; None where the function tests no key."""
    seen, made_plan, found = _planned(function, strict, snapshot=True)
    if seen is None or made_plan is None or not made_plan.fixed():
        return None
    identity = _identity(strict, found)
    made = seen.templates.get(identity)
    if made is None:
        code = _make(function.__code__, made_plan, found, module_of(function))
        made = seen.templates[identity] = Template(code, made_plan, found)
    branch_names.watch(function, made.code, made_plan, found)
    return made


def _planned(function: FunctionType, strict: bool, snapshot: bool) -> tuple[_Seen | None, Plan | None, dict[Path, Any]]:
    """The plan, which is made once for functions of the same code, and what is found at its paths."""
    code, scope = function.__code__, Scope.of(function)
    seen = _seen.get(id(code))
    if seen and seen.code() is not code:  # a signal handler raised in the callback that says that the other one is gone
        seen = None
    found = {path: scope.find(path) for path in seen.paths} if seen else {}
    if seen is None or _kinds(strict, snapshot, found) not in seen.plans:
        planned, found = plan(code, scope, strict, snapshot)
        if not found:
            return None, None, found
        if seen is None or seen.paths != list(found):
            seen = _seen[id(code)] = _Seen(code, list(found))
        seen.plans[_kinds(strict, snapshot, found)] = planned
    return seen, seen.plans[_kinds(strict, snapshot, found)], found


def _kinds(strict: bool, snapshot: bool, found: dict[Path, Any]) -> tuple[object, ...]:
    """What a plan depends on: not which key is found, only that one is."""
    return strict, snapshot, *map(_kind, found.values())


def _kind(value: Any) -> str:
    if is_key(value):
        return "key"
    if any(value is hint for hint in HINTS):
        return "hint"
    return "nothing" if value is NOT_FOUND else "something"


def _identity(strict: bool, found: dict[Path, Any]) -> tuple[object, ...]:
    """Which keys are found. What is made for them keeps them, or has sites of theirs: no other can have the address."""
    return strict, *(address(value) if is_key(value) else None for value in found.values())


def _make(code: CodeType, made_plan: Plan, keys: dict[Path, StaticKey], module: str) -> CodeType:
    within = {i: _make(code.co_consts[i], inner, keys, module) for i, inner in made_plan.within.items()}
    new = made_plan.make(code, keys, within)
    if made_plan.snapshot:
        return new
    branches = [
        (
            address(keys[path]),
            printable(f"{module}.{code.co_qualname}:{line}"),
            *site,
            *made_plan.ordinary.get(site.unit, ()),
        )
        for site, path, line in made_plan.sites
    ]
    if branches:
        try:
            make_branches(new, branches)
        except RuntimeError as error:
            raise refusal(code, code.co_firstlineno, error) from error
    if kept(code):
        keep(new, kept(code))
    return new
