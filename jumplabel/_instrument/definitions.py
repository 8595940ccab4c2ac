"""How a new function comes to its code, and how a program says that it is ready: by a comparison, never by a call.

The marked source has constants that no source can have: FOLLOW as the innermost decorator of a function whose closure
holds a logger, READY in a program. ``compared`` makes the call of the decorator a comparison, ``FOLLOW < function``:
no tracer, profiler or ``sys.monitoring`` tool hears of comparisons. ``filled`` puts our objects in the place of the
constants, when the code is about to run. So nothing is imported, and nothing is looked up, at that moment.
"""

import sys
from collections.abc import Mapping
from functools import cache
from opcode import HAVE_ARGUMENT, opmap, stack_effect
from types import CodeType
from typing import Any

from jumplabel._bytecode.find_tests import Instruction, read

Constant = tuple[str, frozenset[object]]
FOLLOW: Constant = ("jumplabel: follow", frozenset())
READY: Constant = ("jumplabel: ready", frozenset())
"""The compiler makes a frozenset of what stands behind `in`, and never puts one into a tuple."""


@cache
def _comparison() -> bytes:
    # Of operators only a comparison has the room that a call has on all versions. On 3.11 it counts as a call does.
    code = compile("a < b" if sys.version_info >= (3, 12) else "a | b", "", "eval")
    made = next(one for one in read(code).instructions if one.name in ("COMPARE_OP", "BINARY_OP"))
    return code.co_code[2 * made.start : 2 * made.end]


def compared(code: CodeType) -> CodeType:
    """The code with comparisons in the place of calls of the decorator FOLLOW. Raises ValueError for unknown code."""
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
    """The units where the code loads FOLLOW, each with that of the next instruction."""
    if FOLLOW not in [one for one in code.co_consts if type(one) is tuple]:
        return []
    instructions = read(code).instructions
    return [
        (one.start, one.end)
        for one in instructions
        if one.name == "LOAD_CONST" and _is(code.co_consts[one.arg], FOLLOW)
    ]


def filled(code: CodeType, objects: Mapping[Constant, Any]) -> CodeType:
    """The code, and all within it, with these objects in the place of constants; the same where there are none."""
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
    """The call of the decorator that is loaded there: the one that finds it and the function alone on the stack."""
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
