"""How an ``if`` becomes a site, from the decorator down to the store.

 1. ``_sites/branches.py``: ``@static_branches`` finds functions (``function_search.py``) and sets their new code.
 2. ``new_code.py`` makes the new code by a plan. Functions of the same code and keys share both.
 3. ``plan_sites.py`` makes the plan: which tests become sites, and which must stay as they are.
 4. ``find_tests.py`` finds the tests of names in the bytecode, which ``instructions.py`` reads.
 5. ``scope.py`` looks a name up as the function would: is it a key? ``strict.py`` says what ``strict=True`` refuses.
 6. ``kept_values.py`` follows a value that a test leaves on the stack, to where the site may lead instead.
 7. ``tests_become_sites.py``, this file, writes each site over its test. Nothing moves.
 8. ``code_objects.py`` hands the sites to the engine (``csrc/cpython/code_object.c``): entries of their keys.
 9. ``branch_names.py`` turns a site into an ordinary test while its name stands for something else.
10. A toggle (``csrc/engine/transaction.c``) stores one byte in each site: ``site_code.c``, ``code_poke.c``.

The *room* of a test is all of its code units, from the first load to the conditional jump::

    before                          after
    LOAD_GLOBAL   tracing           JUMP_FORWARD   to the body, or to where the test jumps     <- the site
      its caches                    JUMP_FORWARD   the same: the twin, see csrc/cpython/traced_frames.h (3.12 and later)
    TO_BOOL                         BUILD_MAP, LOAD_FROM_DICT_OR_GLOBALS tracing, NOP ...      <- the second load
    POP_JUMP_IF_FALSE               TO_BOOL, POP_JUMP_IF_FALSE as they were

Three builders fill the room behind the site and its twin:

- ``_direct``: the site leads where the test leads. If there is room, a second load of the global follows, without
  caches (3.12 and later). It runs only while the name stands for something else than the key: branch_names.py then
  leads the site to it, and so to the ordinary test behind it.
- ``_relay``: the site leads to a jump in the room, the *relay*. It is for what the site's one byte cannot say: a jump
  of more than 255 units, and a value to push before the jump.
- ``_backward`` (3.11): the test's own backward jump, without its condition, is the relay.

Up to 3.12 the first load may also push the NULL of a call, as in ``(a if tracing else b)()``. Then a ``PUSH_NULL``
before the site does that.

The conditional jump stays in its place where it can, although it never runs there. Tools that read code from end to
end, such as the interpreter's own tracing, find that it leads where it did.
"""

import sys
from collections.abc import Callable, Mapping
from opcode import opmap
from types import CodeType
from typing import NamedTuple

from jumplabel._bytecode.find_tests import Path, Reading, Test
from jumplabel._bytecode.instructions import Instruction
from jumplabel._bytecode.kept_values import Lead, Pushed, lead_of
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401

LONGEST = 255
"""The most units that a site can jump over."""
HAS_TWIN = sys.version_info >= (3, 12)
N_JUMPS = 1 + HAS_TWIN

_SAME_TRUTH = {False: ("BUILD_TUPLE", 0), True: ("LOAD_ASSERTION_ERROR", 0)}
"""Instructions that push a value of this truth without a constant: an empty tuple, a class."""
if "LOAD_SMALL_INT" in opmap:  # 3.14
    _SAME_TRUTH = {state: ("LOAD_SMALL_INT", int(state)) for state in (False, True)}

_UNIT = 2  # bytes

_UNCHANGED = [
    *("co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_nlocals", "co_stacksize", "co_flags"),
    *("co_names", "co_varnames", "co_freevars", "co_cellvars", "co_filename", "co_name", "co_qualname"),
    *("co_firstlineno", "co_linetable", "co_exceptiontable"),
]
"""The attributes that code with sites has in common with the code that it was made of."""


class BytecodeSite(NamedTuple):
    """A ``JUMP_FORWARD`` of a code object, and its two arguments."""

    unit: int
    off: int
    on: int
    twin: bool


class Ordinary(NamedTuple):
    """How the site of a name becomes the ordinary test of that name again."""

    argument: int
    """Leads the site to the second load; 0: the room has no second load."""
    path: Path


