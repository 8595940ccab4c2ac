"""What in a function's bytecode tests a name? Reads code objects, and changes nothing.

A test is what the compiler makes of ``if name``, ``while not a.b``, ``likely(name) and x``: loads, perhaps a call of a
hint, perhaps a copy for a test whose value is used, and a conditional jump. Which names are keys is not known here.

The package ``bytecode`` says what an opcode is. Its import takes longer than that of all else here, so it comes late:
prepare() imports it, for what is going to read.
"""

import sys
from collections.abc import Iterator
from functools import cache
from opcode import EXTENDED_ARG, opname
from types import CodeType
from typing import TYPE_CHECKING, NamedTuple

from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401
from jumplabel.errors import DecorationError

if TYPE_CHECKING:
    from bytecode import ConcreteInstr

Path = tuple[str, ...]
"""Where a value is found: GLOBAL, CLOSURE, LOCAL or NAME, the name, and its attributes and items, see item()."""

GLOBAL, CLOSURE, LOCAL, NAME = "global", "closure", "local", "name"

_CONSTANT = "constant"


def item(key: str) -> str:
    """The step of a path that ``["key"]`` makes. No attribute has this name."""
    return f"[{key}]"


def is_item(step: str) -> bool:
    return step.startswith("[")


def shown(path: Path) -> str:
    """As it stands in the source."""
    steps = [f'["{step[1:-1]}"]' if is_item(step) else f".{step}" for step in path[2:]]
    return path[1] + "".join(steps)


_NULL: Path = ()  # what the interpreter pushes beside a callable


class Instruction(NamedTuple):
    name: str
    arg: int
    start: int
    """In code units, with what extends its argument."""
    end: int
    """Behind its caches."""
    line: int | None
    target: int | None
    """Of a jump."""


class Test(NamedTuple):
    path: Path
    hint: Path | None
    """The callable that it is an argument of."""
    instructions: list[Instruction]
    """From the first load to the jump, and what is run right behind it when the jump is not taken."""
    loads: int
    """How many of them are before the copy, truth test and jump."""
    jump: Instruction
    jumps_if: bool
    """Whether the jump is taken when the name is true."""
    keeps: bool
    """Whether the name's value is on the stack after the jump."""

    @property
    def start(self) -> int:
        return self.instructions[0].start

    @property
    def pushes_null(self) -> bool:
        """Whether its first load also pushes the NULL of a call: up to 3.12 in ``(a if name else b)()``."""
        return self.hint is None and _loads_global_with_null(self.instructions[0])

    @property
    def past(self) -> int:
        """Where the function goes on when the jump is not taken."""
        return self.instructions[-1].end

    @property
    def line(self) -> int | None:
        return self.instructions[0].line


class Loaded(NamedTuple):
    """A value that is asked for its truth, perhaps by way of a hint."""

    path: Path
    hint: Path | None
    """The callable that it is an argument of."""
    next: int
    """The instruction behind the loads."""


class Reading(NamedTuple):
    """What there is to know of one code object."""

    code: CodeType
    instructions: list[Instruction]
    at: dict[int, int]
    """Which instruction begins at a unit."""
    tests: list[Test]
    negations: list[tuple[Path, int | None]]
    """What ``not`` makes a value of, and on which line; a test that is negated jumps the other way instead."""
    targets: set[int]
    """The units that a jump or an exception leads to."""
    rebinds: set[str]
    """Names, of variables that are not local and of attributes, that the code itself binds or deletes."""

    def comparisons(self) -> list[tuple[Path, int | None]]:
        """What a test compares with a constant, and on which line."""
        return list(_Reader(self.code, self.instructions).comparisons())

    def kept_tests(self) -> list[tuple[Path, int | None]]:
        """What a test also puts into a variable: ``if x := name:``."""
        return list(_Reader(self.code, self.instructions).kept_tests())

    def is_dropped_at(self, unit: int | None) -> bool:
        """Whether a value on the stack is not used from here on, or is what the function returns."""
        return unit in self.at and self.instructions[self.at[unit]].name in ("POP_TOP", "RETURN_VALUE")


