"""The instructions of a code object, and where its exceptions lead. Reads code objects, and changes nothing.

The package ``bytecode`` says what an opcode is. Its import takes longer than that of all else here, so prepare()
imports it, just before the first code is read.
"""

from functools import cache
from opcode import EXTENDED_ARG, opname
from types import CodeType
from typing import TYPE_CHECKING, NamedTuple

from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401
from jumplabel.errors import DecorationError

if TYPE_CHECKING:
    from bytecode import ConcreteInstr


class Instruction(NamedTuple):
    """One instruction of a code object. Places are in code units."""

    name: str
    arg: int
    start: int
    """Its first unit, which is that of its first ``EXTENDED_ARG``."""
    end: int
    """The unit behind its caches."""
    line: int | None
    target: int | None
    """The unit that a jump leads to; None for any other instruction."""


class _Kind(NamedTuple):
    """The facts about an opcode."""

    name: str
    caches: int
    jumps: int
    """1: it jumps forward by its argument; -1: backward; 0: not at all."""


@cache
def prepare() -> "type[ConcreteInstr]":
    """Import ``bytecode``, and return its class of instructions.

    Call it before code is read, while imports are no surprise and files can still be opened: for example when
    ``static_branches`` is taken from the package. Any thread may call it, any number of times.

    Raises DecorationError where the package cannot be imported. The next call tries again.
    """
    try:
        from bytecode import ConcreteInstr
    except (ImportError, OSError) as error:
        raise DecorationError(f"code cannot be read, as the package bytecode cannot be imported: {error}") from error
    return ConcreteInstr


@cache
def _kind(opcode: int) -> _Kind | None:
    """Return the facts about an opcode, or None if no compiler makes instructions of it."""
    if opname[opcode] == "CACHE":
        return None
    try:
        instr = prepare().disassemble(None, bytes((opcode, 0)), 0)
    except ValueError:
        return None
    jumps = instr.is_forward_rel_jump() - instr.is_backward_rel_jump()
    return _Kind(instr.name, instr.use_cache_opcodes(), jumps)


def instructions_of(code: CodeType) -> list[Instruction]:
    """Return the instructions of a code object. Raises ValueError for bytecode that no compiler makes."""
    units, lines = code.co_code, code.co_lines()
    instructions = []
    start = unit = extension = line_ends = 0
    line = None
    while 2 * unit < len(units):
        opcode, arg = units[2 * unit], units[2 * unit + 1] | extension << 8
        while line_ends <= 2 * unit:
            _, line_ends, line = next(lines, (0, len(units), None))
        unit += 1
        if opcode == EXTENDED_ARG:
            extension = arg
            continue
        kind = _kind(opcode)
        if kind is None:
            raise ValueError(f"its bytecode has an unknown instruction, {opname[opcode]}, at unit {start}")
        name, caches, jumps = kind
        if unit > start + 1 and name != "NOP":  # the compiler may have put NOP in the place of another instruction
            _check_extended(name, arg)
        unit += caches
        target = unit + jumps * arg if jumps else None
        instructions.append(Instruction(name, arg, start, unit, line, target))
        start, extension = unit, 0
    return instructions


def _check_extended(name: str, arg: int) -> None:
    """Raise ValueError where the instruction takes no argument, or none that large."""
    try:
        prepare()(name, arg)
    except ValueError as error:
        raise ValueError(f"its bytecode cannot be read: {error!r}") from error


def handlers_of(table: bytes) -> list[int]:
    """Return the units of the exception handlers in a table, ``co_exceptiontable``.

    An entry of the table is four numbers, and the third is the handler: CPython's Objects/exception_handling_notes.txt.
    """
    numbers = [0]
    for byte in table:
        numbers[-1] = numbers[-1] << 6 | byte & 63
        if not byte & 64:
            numbers.append(0)
    return numbers[2:-2:4]