class Plan(NamedTuple):
    """What becomes of a code object. It names paths and no keys, so functions with different keys share it."""

    units: bytes
    sites: list[tuple[BytecodeSite, Path, int | None]]
    """Each site with the path of its key and the line of its test."""
    constants: list[Path]
    """The paths of the keys to be appended to ``co_consts``."""
    within: "dict[int, Plan]"
    """Plans for code objects in ``co_consts``, by their index there."""
    snapshot: bool
    """Whether no toggle turns the sites: fix() makes a variant for each state instead."""
    ordinary: dict[int, Ordinary]
    """For the sites of names, by unit."""
    has_older_sites: bool
    """Whether some of the sites were there before."""

    def make(self, code: CodeType, keys: Mapping[Path, object], within: Mapping[int, CodeType]) -> CodeType:
        """Return the new code.

        code    the code that this is the plan of
        keys    what was found at the paths
        within  the new code objects for ``co_consts``, by index
        """
        constants = [*code.co_consts, *(keys[path] for path in self.constants)]
        for i, inner in within.items():
            constants[i] = inner
        return code.replace(co_code=self.units, co_consts=tuple(constants))

    def fixed(self) -> list[Path]:
        """Return the paths whose tests go one way for the whole of a call."""
        if not self.snapshot:
            return []
        within = [path for inner in self.within.values() for path in inner.fixed()]
        return list(dict.fromkeys([path for _, path, _ in self.sites] + within))

    def fix(self, made: CodeType, is_on: Callable[[Path], bool]) -> CodeType:
        """Return the variant of code for one state, with the variants of the code within that runs in the same call.

        made  the code that make() returned
        """
        constants = list(made.co_consts)
        for i, inner in self.within.items():
            if inner.snapshot:
                constants[i] = inner.fix(constants[i], is_on)
        return made.replace(co_code=self.turned(is_on), co_consts=tuple(constants))

    def turned(self, is_on: Callable[[Path], bool]) -> bytes:
        """Return the units in one state of the keys."""
        units = bytearray(self.units)
        for site, path, _ in self.sites:
            _turn(units, site, is_on(path))
        return bytes(units)


class CannotRewriteError(Exception):
    """The reason for which a test stays an ordinary test."""


class Rewriting:
    """A code object while its tests become sites."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.units = bytearray(reading.code.co_code)
        self.constants: list[Path] = []
        self.sites: list[tuple[BytecodeSite, Path, int | None]] = []
        self.ordinary: dict[int, Ordinary] = {}
        self.has_older_sites = False

    def plan(self, within: dict[int, Plan], snapshot: bool = False) -> Plan:
        """Return the plan of what was done here.

        Raises ValueError where code with these units would differ from the old code in any other respect.
        """
        code, units = self.reading.code, bytes(self.units)
        # For this check alone: a code object keeps the ``co_code`` that was read once, whatever is stored later.
        new = code.replace(co_code=units)
        if new.co_code != units or any(getattr(new, name) != getattr(code, name) for name in _UNCHANGED):
            raise ValueError("the interpreter makes another code object of it")
        return Plan(units, self.sites, self.constants, within, snapshot, self.ordinary, self.has_older_sites)

    def make_site(self, test: Test, named: bool = False) -> None:
        """Make a site of a test.

        named  whether the site has to become an ordinary test while the name stands for something else

        Raises CannotRewriteError, with nothing changed.
        """
        lead = lead_of(self.reading, test)
        if len({instruction.line for instruction in test.instructions if instruction.end <= test.jump.end}) > 1:
            raise CannotRewriteError("it is on several lines, and a tracer would miss some of them; write it on one")
        unit = test.start + test.pushes_null
        behind = unit + N_JUMPS
        if lead.target < test.start:
            room = self._backward(test, behind)
        elif lead.pushed is not Pushed.NOTHING or lead.target - unit - 1 > LONGEST:
            room = self._relay(test, behind, lead)
        else:
            room = self._direct(test, behind, lead.target, named)
        if self.reading.targets.intersection(range(test.start + 1, room.end)):
            raise CannotRewriteError("another branch leads into the middle of it; test the key in an `if` of its own")
        off, on = (room.taken if state == test.jumps_if else test.past for state in (False, True))
        site = BytecodeSite(unit, off - unit - 1, on - unit - 1, HAS_TWIN)
        if max(site.off, site.on) > LONGEST:
            raise CannotRewriteError("it is too long; give the key a name with fewer dots")

        units = _PUSH_NULL * test.pushes_null + _jumps(site.off) + room.units
        units += _NOP * (room.end - test.start - len(units) // _UNIT)
        self.units[_UNIT * test.start : _UNIT * room.end] = units
        self.sites.append((site, test.path, test.line))
        if lead.pushed is Pushed.KEY:
            if test.path not in self.constants:
                self.constants.append(test.path)
        elif named:
            self.ordinary[unit] = Ordinary(N_JUMPS - 1 if room.has_second_load else 0, test.path)

    def turn_on(self, site: BytecodeSite) -> None:
        """Have a site lead to its on branch for good."""
        _turn(self.units, site, True)

    # Builders. Each fills the room from the unit behind the site and its twin on.

    def _direct(self, test: Test, behind: int, target: int, named: bool) -> "_Room":
        """Lead to the target itself."""
        load = test.instructions[0]
        second_load = _load_without_caches(load, with_null=not test.pushes_null) if named else b""
        if second_load and behind + len(second_load) // _UNIT <= load.end:
            return _Room(second_load, load.end, target, has_second_load=True)
        end = _end(test, behind)
        if end > test.jump.start and not self._starts_its_line(test, target):
            raise CannotRewriteError("it has no room for what tells tracers where it leads; let the key be a global")
        return _Room(b"", end, target)

    def _relay(self, test: Test, behind: int, lead: Lead) -> "_Room":
        """Lead to a jump in the room, behind what pushes a value."""
        units = self._push(test, lead.pushed)
        units += _jump(behind + len(units) // _UNIT, lead.target)
        return _Room(units, _end(test, behind + len(units) // _UNIT), behind)

    def _backward(self, test: Test, behind: int) -> "_Room":
        """Lead to the test's own backward jump, made unconditional."""
        jump = self.units[_UNIT * test.jump.start : _UNIT * test.jump.end]
        jump[-_UNIT] = opmap["JUMP_BACKWARD"]
        nops = _NOP * (test.jump.start - behind)
        return _Room(nops + jump, test.jump.end, test.jump.start)

    def _push(self, test: Test, pushed: Pushed) -> bytes:
        if pushed is Pushed.KEY:
            among = [*self.constants, test.path].index(test.path)
            return _instruction("LOAD_CONST", len(self.reading.code.co_consts) + among)
        return _instruction(*_SAME_TRUTH[test.jumps_if]) if pushed is Pushed.STATE else b""

    def _starts_its_line(self, test: Test, target: int) -> bool:
        """Return whether tracers report the target's line even without the test's jump to it.

        From 3.12 on they look where each jump leads, run or not, before they begin: CPython's
        Python/instrumentation.c, initialize_lines(). The site shows them only where it leads at that moment. Behind a
        second test of the value they find the line by that test's instructions, which are on the line and stay.
        """
        if sys.version_info < (3, 12) or target != test.jump.target:
            return True
        there = self.reading.at[target]
        before, line = [instruction.line for instruction in self.reading.instructions[there - 1 : there + 1]]
        return line in (test.line, None) or line != before