def read(code: CodeType) -> Reading:
    """Raises ValueError for what no compiler makes: unknown instructions, jumps to nowhere."""
    instructions = _instructions(code)
    at = {instruction.start: i for i, instruction in enumerate(instructions)}
    targets = {instruction.target for instruction in instructions if instruction.target is not None}
    targets.update(_handlers(code.co_exceptiontable))
    if not instructions or instructions[-1].end * 2 != len(code.co_code):
        raise ValueError("its bytecode ends in the middle of an instruction")
    nowhere = targets - at.keys()
    if nowhere:
        raise ValueError(f"its bytecode has a jump into the middle of an instruction, to unit {min(nowhere)}")
    reader = _Reader(code, instructions)
    try:
        tests, negations = list(reader.tests()), list(reader.negations())
        return Reading(code, instructions, at, tests, negations, targets, set(reader.rebinds()))
    except IndexError as error:
        raise ValueError("its bytecode names what is not there, or ends without a return") from error


class _Kind(NamedTuple):
    """What there is to know of an opcode."""

    name: str
    caches: int
    jumps: int
    """1 forward by its argument, -1 backward, 0 not at all."""


@cache
def prepare() -> "type[ConcreteInstr]":
    """Import ``bytecode``, and return its class of instructions.

    For what is called before code is read, while imports are no surprise and files can still be opened: when
    ``static_branches`` is taken from the package, say. Any thread may call this, as often as it likes.

    Raises DecorationError where it cannot be imported; the next call tries again.
    """
    try:
        from bytecode import ConcreteInstr
    except (ImportError, OSError) as error:
        raise DecorationError(f"code cannot be read, as the package bytecode cannot be imported: {error}") from error
    return ConcreteInstr


@cache
def _kind(opcode: int) -> _Kind | None:
    """None: no compiler makes instructions of it."""
    if opname[opcode] == "CACHE":
        return None
    try:
        instr = prepare().disassemble(None, bytes((opcode, 0)), 0)
    except ValueError:
        return None
    jumps = instr.is_forward_rel_jump() - instr.is_backward_rel_jump()
    return _Kind(instr.name, instr.use_cache_opcodes(), jumps)


def _instructions(code: CodeType) -> list[Instruction]:
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
        if unit > start + 1 and name != "NOP":  # which may have been another one before
            _check_extended(name, arg)
        unit += caches
        target = unit + jumps * arg if jumps else None
        instructions.append(Instruction(name, arg, start, unit, line, target))
        start, extension = unit, 0
    return instructions


def _check_extended(name: str, arg: int) -> None:
    """Raises ValueError where no such instruction has an argument that large, or one at all."""
    try:
        prepare()(name, arg)
    except ValueError as error:
        raise ValueError(f"its bytecode cannot be read: {error!r}") from error


def _handlers(table: bytes) -> list[int]:
    """Where exceptions lead to. CPython's Objects/exception_handling_notes.txt: of four numbers each, the third."""
    numbers = [0]
    for byte in table:
        numbers[-1] = numbers[-1] << 6 | byte & 63
        if not byte & 64:
            numbers.append(0)
    return numbers[2:-2:4]


