"""Placeholders: constants in marked code that are replaced by the library's objects before the code runs.

- FOLLOW is the innermost decorator of a function whose closure holds a logger. The object in its place gives the new
  function its code.
- READY stands in a program. The object in its place learns that the program has bound its names.

Both reach the object by a comparison, never by a call: tracers, profilers and ``sys.monitoring`` tools hear of calls.
``compared`` turns the call of the decorator into ``FOLLOW < function``. ``filled`` puts the objects into the code. So
the running code imports nothing and looks nothing up.
"""

import sys
from collections.abc import Mapping
from functools import cache
from opcode import HAVE_ARGUMENT, opmap, stack_effect
from types import CodeType
from typing import Any

from jumplabel._bytecode.find_tests import read
from jumplabel._bytecode.instructions import Instruction

Constant = tuple[str, frozenset[object]]
FOLLOW: Constant = ("jumplabel: follow", frozenset())
READY: Constant = ("jumplabel: ready", frozenset())
"""No source has such constants: the compiler makes a frozenset only for `in {...}`, and never within a tuple."""


@cache
def _comparison() -> bytes:
    # A comparison has as much room as a call on all versions; no other operator has. On 3.11 it counts against the
    # recursion limit, as a call does, and may fail where the program's own statement would not. So `|` stands there.
    code = compile("a < b" if sys.version_info >= (3, 12) else "a | b", "", "eval")
    made = next(one for one in read(code).instructions if one.name in ("COMPARE_OP", "BINARY_OP"))
    return code.co_code[2 * made.start : 2 * made.end]


def compared(code: CodeType) -> CodeType:
    """Return the code with a comparison in the place of each call of the decorator FOLLOW.

    Raises ValueError for code in which the call is not found.
    """
    loads = loads_of_follow(code)
    if not loads:
        return code
    reading = read(code)
    units = bytearray(code.co_code)
    for load, _ in loads:
        last = _call(reading.instructions, reading.at[load])
        first = last - (reading.instructions[last - 1].name == "PRECALL")
        room = slice(2 * reading.instructions[first].start, 2 * reading.instructions[last].end)
        nops = bytes((opmap["NOP"], 0)) * ((room.stop - room.start - len(_comparison())) // 2)
        units[room] = _comparison() + nops
    return code.replace(co_code=bytes(units))


def loads_of_follow(code: CodeType) -> list[tuple[int, int]]:
    """Return the code units that load FOLLOW, each with the unit of the next instruction."""
    if FOLLOW not in [one for one in code.co_consts if type(one) is tuple]:
        return []
    instructions = read(code).instructions
    return [
        (one.start, one.end)
        for one in instructions
        if one.name == "LOAD_CONST" and _is(code.co_consts[one.arg], FOLLOW)
    ]


def filled(code: CodeType, objects: Mapping[Constant, Any]) -> CodeType:
    """Return the code, and the code within it, with objects in the place of these constants.

    Returns the same code object if the code has none of the constants.
    """
    constants = tuple(
        filled(one, objects) if type(one) is CodeType else objects.get(one, one) if type(one) is tuple else one
        for one in code.co_consts
    )
    if all(one is before for one, before in zip(constants, code.co_consts, strict=True)):
        return code
    return code.replace(co_consts=constants)


def is_filled(code: CodeType) -> bool:
    """Return whether no such constant is in the code, nor within it."""
    return filled(code, {FOLLOW: None, READY: None}) is code


def _is(one: object, constant: Constant) -> bool:
    return type(one) is tuple and one == constant


def _call(instructions: list[Instruction], load: int) -> int:
    """Return the index of the instruction that calls the decorator loaded at ``load``.

    At that call the stack has grown by the decorator and the function alone. Raises ValueError if there is none.
    """
    depth = 0
    depths: dict[int, int] = {}  # at the targets of jumps: defaults may be conditional expressions
    for i in range(load, len(instructions)):
        name, arg, start, _, _, target = instructions[i]
        depth = depths.get(start, depth)
        if name == "CALL" and arg == 0 and depth == 2:
            return i
        opcode = opmap[name]
        given = arg if opcode >= HAVE_ARGUMENT else None
        if target is not None:
            depths.setdefault(target, depth + stack_effect(opcode, given, jump=True))
        depth += stack_effect(opcode, given, jump=False)
    raise ValueError("the call of a decorator is not found")
