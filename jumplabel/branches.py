"""``@static_branches``: every test of a key in a function becomes a site in its bytecode.

Which tests do is planning.py's question, with reading.py (what is a test?), scope.py (what is it of?) and rewriting.py
(how does it become a site?). Here the new code is made by the plan, and put in place of the old.
"""

import os
from collections.abc import Callable, Iterator
from functools import cached_property, partialmethod
from types import CodeType, FunctionType, MethodType
from typing import Any, TypeVar, overload
from weakref import WeakValueDictionary, ref

from jumplabel._engine import ffi, lib
from jumplabel.code_objects import make_branches, set_code
from jumplabel.decorators import printable
from jumplabel.errors import DecorationError
from jumplabel.hints import HINTS
from jumplabel.keys import StaticKey
from jumplabel.planning import plan, refusal
from jumplabel.reading import Path
from jumplabel.rewriting import Plan
from jumplabel.scope import NOT_FOUND, Scope, is_key

T = TypeVar("T")


@overload
def static_branches(target: T, *, strict: bool = False) -> T: ...
@overload
def static_branches(*, strict: bool = False) -> Callable[[T], T]: ...
def static_branches(target: Any = None, *, strict: bool = False) -> Any:
    """A decorator: every test of a key in a function becomes one instruction, which toggling the key rewrites.

    target  a function or method, with all that is defined in it; a class: its functions, properties, class methods,
            static methods, and the classes in it; or what stands for a function: a property, a gate or switch,
            anything with ``__wrapped__``
    strict  refuse what has a test that is, or might be, one of a key and cannot become a site

    Returns the same object; its functions have new code. ``if``, ``elif``, ``while``, conditional expressions, ``and``,
    ``or``, ``not``, ``assert`` and the conditions of comprehensions test a key that can be found now: as a global, a
    closure variable, an attribute of a module or a class, or in a StaticKeyArray that is found so. Tests of keys found
    elsewhere (``self.key``) and every other use of a key work as before, and so does a call that is running already.

    With ``strict``, the test of a name that cannot be found now is refused, whatever it may turn out to be:
    ``self.key``, a global that is not defined yet; only a plain local variable is not. This is asked of the code of the
    decorated thing's own module, not of what other modules have put into a class or around a function.

    Several sites do not flip at one instant: one call may see a key off in one place and on in the next. Copies of the
    code (``__code__.replace()``) are not toggled: they stay as they were made.

    Any thread may decorate. Raises DecorationError, with function, file and line, for what ``strict`` refuses and for
    bytecode that no compiler makes, with nothing changed; also for what has no Python function in it.
    """
    if target is None:
        return lambda target: static_branches(target, strict=strict)
    functions = dict.fromkeys(_functions(target))
    if not functions and not isinstance(target, type):
        raise DecorationError(f"static_branches decorates a Python function or a class, not {target!r}")
    module = getattr(target, "__module__", None) if isinstance(target, type | FunctionType) else None
    old = {function: function.__code__ for function in functions}
    new = {function: _rewritten(function, strict and _is_of(function, module)) for function in functions}
    try:
        for function, code in new.items():
            if code is not old[function]:
                set_code(function, code)
    except BaseException:  # an audit hook's, who has a right to it
        for function, code in old.items():
            if function.__code__ is not code:
                set_code(function, code)
        raise
    return target


def _functions(target: Any, above: tuple[Any, ...] = ()) -> Iterator[FunctionType]:
    """The functions in what is decorated, or in an attribute of a class. By its type: anything may be there."""
    kind = type(target)
    if any(target is one for one in above):
        return
    above = (*above, target)
    if issubclass(kind, type):
        for value in list(vars(target).values()):
            if not issubclass(type(value), type) or _is_defined_in(target, value):
                yield from _functions(value, above)
    elif issubclass(kind, property):
        for accessor in (target.fget, target.fset, target.fdel):
            yield from _functions(accessor, above)
    elif issubclass(kind, classmethod | staticmethod | MethodType):
        yield from _functions(target.__func__, above)
    elif issubclass(kind, cached_property | partialmethod):
        yield from _functions(target.func, above)
    elif kind is FunctionType:
        yield target
        yield from _functions(getattr(target, "__wrapped__", None), above)
    else:
        try:
            below = object.__getattribute__(target, "__dict__").get("__wrapped__")
        except Exception:  # whatever this is, it shows no function
            return
        yield from _functions(below, above)


def _is_defined_in(outer: type, inner: type) -> bool:
    return inner.__module__ == outer.__module__ and inner.__qualname__ == f"{outer.__qualname__}.{inner.__name__}"


def _is_of(function: FunctionType, module: str | None) -> bool:
    """Whether its code is the user's own: a class has functions from elsewhere, and so has a decorated function."""
    return module in (None, function.__globals__.get("__name__"))


# ---- the new code ----


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


_seen: dict[int, _Seen] = {}
"""By id: by value, equal functions of two files would be one."""


def _rewritten(function: FunctionType, strict: bool) -> CodeType:
    """The function's code with sites in it; the very same code object where there is nothing to do."""
    code, scope = function.__code__, Scope.of(function)
    seen = _seen.get(id(code))
    if seen and seen.code() is not code:  # a signal handler raised in the callback that says that the other one is gone
        seen = None
    found = {path: scope.find(path) for path in seen.paths} if seen else {}
    if seen is None or _kinds(strict, found) not in seen.plans:
        planned, found = plan(code, scope, strict)
        if not found:
            return code
        if seen is None or seen.paths != list(found):
            seen = _seen[id(code)] = _Seen(code, list(found))
        seen.plans[_kinds(strict, found)] = planned
    made_plan = seen.plans[_kinds(strict, found)]
    if made_plan is None:
        return code
    identity = (strict, *(_address(value) if is_key(value) else None for value in found.values()))
    new = seen.codes.get(identity)
    if new is None:
        new = seen.codes[identity] = _make(code, made_plan, found, function.__module__)
    return new


def _kinds(strict: bool, found: dict[Path, Any]) -> tuple[object, ...]:
    """What a plan depends on: not which key is found, only that one is."""
    return strict, *map(_kind, found.values())


def _kind(value: Any) -> str:
    if is_key(value):
        return "key"
    if any(value is hint for hint in HINTS):
        return "hint"
    return "nothing" if value is NOT_FOUND else "something"


def _address(key: StaticKey) -> int:
    """Of the engine's key, which lives as long as it has sites."""
    return int(ffi.cast("uintptr_t", key._key))


def _make(code: CodeType, made_plan: Plan, keys: dict[Path, StaticKey], module: str) -> CodeType:
    within = {i: _make(code.co_consts[i], inner, keys, module) for i, inner in made_plan.within.items()}
    new = made_plan.make(code, keys, within)
    branches = [
        (_address(keys[path]), printable(f"{module}.{code.co_qualname}:{line}"), *site)
        for site, path, line in made_plan.sites
    ]
    if branches:
        try:
            make_branches(new, branches)
        except RuntimeError as error:
            raise refusal(code, code.co_firstlineno, error) from error
    return new


# A process may be forked by one thread while another is between its store and what it has to tell the interpreter.
os.register_at_fork(after_in_child=lib.code_poke_settle)
