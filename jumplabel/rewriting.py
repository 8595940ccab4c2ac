"""How a test becomes a site, in its own room: nothing moves.

    before                          after
    LOAD_GLOBAL   tracing           JUMP_FORWARD   to the body, or to where the test jumps     <- the site
      its caches                    JUMP_FORWARD   the same: the twin, see csrc/parked.h (3.12 and later)
    TO_BOOL                         NOP ...        the rest of the room is never run
    POP_JUMP_IF_FALSE               TO_BOOL, POP_JUMP_IF_FALSE as they were

A site's argument is one byte. What it cannot say, one state's jump leads to a *relay* in the room that can: a jump
of more than 255 units, a backward one (3.11), a test whose value is used, which pushes the key first.

The conditional jump stays where it can, though nobody gets there: tools that read code in a line (the interpreter's
own tracing is one) find the same targets as before.
"""

import sys
from collections.abc import Mapping
from opcode import opmap
from types import CodeType
from typing import NamedTuple

from jumplabel.reading import Path, Reading, Test

MOST = 255  # units that a site can jump
TWIN = sys.version_info >= (3, 12)

_UNIT = 2
_KEPT = [
    *("co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_nlocals", "co_stacksize", "co_flags"),
    *("co_names", "co_varnames", "co_freevars", "co_cellvars", "co_filename", "co_name", "co_qualname"),
    *("co_firstlineno", "co_linetable", "co_exceptiontable"),
]


class Site(NamedTuple):
    """A JUMP_FORWARD, and its arguments."""

    unit: int
    off: int
    on: int
    twin: bool


class Plan(NamedTuple):
    """What becomes of a code object, whatever keys are found at the paths."""

    units: bytes
    sites: list[tuple[Site, Path, int | None]]
    """With the line of the test."""
    constants: list[Path]
    """The keys to be had behind the other constants."""
    within: "dict[int, Plan]"
    """For code objects in co_consts, by their place there."""

    def make(self, code: CodeType, keys: Mapping[Path, object], within: Mapping[int, CodeType]) -> CodeType:
        """The new code. Raises ValueError where it would not be as the old one in every other respect."""
        constants = [*code.co_consts, *(keys[path] for path in self.constants)]
        for i, inner in within.items():
            constants[i] = inner
        new = code.replace(co_code=self.units, co_consts=tuple(constants))
        if new.co_code != self.units or any(getattr(new, name) != getattr(code, name) for name in _KEPT):
            raise ValueError("the interpreter makes another code object of it")
        return new


class CannotRewriteError(Exception):
    """Why a test must stay an ordinary one."""


class Rewriting:
    """A code object while its tests are made sites."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.units = bytearray(reading.code.co_code)
        self.constants: list[Path] = []
        self.sites: list[tuple[Site, Path, int | None]] = []

    def plan(self, within: dict[int, Plan]) -> Plan:
        return Plan(bytes(self.units), self.sites, self.constants, within)

    def add(self, test: Test) -> None:
        """Make a site of a test. Raises CannotRewriteError, and then it is as it was."""
        if len({instruction.line for instruction in test.instructions if instruction.end <= test.jump.end}) > 1:
            raise CannotRewriteError("it is on several lines, and a tracer would miss some of them")
        target = test.jump.target
        assert target is not None
        n_jumps = 2 if TWIN else 1
        relay = test.start + n_jumps
        direct = not test.keeps and test.start < target <= test.start + 1 + MOST
        room = bytearray(n_jumps * _UNIT)
        constants = self.constants
        if not direct:
            if test.keeps:
                constants = list(dict.fromkeys([*constants, test.path]))
                room += _instruction("LOAD_CONST", len(self.reading.code.co_consts) + constants.index(test.path))
            room += _jump(test.start + len(room) // _UNIT, target)
        end = _end(test, test.start + len(room) // _UNIT)
        if self.reading.targets.intersection(range(test.start + 1, end)):
            raise CannotRewriteError("another branch leads into the middle of it")
        if direct and end > test.jump.start and not self._starts_its_line(test, target):
            raise CannotRewriteError("it has no room for what tells tracers where it leads")
        if target < test.start and not self._same_handlers(relay, test.jump.start):
            raise CannotRewriteError("an exception handler begins or ends within it")

        taken = target if direct else relay
        off, on = (taken if state == test.jumps_if else test.past for state in (False, True))
        site = Site(test.start, off - test.start - 1, on - test.start - 1, TWIN)
        if max(site.off, site.on) > MOST:
            raise CannotRewriteError("it is too long")
        for unit in range(n_jumps):
            room[unit * _UNIT : (unit + 1) * _UNIT] = _instruction("JUMP_FORWARD", site.off - unit)
        room += _instruction("NOP", 0) * (end - test.start - len(room) // _UNIT)
        self.units[_UNIT * test.start : _UNIT * end] = room
        self.constants = constants
        self.sites.append((site, test.path, test.line))

    def _starts_its_line(self, test: Test, target: int) -> bool:
        """Whether a tracer reports the target's line without the test's jump to it as it does with it."""
        if sys.version_info < (3, 12):
            return True  # it compares lines as it runs
        lines = {instruction.start: instruction.line for instruction in self.reading.instructions}
        before = {instruction.end: instruction.line for instruction in self.reading.instructions}
        return lines[target] == test.line or lines[target] != before[target]

    def _same_handlers(self, unit: int, other: int) -> bool:
        return all((first <= unit <= last) == (first <= other <= last) for first, last in self.reading.handlers)


def _end(test: Test, needed: int) -> int:
    """Where the rewritten part of the room ends: behind a whole instruction, the last of the loads at least."""
    for instruction in test.instructions[test.loads - 1 :]:
        if instruction.end >= needed:
            return instruction.end
    raise CannotRewriteError("it has no room for a site")


def _instruction(name: str, arg: int) -> bytes:
    code = bytes((opmap[name], arg & 255))
    while arg := arg >> 8:
        code = bytes((opmap["EXTENDED_ARG"], arg & 255)) + code
    return code


def _jump(unit: int, target: int) -> bytes:
    """A jump to there, of which this is to be the first unit."""
    name, sign = ("JUMP_FORWARD", 1) if target > unit else ("JUMP_BACKWARD", -1)
    size = 0
    while True:  # a longer one may lead less far, and then be longer than it needs to be
        size += 1
        code = _instruction(name, sign * (target - unit - size))
        if len(code) <= size * _UNIT:
            return bytes((opmap["EXTENDED_ARG"], 0)) * (size - len(code) // _UNIT) + code
