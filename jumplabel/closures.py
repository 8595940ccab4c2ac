"""Functions whose logger is a closure's variable: each gets sites for the one that it has found."""

import logging
from collections import deque
from collections.abc import Iterable
from types import CodeType, FunctionType
from typing import Any
from weakref import WeakValueDictionary

from jumplabel import branch_names
from jumplabel.code_objects import OfCode, branches_of, keep, kept, make_branches, set_code
from jumplabel.functions import printable
from jumplabel.keys import address
from jumplabel.log_keys import LogKey, bind
from jumplabel.marked_code import Site
from jumplabel.marking import Statement
from jumplabel.origins import origin, remember
from jumplabel.reading import CLOSURE, GLOBAL
from jumplabel.scope import Scope

KEPT = 8
"""As many of the codes made of one are kept, though no function has them now: the next call may make one again."""


class _Seen:
    """A code object with marks of closures, whose sites lead on for good; and what was made of it."""

    def __init__(self, sites: Iterable[Site], module: str) -> None:
        self.sites = list(sites)
        self.marks = list(dict.fromkeys(mark for *_, mark, _ in self.sites))
        self.module = module
        self.codes: WeakValueDictionary[tuple[tuple[str, int], ...], CodeType] = WeakValueDictionary()
        self.last: deque[CodeType] = deque(maxlen=KEPT)


_seen: OfCode[_Seen] = OfCode()


def register(code: CodeType, sites: Iterable[Site], module: str) -> None:
    """Where follow() finds the sites of a closure's code."""
    _seen[code] = _Seen(sites, module)


def follow(function: FunctionType) -> FunctionType:
    """Give a function code whose sites follow the loggers that its closure's variables hold now.

    Called where the function is made. Functions with the same loggers share their code.
    """
    code = function.__code__
    seen = _seen.get(code)
    if seen is None:
        return function
    scope = Scope.of(function)
    keys = {mark: key for mark in seen.marks if (key := _key(Statement.of(mark), scope)) is not None}
    if not keys:
        return function
    identity = tuple((mark, address(key)) for mark, key in keys.items())
    made = seen.codes.get(identity)
    if made is None:
        try:
            made = seen.codes[identity] = _make(code, seen, keys)
        except RuntimeError:  # other tools have taken all places for data on code objects: it stays as when on
            return function
        seen.last.append(made)
    set_code(function, made)
    return function


def _key(statement: Statement, scope: Scope) -> LogKey | None:
    level: Any = statement.level
    if isinstance(level, tuple):
        # No other module's: nobody would tell us that the name is bound to another number.
        level = scope.find((GLOBAL, *level)) if _is_of_logging(level, scope) else None
        if type(level) is not int:
            return None
    logger = scope.find((CLOSURE, *statement.logger))
    # An adapter is often made for one request, and not worth code of its own.
    return LogKey.of(logger, statement.method, level) if issubclass(type(logger), logging.Logger) else None


def _is_of_logging(level: tuple[str, ...], scope: Scope) -> bool:
    return len(level) == 2 and scope.find((GLOBAL, level[0])) is logging


def _make(code: CodeType, seen: _Seen, keys: dict[str, LogKey]) -> CodeType:
    new = code.replace()
    branches = [
        (address(key), printable(f"{seen.module}.{code.co_qualname}:{line}"), *site)
        for *site, mark, line in seen.sites
        if (key := keys.get(mark)) is not None
    ]
    others = {address(key): key for key in kept(code)}
    branches += [
        (number, printable(f"{seen.module}.{code.co_qualname}"), *site)
        for number, *site in branches_of(code)
        if number in others
    ]
    make_branches(new, branches)
    branch_names.copy(code, new)
    keep(new, [*others.values(), *keys.values()])
    bind(keys.values())
    of = origin(code)
    if of:
        remember(new, *of)
    return new
