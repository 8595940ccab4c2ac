"""Measure what a call costs that keeps its keys' values, off and on, for callers in Python and in C.

The rows are a function with three tests under ``static_branches(snapshot=True)``; with its sites in place, so that the
interpreter calls it directly and a toggle may come between two tests; and with a global flag that it copies to a local
at its beginning, as people do today. A function without tests is the lower bound. All are the same function, compiled
anew for each row.
"""

import re
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from rows import DUPLICATES, Call, Rows, check

from jumplabel import StaticKey, static_branches

FUNCTION = """
def handle(number):
    FIRST
    hits = 0
    if CHECK: hits = 1
    number += hits
    if CHECK: hits = 2
    number += hits
    if CHECK: hits = 3
    return number + hits
"""
KINDS = ("snapshot", "in place", "flag at entry", "tests deleted")
DATA = list(range(1000))


def function(kind: str, on: bool) -> Callable[[int], int]:
    key = StaticKey(f"benchmarks.snapshot.{kind}.{on}", default=on)
    source = FUNCTION.replace("FIRST", "flag = FLAG" if kind == "flag at entry" else "")
    if kind == "tests deleted":
        source = re.sub("if CHECK: (.*)", r"\1" if on else "", source)
    names: dict[str, Any] = {"key": key, "FLAG": on}
    exec(source.replace("CHECK", "flag" if kind == "flag at entry" else "key"), names)
    made: Callable[[int], int] = names["handle"]
    if kind == "snapshot":
        made = static_branches(made, strict=True, snapshot=True)
    elif kind == "in place":
        made = static_branches(made, strict=True)
    if bool(key.entries) != (kind in ("snapshot", "in place")):
        raise AssertionError(f"{kind}: {key.entries}")
    return made


def by_map(call: Callable[[int], int]) -> None:
    deque(map(call, DATA), 0)


def by_sorted(call: Callable[[int], int]) -> None:
    sorted(DATA, key=call)  # DATA is sorted, so comparisons take little of the time


def time_caller(caller: Callable[[Callable[[int], int]], None], call: Callable[[int], int]) -> Callable[[int], float]:
    def time_calls(loops: int) -> float:
        began = time.perf_counter()
        for _ in range(loops):
            caller(call)
        return time.perf_counter() - began

    return time_calls


if __name__ == "__main__":
    rows = Rows()
    for state in ("off", "on"):
        for kind in KINDS:
            name = f"{kind} {state}, called by"
            made = function(kind, state == "on")
            expected = 7 + (1 + 2 + 3 if state == "on" else 0)
            if made(7) != expected:
                raise AssertionError(f"{kind} {state}: {made(7)}, not {expected}")
            if rows.wants(f"{name} Python"):
                if not rows.args.worker and kind != "snapshot":  # a snapshot runs a variant of the function
                    check(name, Call(made, expected, made, 7))
                rows.runner.timeit(f"{name} Python", "call(7)", globals={"call": made}, duplicate=DUPLICATES)
            for caller, call_all in (("map", by_map), ("sorted", by_sorted)):
                if rows.wants(f"{name} {caller}"):
                    timed = time_caller(call_all, made)
                    rows.runner.bench_time_func(f"{name} {caller}", timed, inner_loops=len(DATA))