class _Reader:
    """Finds the tests of one code object by following the loads before each jump on a stack of paths."""

    def __init__(self, code: CodeType, instructions: list[Instruction]) -> None:
        self.code = code
        self.instructions = instructions
        self.names = [instruction.name for instruction in instructions]
        cells = [name for name in code.co_cellvars if name not in code.co_varnames]
        self.fast = [*code.co_varnames, *cells, *code.co_freevars]
        self.first_free = len(self.fast) - len(code.co_freevars)

    def rebinds(self) -> Iterator[str]:
        for i, name in enumerate(self.names):
            if name in _REBINDS:
                arg = self.instructions[i].arg
                if not name.endswith("DEREF"):
                    yield self.code.co_names[arg]
                elif arg >= self.first_free:
                    yield self.fast[arg]

    def tests(self) -> Iterator[Test]:
        for i, name in enumerate(self.names):
            if name in JUMPS:
                yield from filter(None, map(self.test_at, self.firsts_before(i)))

    def negations(self) -> Iterator[tuple[Path, int | None]]:
        for i in [i for i, name in enumerate(self.names) if name == "UNARY_NOT"]:
            for first in self.firsts_before(i):
                loaded = self.loaded_at(first)
                if loaded and loaded.next + (self.names[loaded.next] == "TO_BOOL") == i:
                    yield loaded.path, self.instructions[first].line

    def comparisons(self) -> Iterator[tuple[Path, int | None]]:
        for i, name in enumerate(self.names):
            if name in ("IS_OP", "COMPARE_OP") and self.names[i - 1] in _CONSTANTS and self.is_tested(i + 1):
                yield from self.loads_before(i - 1)

    def kept_tests(self) -> Iterator[tuple[Path, int | None]]:
        for i, name in enumerate(self.names):
            if name == "COPY" and self.names[i + 1].startswith("STORE_") and self.is_tested(i + 2):
                yield from self.loads_before(i)

    def is_tested(self, i: int) -> bool:
        while self.names[i] in ("COPY", "TO_BOOL", "UNARY_NOT"):
            i += 1
        return self.names[i] in JUMPS

    def loads_before(self, i: int) -> Iterator[tuple[Path, int | None]]:
        """What the instructions up to this one have loaded, a single value."""
        for first in self.firsts_before(i):
            loaded = self.loaded_at(first)
            if loaded and loaded.next == i:
                yield loaded.path, self.instructions[first].line

    def firsts_before(self, i: int) -> Iterator[int]:
        """Where the loads of what an instruction uses may begin: a hint, what is pushed beside it, or its argument."""
        found = 0
        for earlier in range(i - 1, -1, -1):
            name = self.names[earlier]
            if name in _FIRST or name.startswith(("LOAD_FAST", "STORE_FAST_LOAD_FAST")):
                yield earlier
                found += 1
            elif name not in _BEHIND_FIRST:
                return
            if found == 3:
                return

    def loaded_at(self, first: int) -> Loaded | None:
        if self.names[max(first - 1, 0) : first + 1] == ["BUILD_MAP", "LOAD_FROM_DICT_OR_GLOBALS"]:
            return None  # behind a site, see tests_become_sites.py
        stack: list[Path] = []
        hint = None
        i = first
        while self.load(self.instructions[i], stack):
            i += 1
            if self.instructions[i].name == "CALL":
                if self.instructions[i].arg != 1 or len(stack) != 3 or _NULL not in stack[:2] or not stack[2]:
                    return None
                hint = stack[0] or stack[1]
                stack[:] = stack[2:]
                i += 1
                break
        if len(stack) == 2 and stack[0] == _NULL and _loads_global_with_null(self.instructions[first]):
            del stack[0]
        return Loaded(stack[0], hint, i) if len(stack) == 1 and stack[0] else None

    def test_at(self, first: int) -> Test | None:
        loaded = self.loaded_at(first)
        if loaded is None:
            return None
        i = loaded.next
        copied = self.names[i] == "COPY" and self.instructions[i].arg == 1
        i += copied
        i += self.names[i] == "TO_BOOL"
        jump = self.instructions[i]
        if jump.name not in JUMPS:
            return None
        jumps_if, keeps = JUMPS[jump.name]
        i += 1
        i += self.names[i] == "NOT_TAKEN"
        if copied:
            if keeps or self.names[i] != "POP_TOP":
                return None
            keeps = True
            i += 1
        return Test(*loaded[:2], self.instructions[first:i], loaded.next - first, jump, jumps_if, keeps)

    def load(self, instruction: Instruction, stack: list[Path]) -> bool:
        """Follow an instruction of an expression. False: it is none, or not one of those that keys are found by."""
        name, arg, *_ = instruction
        if name == "LOAD_GLOBAL":
            _push_callable(stack, (GLOBAL, self.code.co_names[arg >> 1]), with_null=bool(arg & 1))
        elif name == "LOAD_DEREF":
            stack.append((CLOSURE if arg >= self.first_free else LOCAL, self.fast[arg]))
        elif name == "LOAD_ATTR" and stack and stack[-1]:
            if sys.version_info < (3, 12):
                stack.append((*stack.pop(), self.code.co_names[arg]))
            else:
                _push_callable(stack, (*stack.pop(), self.code.co_names[arg >> 1]), with_null=bool(arg & 1))
        elif name == "LOAD_METHOD" and stack and stack[-1]:
            _push_callable(stack, (*stack.pop(), self.code.co_names[arg]), with_null=True)
        elif name == "LOAD_CONST" and stack and type(self.code.co_consts[arg]) is str:
            stack.append((_CONSTANT, self.code.co_consts[arg]))
        elif name == "BINARY_SUBSCR" or (name == "BINARY_OP" and arg == _SUBSCRIPT):
            if len(stack) < 2 or not stack[-2] or stack[-1][:1] != (_CONSTANT,):
                return False
            key = stack.pop()[1]
            stack.append((*stack.pop(), item(key)))
        elif name == "PUSH_NULL":
            stack.append(_NULL)
        elif name in ("LOAD_NAME", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_GLOBALS", "LOAD_FROM_DICT_OR_DEREF"):
            deref = name.endswith("DEREF")
            stack.append((NAME, self.fast[arg] if deref else self.code.co_names[arg]))
        elif name in ("LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_FAST_CHECK"):
            stack.append((LOCAL, self.fast[arg]))
        elif not stack and name.startswith(("LOAD_FAST_", "STORE_FAST_LOAD_FAST")) and name.count("_FAST") == 2:
            stack.append((LOCAL, self.fast[arg & 15]))  # two in one; the second is on top
        else:
            return name == "PRECALL" and arg == 1
        return True


def _loads_global_with_null(instruction: Instruction) -> bool:
    return instruction.name == "LOAD_GLOBAL" and bool(instruction.arg & 1)


def _push_callable(stack: list[Path], path: Path, with_null: bool) -> None:
    if not with_null:
        stack.append(path)
    elif sys.version_info < (3, 13):
        stack.extend((_NULL, path))
    else:
        stack.extend((path, _NULL))


_REBINDS = {"STORE_GLOBAL", "DELETE_GLOBAL", "STORE_ATTR", "DELETE_ATTR", "STORE_DEREF", "DELETE_DEREF"}

_FIRST = {
    "LOAD_GLOBAL",
    "LOAD_DEREF",
    "PUSH_NULL",
    "LOAD_NAME",
    "LOAD_CLASSDEREF",
    "LOAD_FROM_DICT_OR_GLOBALS",
    "LOAD_FROM_DICT_OR_DEREF",
}

_SUBSCRIPT = 26  # NB_SUBSCR, what BINARY_OP does from 3.14 on

_BEHIND_FIRST = {"LOAD_ATTR", "LOAD_METHOD", "PRECALL", "CALL", "COPY", "TO_BOOL"}
_BEHIND_FIRST |= {"LOAD_CONST", "BINARY_SUBSCR", "BINARY_OP"}

_CONSTANTS = {"LOAD_CONST", "LOAD_SMALL_INT", "LOAD_COMMON_CONSTANT"}

# Every conditional jump of 3.11 to 3.15: taken if, and whether the value stays on the stack then.
JUMPS = {
    "POP_JUMP_IF_FALSE": (False, False),
    "POP_JUMP_IF_TRUE": (True, False),
    "POP_JUMP_FORWARD_IF_FALSE": (False, False),
    "POP_JUMP_FORWARD_IF_TRUE": (True, False),
    "POP_JUMP_BACKWARD_IF_FALSE": (False, False),
    "POP_JUMP_BACKWARD_IF_TRUE": (True, False),
    "JUMP_IF_FALSE_OR_POP": (False, True),
    "JUMP_IF_TRUE_OR_POP": (True, True),
}
