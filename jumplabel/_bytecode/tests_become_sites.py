"""How a test becomes a site, in its own room: nothing moves.

    before                          after
    LOAD_GLOBAL   tracing           JUMP_FORWARD   to the body, or to where the test jumps     <- the site
      its caches                    JUMP_FORWARD   the same: the twin, see csrc/cpython/traced_frames.h (3.12 and later)
    TO_BOOL                         BUILD_MAP, LOAD_FROM_DICT_OR_GLOBALS tracing, NOP ...
    POP_JUMP_IF_FALSE               TO_BOOL, POP_JUMP_IF_FALSE as they were

The rest of the room is run only while the name stands for something else (branch_names.py, 3.12 and later): the site
then leads behind the twin, to another way to load the global, without caches, and so to the ordinary test.

A site's argument is one byte. What it cannot say, one state's jump leads to a *relay* in the room that can: a jump
of more than 255 units, a backward one (3.11), a test whose value is used, which pushes the key first. A value that is
only tested again is not pushed: the jump leads to where those tests would lead, see kept_values.py.

The conditional jump stays where it can, though nobody gets there: tools that read code from end to end (the
interpreter's own tracing is one) find that it leads where it did.
"""

import sys
from collections.abc import Callable, Mapping
from opcode import opmap
from types import CodeType
from typing import NamedTuple

from jumplabel._bytecode.find_tests import Instruction, Path, Reading, Test
from jumplabel._bytecode.kept_values import Pushed, lead_of
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401

MOST = 255  # units that a site can jump
TWIN = sys.version_info >= (3, 12)
N_JUMPS = 1 + TWIN

_STANDS_FOR = {False: ("BUILD_TUPLE", 0), True: ("LOAD_ASSERTION_ERROR", 0)}
"""What has the truth of a key, and needs no constant: an empty tuple, a class."""
if "LOAD_SMALL_INT" in opmap:  # 3.14
    _STANDS_FOR = {state: ("LOAD_SMALL_INT", int(state)) for state in (False, True)}

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


class Ordinary(NamedTuple):
    """How a site becomes the ordinary test of its name again."""

    argument: int
    """By which it leads to the test behind it; 0: there is no room for that."""
    path: Path


class Plan(NamedTuple):
    """What becomes of a code object, whatever keys are found at the paths."""

    units: bytes
    sites: list[tuple[Site, Path, int | None]]
    """With the line of the test."""
    constants: list[Path]
    """The keys to be had behind the other constants."""
    within: "dict[int, Plan]"
    """For code objects in co_consts, by their place there."""
    snapshot: bool
    """Whether its sites are never turned: it is made once for each state, see fix()."""
    ordinary: "dict[int, Ordinary]"
    """For sites of names, by their units."""
    carries: bool
    """Whether some sites were there before."""

    def make(self, code: CodeType, keys: Mapping[Path, object], within: Mapping[int, CodeType]) -> CodeType:
        """The new code of the code that this is the plan of."""
        constants = [*code.co_consts, *(keys[path] for path in self.constants)]
        for i, inner in within.items():
            constants[i] = inner
        return code.replace(co_code=self.units, co_consts=tuple(constants))

    def fixed(self) -> list[Path]:
        """The paths whose tests go one way for the whole of a call."""
        if not self.snapshot:
            return []
        within = [path for inner in self.within.values() for path in inner.fixed()]
        return list(dict.fromkeys([path for _, path, _ in self.sites] + within))

    def fix(self, made: CodeType, is_on: Callable[[Path], bool]) -> CodeType:
        """The variant of code made by this plan, with those within that belong to the same call, for one state."""
        constants = list(made.co_consts)
        for i, inner in self.within.items():
            if inner.snapshot:
                constants[i] = inner.fix(constants[i], is_on)
        return made.replace(co_code=self.turned(is_on), co_consts=tuple(constants))

    def turned(self, is_on: Callable[[Path], bool]) -> bytes:
        """The units in one state of the keys."""
        units = bytearray(self.units)
        for site, path, _ in self.sites:
            _turn(units, site, is_on(path))
        return bytes(units)


class CannotRewriteError(Exception):
    """Why a test must stay an ordinary one."""


