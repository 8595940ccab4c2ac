"""Functions that run a copy of their code, made by another tool: the sites of a copy stay as they were.

A profiler or debugger gives a function ``function.__code__.replace(...)``. The engine notices that
(csrc/cpython/code_watch.h), and keeps the function's own code here, until the function has it back. Where such a key is
toggled, a warning says so, and ``entries`` shows it. Code that has lost the sites' jumps is no copy: the original from
before decorating, or what a reload has compiled.
"""

import warnings
from collections.abc import Iterator
from opcode import opmap
from types import CodeType, FunctionType
from weakref import ref

from jumplabel._bytecode.code_objects import branches_of
from jumplabel._engine import lib
from jumplabel._keys import replaced_sites
from jumplabel._keys.static_key import address
from jumplabel._keys.toggles import Toggle, callbacks
from jumplabel._program.engine_objects import published
from jumplabel._program.functions import full_name
from jumplabel.errors import ReplacedCodeWarning

_JUMP_FORWARD = opmap["JUMP_FORWARD"]

_replaced: dict[ref[FunctionType], CodeType] = {}
"""The functions, and the code with sites that they had. Changed by the engine, in other threads, too."""

_told: list[ref[FunctionType]] = []
"""Those keys of _replaced, themselves and not their equals, that a warning was about."""


def runs_a_copy(function: FunctionType) -> bool:
    return any(one is function for _, one, _ in _copies())


def _copies() -> Iterator[tuple[ref[FunctionType], FunctionType, CodeType]]:
    """With the code that has sites and is left behind: the function's own, or of what is defined in it."""
    for reference, code in list(_replaced.items()):
        function = reference()
        if function is None:
            continue
        now = list(_codes(function.__code__))
        copied = [one for one in _codes(code) if branches_of(one) and any(_is_copy(other, one) for other in now)]
        if not copied:
            _replaced.pop(reference, None)
        for one in copied:
            yield reference, function, one


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _is_copy(code: CodeType, of: CodeType) -> bool:
    """A tool may have added instructions, but it leaves the jumps of the sites."""
    is_in_its_place = (code.co_filename, code.co_firstlineno) == (of.co_filename, of.co_firstlineno)
    return is_in_its_place and _jumps(code) >= _jumps(of) and not branches_of(code)


def _jumps(code: CodeType) -> int:
    return code.co_code[::2].count(_JUMP_FORWARD)


def left_behind() -> set[int]:
    """The addresses of the sites that a function has left behind for a copy."""
    start = CodeType.__basicsize__
    return {id(code) + start + 2 * unit for _, _, code in _copies() for _, unit, *_ in branches_of(code)}


def _toggled(toggle: Toggle) -> None:
    """Among the callbacks of toggles while there is something to tell."""
    _told[:] = [one for one in _told if any(one is reference for reference in list(_replaced))]
    for reference, function, code in _copies():
        is_told = any(one is reference for one in _told)
        if not is_told and any(number == address(toggle.key) for number, *_ in branches_of(code)):
            _told.append(reference)
            _warn(function, toggle)
    if not _replaced:
        callbacks.pop(_toggled, None)
        if _replaced:  # since then
            callbacks[_toggled] = None


def _warn(function: FunctionType, toggle: Toggle) -> None:
    code = function.__code__
    message = (
        f"{full_name(function)} does not follow the key {toggle.key.name!r}: another tool has replaced its __code__ by "
        "a copy, in which the sites stay as they were when it was made. Let that tool give the function its own code "
        "back (a profiler may do so when it is disabled), or let it begin before the function is decorated"
    )
    module = function.__module__ if isinstance(function.__module__, str) else "<unknown>"  # of None nothing is shown
    warnings.warn_explicit(message, ReplacedCodeWarning, code.co_filename, code.co_firstlineno, module)


(_watch_code,) = published(lib.code_watch_start)
_watch_code(_replaced, callbacks, _toggled)
replaced_sites.addresses = left_behind
