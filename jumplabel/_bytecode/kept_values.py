"""Values that a test leaves on the stack, and where they go. Reads code objects, and changes nothing.

``key and A or B`` tests the key, and from 3.12 on leaves it on the stack for the second test:

        LOAD_GLOBAL         key
        COPY                1
        TO_BOOL                              (3.13)
        POP_JUMP_IF_FALSE   L1
        POP_TOP
        ...                 A
    L1: COPY                1                The value is the key, and the key is off:
        TO_BOOL                              the second test goes on to B
        POP_JUMP_IF_TRUE    L2
        POP_TOP                              and drops the key.
        ...                 B                A site leads here, and needs no key on the stack.
    L2:

Where the value's truth alone decides the second test, the site leads past that test.
"""

from enum import Enum
from typing import NamedTuple

from jumplabel._bytecode.find_tests import JUMPS, Reading, Test


class Pushed(Enum):
    """What the site has to push before it leads on."""

    NOTHING = "nothing"
    KEY = "key"
    STATE = "state"
    """A value of the key's truth, where the code asks for no more than that."""


class Lead(NamedTuple):
    """Where the site may lead instead of to the target of the test's jump."""

    target: int
    """The unit."""
    pushed: Pushed


def lead_of(reading: Reading, test: Test) -> Lead:
    """Return where the site of a test may lead: follow the value while its truth decides where the interpreter goes.

    The site skips no instruction of another line, because a tracer would miss that line. It leads to the first of them.
    If all that follows asks only for the truth, the site pushes another value of that truth, so that no code of the
    key's class runs.
    """
    target = test.jump.target
    assert target is not None
    if not test.keeps:
        return Lead(target, Pushed.NOTHING)
    unit: int | None = target
    seen: set[int] = set()
    is_on_the_line = True
    while unit is not None and unit not in seen:
        seen.add(unit)
        step = _step(reading, unit, test.jumps_if)
        if step is None:
            break
        is_on_the_line = is_on_the_line and step.lines == {test.line} and step.to >= test.past
        if is_on_the_line:
            target = step.to
        if step.drops:
            return Lead(target, Pushed.NOTHING if is_on_the_line else Pushed.STATE)
        unit = step.to
    is_negated = unit in reading.at and _names(reading, unit)[0] in ("TO_BOOL", "UNARY_NOT")
    return Lead(target, Pushed.STATE if is_negated else Pushed.KEY)


class _Step(NamedTuple):
    """What instructions do with a value of known truth that is on top of the stack."""

    to: int
    """The unit where the interpreter goes on."""
    drops: bool
    """Whether the value has left the stack there."""
    lines: set[int | None]
    """The lines of the instructions."""


def _step(reading: Reading, unit: int, truth: bool) -> _Step | None:
    """Return the test or ``POP_TOP`` at a unit; None where code uses the value itself, or negates it."""
    first = reading.at[unit]
    names = _names(reading, unit)
    if names[0] == "POP_TOP":
        return _step_of(reading, first, 1, None, drops=True)
    n = 0
    is_copied = names[0] == "COPY" and reading.instructions[first].arg == 1
    n += is_copied
    n += names[n] == "TO_BOOL"
    if names[n] not in JUMPS:
        return None
    jumps_if, keeps = JUMPS[names[n]]
    jump = reading.instructions[first + n]
    n += 1
    if jumps_if is truth:
        return _step_of(reading, first, n, jump.target, drops=not (is_copied or keeps))
    n += names[n] == "NOT_TAKEN"
    if is_copied:
        if names[n] != "POP_TOP":
            return None
        n += 1
    return _step_of(reading, first, n, None, drops=True)


def _names(reading: Reading, unit: int) -> list[str]:
    """Return the names of the instructions from a unit on, as many as a test may have behind its loads."""
    first = reading.at[unit]
    names = [instruction.name for instruction in reading.instructions[first : first + 5]]
    return names + [""] * (5 - len(names))


def _step_of(reading: Reading, first: int, n: int, to: int | None, drops: bool) -> _Step:
    instructions = reading.instructions[first : first + n]
    return _Step(instructions[-1].end if to is None else to, drops, {one.line for one in instructions})
