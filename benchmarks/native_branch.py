"""Measure what a native branch costs C and Python, beside other ways to choose between two C functions.

The C loops are in csrc/testing/call_loop.c. One call of a loop makes many calls, each waiting for the one before.
"""

import time
from collections.abc import Callable
from functools import cache
from typing import Any

from rows import Rows

from jumplabel import StaticKey, native_branch
from jumplabel._diagnostics.storms import ffi, lib

CALLS = 1000  # in one call of a C loop, so the loop's own cost is negligible
DUPLICATES = 100
FUNCTIONS = [ffi.addressof(lib, name) for name in ("call_loop_off", "call_loop_on")]
ADDED = (1, 2)  # what the two functions add to their argument


@cache
def branch(on: bool) -> Any:
    key = StaticKey(f"benchmarks.native_branch.{on}", default=on)
    return native_branch(key, off=FUNCTIONS[0], on=FUNCTIONS[1]).cast(ffi, "int(*)(int)")


def pointer(on: bool) -> Any:
    return FUNCTIONS[on]


def struct_of(make: Callable[[bool], Any]) -> Callable[[bool], Any]:
    """Return a struct as C libraries have it, with the function and a flag."""
    return lambda on: ffi.new("struct call_loop *", {"function": make(on), "flag": on})


BOTH = (False, True)
ONE = (False,)  # the state of rows that have only one

# What a C program calls: the row's name, the loop, the loop's argument, and the states that are timed.
IN_C: list[tuple[str, Any, Callable[[bool], Any], tuple[bool, ...]]] = [
    ("native branch", lib.call_loop_pointer, branch, BOTH),
    ("native branch in a struct", lib.call_loop_struct, struct_of(branch), BOTH),
    ("flag in C", lib.call_loop_flag, struct_of(pointer), BOTH),
    ("pointer in a struct", lib.call_loop_struct, struct_of(pointer), ONE),
    ("constant pointer", lib.call_loop_pointer, pointer, ONE),
]

# What Python calls: the row's name, the expression, its variables, and the states that are timed.
IN_PYTHON: list[tuple[str, str, Callable[[bool], Any], tuple[bool, ...]]] = [
    ("native branch from Python", "it(7)", branch, BOTH),
    ("pointer in a struct from Python", "it.function(7)", struct_of(pointer), ONE),
    ("pointer from Python", "it(7)", pointer, ONE),
]


def named(what: str, on: bool, states: tuple[bool, ...]) -> str:
    return what if states is ONE else f"{what} {'on' if on else 'off'}"


def time_loop(rows: Rows, name: str, loop: Any, it: Any, added: int) -> None:
    if loop(it, 10) != 10 * added:
        raise AssertionError(f"{name}: {loop(it, 10)} after ten calls")

    def run(loops: int) -> float:
        began = time.perf_counter()
        for _ in range(loops):
            loop(it, CALLS)
        return time.perf_counter() - began

    rows.runner.bench_time_func(name, run, inner_loops=CALLS)


def time_expression(rows: Rows, name: str, expression: str, it: Any, added: int) -> None:
    result = eval(expression, {"it": it})
    if result != 7 + added:
        raise AssertionError(f"{name}: {result}")
    rows.runner.timeit(name, expression, setup="it = IT", globals={"IT": it}, duplicate=DUPLICATES)


if __name__ == "__main__":
    rows = Rows()
    for timing, table in ((time_loop, IN_C), (time_expression, IN_PYTHON)):
        for what, how, make, states in table:
            for on in states:
                if rows.wants(named(what, on, states)):
                    timing(rows, named(what, on, states), how, make(on), ADDED[on])
