"""Functions that find their logger in a closure: each gets sites that follow its own logger."""

import logging
from collections.abc import Iterable
from types import CodeType, FunctionType
from typing import Any
from weakref import ref

from jumplabel._bytecode import branch_names
from jumplabel._bytecode.code_objects import CodeRef, OfCode, branches_of, keep, kept, make_branches, set_code
from jumplabel._bytecode.find_tests import CLOSURE, GLOBAL
from jumplabel._bytecode.scope import Scope
from jumplabel._engine import lib
from jumplabel._instrument.compile_marked import Site
from jumplabel._instrument.marks import Statement
from jumplabel._instrument.original_code import origin, remember
from jumplabel._keys.registry import living
from jumplabel._keys.static_key import address
from jumplabel._loggers.log_keys import BusyError, LogKey, bind
from jumplabel._program.engine_objects import published
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401
from jumplabel._program.printing import printable
from jumplabel._program.unseen import Unseen, is_ours

KEPT = 8
"""How many copies of a code object are kept though no function has them now: the next call may need one again."""

Identity = tuple[tuple[str, int], ...]
"""Marks, each with the address of its key."""

_codes: dict[int, tuple[tuple[int, ...], tuple[tuple[str, object], ...], list[tuple[Any, ...]]]] = {}
"""The argument ``codes`` of csrc/cpython/follow.h."""


class _Seen:
    """A code object with marks of closures, and the copies that were made of it. Its own sites stay in the on state."""

    def __init__(self, code: CodeType, sites: Iterable[Site], module: str) -> None:
        self.sites = list(sites)
        self.statements = {mark: Statement.of(mark) for *_, mark, _ in self.sites}
        self.module = module
        self.codes: dict[Identity, ref[CodeType]] = {}
        self.room = KEPT
        """At this number of copies, look which of them are gone."""
        names = dict.fromkeys(statement.logger[0] for statement in self.statements.values())
        self.variables = tuple(code.co_freevars.index(name) for name in names)
        levels = [one.level for one in self.statements.values() if isinstance(one.level, tuple)]
        self.globals = tuple((name, logging) for name in dict.fromkeys(level[0] for level in levels))
        self.is_by_variables = all(len(statement.logger) == 1 for statement in self.statements.values())
        """Each logger is the variable itself, not an attribute of it."""
        self.made: list[tuple[Any, ...]] = []
        self.gone: CodeRef | None = None

    def code_for(self, code: CodeType, keys: dict[str, LogKey]) -> CodeType:
        """Return the copy of the code for these keys. Functions with the same loggers share it."""
        identity = tuple((mark, address(key)) for mark, key in keys.items())
        reference = self.codes.get(identity)
        made = reference() if reference is not None else None
        if made is None:
            made = _make(code, self, keys)
            if len(self.codes) >= self.room:
                self.codes = {one: reference for one, reference in self.codes.items() if reference() is not None}
                self.room = 2 * len(self.codes) + KEPT
            self.codes[identity] = ref(made)
        return made

    def note(self, function: FunctionType, code: CodeType) -> None:
        """Enter the copy for follow.c: later functions with the same values in their closures get it without a call."""
        holds = self.is_by_variables and all(
            function.__globals__.get(name) is value for name, value in self.globals
        )  # follow.c compares with these values only
        cells = function.__closure__ or ()
        try:
            references: list[Any] = [ref(cells[i].cell_contents) for i in self.variables] if holds else [None]
        except (TypeError, ValueError):  # a value allows no weak reference, or the variable has none yet
            references = [None]
        self.made[:] = [(code, *references), *self.made[: KEPT - 1]]


_seen: OfCode[_Seen] = OfCode("seen")
_gone = Unseen(lambda gone: _codes.pop(gone.number, None))


def register(code: CodeType, sites: Iterable[Site], module: str) -> None:
    """Have new functions with this code get the code that follows their own loggers."""
    _seen[code] = seen = _Seen(code, sites, module)
    _codes[id(code)] = seen.variables, seen.globals, seen.made
    seen.gone = CodeRef(code, _gone)
    seen.gone.number = id(code)


def register_copy(new: CodeType, old: CodeType) -> None:
    """Do the same for a copy of registered code that has the same sites."""
    seen = _seen.get(old)
    if seen is not None:
        register(new, seen.sites, seen.module)


def _follow(function: FunctionType) -> None:
    """Give a new function the code that follows the loggers in its closure.

    The program only defines a function here, so it gets no error of ours. After an error the function's logging
    statements stay on.
    """
    try:
        _give_code(function)
    except BusyError:
        return  # do not wait: the other thread may wait for a lock that the program holds here
    except Exception as error:
        if not is_ours(error):
            raise
        if not isinstance(error, MemoryError | RecursionError):
            lib.call_site_unraisable(id(error), id(function))


def _give_code(function: FunctionType) -> None:
    code = function.__code__
    seen = _seen.get(code)
    if seen is None:
        return
    scope = Scope.of(function)
    keys = {mark: key for mark, statement in seen.statements.items() if (key := _key(statement, scope)) is not None}
    if not keys:
        return
    try:
        made = seen.code_for(code, keys)
    except RuntimeError as error:  # other tools have taken all places for data on code objects: it stays on
        if not is_ours(error):
            raise
        return
    seen.note(function, made)
    set_code(function, made)


(_Follow,) = published(lib.follow_type)
follow: Any = _Follow(_codes, logging.Logger, Unseen(_follow))
"""Replaces FOLLOW in code that runs. ``follow < function`` is the function."""


def _key(statement: Statement, scope: Scope) -> LogKey | None:
    level: Any = statement.level
    if isinstance(level, tuple):
        # Only a level of the module logging. For another module's name, nothing reports that its number changes.
        level = scope.find((GLOBAL, *level)) if _is_of_logging(level, scope) else None
        if type(level) is not int:
            return None
    logger = scope.find((CLOSURE, *statement.logger))
    # A LoggerAdapter often serves one request only, and is not worth code of its own.
    return LogKey.of(logger, statement.method, level, wait=False) if issubclass(type(logger), logging.Logger) else None


def _is_of_logging(level: tuple[str, ...], scope: Scope) -> bool:
    return len(level) == 2 and scope.find((GLOBAL, level[0])) is logging


def _make(code: CodeType, seen: _Seen, keys: dict[str, LogKey]) -> CodeType:
    new = code.replace()
    branches = [
        (address(key), printable(f"{seen.module}.{code.co_qualname}:{line}"), *site)
        for *site, mark, line in seen.sites
        if (key := keys.get(mark)) is not None
    ]
    named = branch_names.of(code)
    has = branches_of(code)
    others = {address(key): key for key in kept(code)}
    missing = {number for number, *_ in has} - others.keys()
    if missing:  # the code object around this one keeps their keys alive
        others |= {address(key): key for key in living() if address(key) in missing}
    branches += [
        (number, printable(f"{seen.module}.{code.co_qualname}"), unit, *site, *named.get(unit, ()))
        for number, unit, *site in has
        if number in others
    ]
    make_branches(new, branches)
    branch_names.follow_copy(new, code)
    keep(new, [*others.values(), *keys.values()])
    bind(keys.values(), wait=False)
    of = origin(code)
    if of:
        remember(new, *of)
    return new