class _Room(NamedTuple):
    """How the room of a test is filled behind the site and its twin."""

    units: bytes
    """What the room begins with there. ``NOP`` fills the rest."""
    end: int
    """The first unit that stays as it was."""
    taken: int
    """Where the site leads in the state in which the test's jump is taken."""
    has_second_load: bool = False
    """Whether the units are a second load."""


def _load_without_caches(load: Instruction, with_null: bool) -> bytes:
    """Return instructions that load a global without caches, from 3.12 on; else nothing.

    with_null  push the NULL of a call where the load pushes it
    """
    if load.name != "LOAD_GLOBAL" or "LOAD_FROM_DICT_OR_GLOBALS" not in opmap:
        return b""
    null = _PUSH_NULL * (with_null and load.arg & 1)
    other = _EMPTY_MAP + _instruction("LOAD_FROM_DICT_OR_GLOBALS", load.arg >> 1)
    return null + other if sys.version_info < (3, 13) else other + null


def _end(test: Test, needed: int) -> int:
    """Return where the rewritten part of the room ends: behind a whole instruction, the last of the loads at least.

    needed  the unit up to which the part is needed

    Raises CannotRewriteError where the room ends before that.
    """
    for instruction in test.instructions[test.loads - 1 :]:
        if instruction.end >= needed:
            return instruction.end
    raise CannotRewriteError("it has no room for a site; let the key be a global, or write `if` and `else`")


def _instruction(name: str, arg: int) -> bytes:
    code = bytes((opmap[name], arg & 255))
    while arg := arg >> 8:
        code = bytes((opmap["EXTENDED_ARG"], arg & 255)) + code
    return code


_NOP = _instruction("NOP", 0)
_PUSH_NULL = _instruction("PUSH_NULL", 0)
_EMPTY_MAP = _instruction("BUILD_MAP", 0)


def _turn(units: bytearray, site: BytecodeSite, on: bool) -> None:
    jumps = _jumps(site.on if on else site.off)
    units[_UNIT * site.unit : _UNIT * site.unit + len(jumps)] = jumps


def _jumps(argument: int) -> bytes:
    """Return a site and its twin. Both lead where this argument of the site leads."""
    return b"".join(_instruction("JUMP_FORWARD", argument - unit) for unit in range(N_JUMPS))


def _jump(unit: int, target: int) -> bytes:
    """Return a forward jump to a target.

    unit  where the jump itself is to begin
    """
    size = 0
    while True:  # a longer jump leads less far, and may then be longer than it has to be
        size += 1
        code = _instruction("JUMP_FORWARD", target - unit - size)
        if len(code) <= size * _UNIT:
            return bytes((opmap["EXTENDED_ARG"], 0)) * (size - len(code) // _UNIT) + code
