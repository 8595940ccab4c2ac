"""Functions that run a copy of their code, made by another tool: the sites of a copy stay as they were.

A profiler or debugger sets ``function.__code__`` to ``function.__code__.replace(...)``. The engine notices that
(csrc/cpython/code_watch.h) and keeps the function's own code here, until the function has it back. A toggle of a key
with such sites gives a warning, and the key's ``entries`` show them. Code without the sites' jumps is no copy: it is
the original from before decorating, or a reload has compiled it.
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
"""Functions, and the code with sites that they had. The engine changes this, also in other threads."""

_warned: list[ref[FunctionType]] = []
"""The keys of _replaced that a warning was about. Compared by identity, as references to equal functions are equal."""


def runs_a_copy(function: FunctionType) -> bool:
    """Return whether the function runs a copy of its code, whose sites stay as they are."""
    return any(one is function for _, one, _ in _copies())


def _copies() -> Iterator[tuple[ref[FunctionType], FunctionType, CodeType]]:
    """Yield the functions that run a copy, each with every code object with sites that the copy has replaced.

    Such code is the function's own, or of what is defined in it.
    """
    for reference, code in list(_replaced.items()):
        function = reference()
        if function is None:
            continue
        now = list(_code_and_within(function.__code__))
        copied = [
            one for one in _code_and_within(code) if branches_of(one) and any(_is_copy(other, one) for other in now)
        ]
        if not copied:
            _replaced.pop(reference, None)
        for one in copied:
            yield reference, function, one


def _code_and_within(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code_and_within(constant)


def _is_copy(code: CodeType, of: CodeType) -> bool:
    """Return whether code is a tool's copy of other code. A tool may add instructions, and leaves the sites' jumps."""
    is_in_its_place = (code.co_filename, code.co_firstlineno) == (of.co_filename, of.co_firstlineno)
    return is_in_its_place and _jumps(code) >= _jumps(of) and not branches_of(code)


def _jumps(code: CodeType) -> int:
    return code.co_code[::2].count(_JUMP_FORWARD)


def addresses() -> set[int]:
    """Return the addresses of the sites that a copy has replaced."""
    start = CodeType.__basicsize__
    return {id(code) + start + 2 * unit for _, _, code in _copies() for _, unit, *_ in branches_of(code)}


def _toggled(toggle: Toggle) -> None:
    """Warn of functions that do not follow the key. A callback of toggles while a function may run a copy."""
    _warned[:] = [one for one in _warned if any(one is reference for reference in list(_replaced))]
    for reference, function, code in _copies():
        has_warned = any(one is reference for one in _warned)
        if not has_warned and any(of_key == address(toggle.key) for of_key, *_ in branches_of(code)):
            _warned.append(reference)
            _warn(function, toggle)
    if not _replaced:
        callbacks.pop(_toggled, None)
        if _replaced:  # the engine has added one meanwhile
            callbacks[_toggled] = None


def _warn(function: FunctionType, toggle: Toggle) -> None:
    code = function.__code__
    message = (
        f"{full_name(function)} does not follow the key {toggle.key.name!r}: another tool has replaced its __code__ by "
        "a copy, in which the sites stay as they were when it was made. Let that tool give the function its own code "
        "back (a profiler may do so when it is disabled), or let it begin before the function is decorated"
    )
    # warn_explicit() shows nothing for a module that is None.
    module = function.__module__ if isinstance(function.__module__, str) else "<unknown>"
    warnings.warn_explicit(message, ReplacedCodeWarning, code.co_filename, code.co_firstlineno, module)


(_watch_code,) = published(lib.code_watch_start)
_watch_code(_replaced, callbacks, _toggled)
replaced_sites.addresses = addresses