class Rewriting:
    """A code object while its tests are made sites."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.units = bytearray(reading.code.co_code)
        self.constants: list[Path] = []
        self.sites: list[tuple[Site, Path, int | None]] = []
        self.ordinary: dict[int, Ordinary] = {}
        self.carries = False

    def plan(self, within: dict[int, Plan], snapshot: bool = False) -> Plan:
        """Raises ValueError where code with these units would not be as the old one in every other respect."""
        code, units = self.reading.code, bytes(self.units)
        new = code.replace(co_code=units)  # not the one to be used: a code object keeps what it was once asked for
        if new.co_code != units or any(getattr(new, name) != getattr(code, name) for name in _KEPT):
            raise ValueError("the interpreter makes another code object of it")
        return Plan(units, self.sites, self.constants, within, snapshot, self.ordinary, self.carries)

    def add(self, test: Test, named: bool = False) -> None:
        """Make a site of a test; one that can be the ordinary test again, if it is named and has the room for that.

        Raises CannotRewriteError, and then it is as it was.
        """
        target, pushes = lead_of(self.reading, test)
        if len({instruction.line for instruction in test.instructions if instruction.end <= test.jump.end}) > 1:
            raise CannotRewriteError("it is on several lines, and a tracer would miss some of them; write it on one")
        constants, pushed = self.constants, b""
        if pushes is Pushed.KEY:
            constants = list(dict.fromkeys([*constants, test.path]))
            pushed = _instruction("LOAD_CONST", len(self.reading.code.co_consts) + constants.index(test.path))
        elif pushes is Pushed.STATE:
            pushed = _instruction(*_STANDS_FOR[test.jumps_if])
        unit = test.start + test.pushes_null
        first = unit + N_JUMPS
        if target < test.start:
            # The jump itself, without its condition, is the relay.
            taken, end = test.jump.start, test.jump.end
            room = self.units[_UNIT * first : _UNIT * end]
            room[: _UNIT * (taken - first)] = _instruction("NOP", 0) * (taken - first)
            room[-_UNIT] = opmap["JUMP_BACKWARD"]
            ordinary = b""
        else:
            room = bytearray()
            taken = target
            if pushed or target - unit - 1 > MOST:
                taken = first
                room += pushed
                room += _jump(first + len(room) // _UNIT, target)
            ordinary = _other_load(test.instructions[0], not test.pushes_null) if named and not room else b""
            if ordinary and first + len(ordinary) // _UNIT <= test.instructions[0].end:
                room += ordinary
                end = test.instructions[0].end
            else:
                ordinary = b""
                end = _end(test, first + len(room) // _UNIT)
            if taken == target and end > test.jump.start and not self._starts_its_line(test, target):
                raise CannotRewriteError(
                    "it has no room for what tells tracers where it leads; let the key be a global"
                )
        if self.reading.targets.intersection(range(test.start + 1, end)):
            raise CannotRewriteError("another branch leads into the middle of it; test the key in an `if` of its own")
        off, on = (taken if state == test.jumps_if else test.past for state in (False, True))
        site = Site(unit, off - unit - 1, on - unit - 1, TWIN)
        if max(site.off, site.on) > MOST:
            raise CannotRewriteError("it is too long; give the key a name with fewer dots")

        room += _instruction("NOP", 0) * (end - first - len(room) // _UNIT)
        null = _PUSH_NULL * test.pushes_null
        self.units[_UNIT * test.start : _UNIT * end] = null + _jumps(site.off) + room
        self.constants = constants
        self.sites.append((site, test.path, test.line))
        if named and pushes is not Pushed.KEY:
            self.ordinary[site.unit] = Ordinary(first - unit - 1 if ordinary else 0, test.path)

    def turn_on(self, site: Site) -> None:
        """For good."""
        _turn(self.units, site, True)

    def _starts_its_line(self, test: Test, target: int) -> bool:
        """Whether tracers report the target's line also without the test's jump to it, as they do with it.

        From 3.12 on they look where each jump leads, run or not, before they begin: CPython's
        Python/instrumentation.c, initialize_lines(). The site shows only where it leads at that moment. They find what
        lies behind a second test of the value by that one's instructions, which are on the line and stay.
        """
        if sys.version_info < (3, 12) or target != test.jump.target:
            return True
        there = self.reading.at[target]
        before, line = [instruction.line for instruction in self.reading.instructions[there - 1 : there + 1]]
        return line in (test.line, None) or line != before


def _other_load(load: Instruction, with_null: bool) -> bytes:
    """What loads a global without caches, and pushes as much beside it; from 3.12 on."""
    if load.name != "LOAD_GLOBAL" or "LOAD_FROM_DICT_OR_GLOBALS" not in opmap:
        return b""
    null = _PUSH_NULL * (with_null and load.arg & 1)
    other = _EMPTY_MAP + _instruction("LOAD_FROM_DICT_OR_GLOBALS", load.arg >> 1)
    return null + other if sys.version_info < (3, 13) else other + null


def _end(test: Test, needed: int) -> int:
    """Where the rewritten part of the room ends: behind a whole instruction, the last of the loads at least."""
    for instruction in test.instructions[test.loads - 1 :]:
        if instruction.end >= needed:
            return instruction.end
    raise CannotRewriteError("it has no room for a site; let the key be a global, or write `if` and `else`")


def _instruction(name: str, arg: int) -> bytes:
    code = bytes((opmap[name], arg & 255))
    while arg := arg >> 8:
        code = bytes((opmap["EXTENDED_ARG"], arg & 255)) + code
    return code


_PUSH_NULL = _instruction("PUSH_NULL", 0)
_EMPTY_MAP = _instruction("BUILD_MAP", 0)


def _turn(units: bytearray, site: Site, on: bool) -> None:
    jumps = _jumps(site.on if on else site.off)
    units[_UNIT * site.unit : _UNIT * site.unit + len(jumps)] = jumps


def _jumps(target: int) -> bytes:
    """A site and its twin, with the argument that leads there."""
    return b"".join(_instruction("JUMP_FORWARD", target - unit) for unit in range(N_JUMPS))


def _jump(unit: int, target: int) -> bytes:
    """A jump to there, of which this is to be the first unit."""
    name, sign = ("JUMP_FORWARD", 1) if target > unit else ("JUMP_BACKWARD", -1)
    size = 0
    while True:  # a longer one may lead less far, and then be longer than it needs to be
        size += 1
        code = _instruction(name, sign * (target - unit - size))
        if len(code) <= size * _UNIT:
            return bytes((opmap["EXTENDED_ARG"], 0)) * (size - len(code) // _UNIT) + code
