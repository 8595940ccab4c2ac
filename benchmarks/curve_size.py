"""Measure how the cost of ``static_branches`` grows with the size of the function."""

import dis
import time
from types import FunctionType
from typing import Any

from curves import CurveRows, TimeFunction

from jumplabel import StaticKey, static_branches

PLACES = (10, 30, 100, 300, 1000, 3000, 10_000, 20_000)
FAST = 3000
VALUE_INSTRUCTIONS = 20_000  # about so many decorated instructions in a value

TEST = "    if key: n += 1\n"
OTHER = "    n = n + int(n == -1) * len(str(n))\n"
TEST_EVERY = 2  # statements between two tests: about one test for 40 instructions
LEAST = "def count(n):\n" + TEST


def instructions(source: str) -> int:
    return sum(1 for _ in dis.get_instructions(compile_function(source, {}).__code__))


def compile_function(source: str, names: dict[str, Any]) -> FunctionType:
    exec(source + "    return n\n", names)
    made: FunctionType = names["count"]
    return made


def source_of(size: int) -> tuple[str, int]:
    """Return the source of a function of at least so many instructions, and its number of tests."""
    part = OTHER * TEST_EVERY + TEST
    parts = max(size - instructions(LEAST), 0) // (instructions(LEAST + part) - instructions(LEAST))
    source = LEAST + part * parts
    while instructions(source) < size:
        source += "    n = n + 0\n"
    return source, parts + 1


def decorating(size: int) -> TimeFunction:
    source, tests = source_of(size)
    key = StaticKey("benchmarks.size")
    names: dict[str, Any] = {"key": key}
    code = compile_function(source, names).__code__
    checked = static_branches(FunctionType(code.replace(), names))
    results = []
    for on in (False, True):
        key.enable() if on else key.disable()
        results.append(checked(0))
    if results != [0, tests] or len(key.entries) != tests:
        raise AssertionError(f"{size} instructions: {results}, {len(key.entries)} sites, of {tests} tests")
    key.disable()

    def time_decorations(loops: int) -> float:
        seconds = 0.0
        for _ in range(loops):
            function = FunctionType(code.replace(), names)  # the package remembers its result for a code object
            began = time.thread_time()
            static_branches(function)
            seconds += time.thread_time() - began
        return seconds

    return time_decorations


if __name__ == "__main__":
    rows = CurveRows(PLACES, FAST)
    rows.curve("decorate, instructions", decorating, lambda size: max(VALUE_INSTRUCTIONS // (size + 100), 2))
