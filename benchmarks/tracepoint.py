"""Measure what a tracepoint costs with no probe, one and three, beside a list of callbacks and blinker's signals.

The lower bound is a call of a C built-in without probes, and a direct call of the probe with one.
"""

from typing import Any

import blinker
from rows import ARGUMENT, Call, Rows, passed_on

from jumplabel import Tracepoint


def first(x: object) -> object:
    return x


def second(x: object) -> object:
    return x


PROBES = {"none": (), "one": (passed_on,), "three": (first, second, passed_on)}


def tracepoint(count: str) -> Call:
    call = Tracepoint("benchmarks.tracepoint")
    for probe in PROBES[count]:
        call.register(probe)
    return Call(call, None, passed_on if PROBES[count] else None)


def callbacks(count: str) -> Call:
    callbacks = list(PROBES[count])

    def fire(x: object) -> None:
        for callback in callbacks:
            callback(x)

    return Call(fire, None, passed_on if callbacks else fire)


def signal(count: str) -> Call:
    made = blinker.Signal()
    for probe in PROBES[count]:
        made.connect(probe)
    result: Any = made.send(ARGUMENT)  # a list in any order
    if {probe for probe, _ in result} != set(PROBES[count]):
        raise AssertionError(f"blinker called {result}")
    return Call(made.send, result, blinker.Signal.receivers_for)


if __name__ == "__main__":
    rows = Rows()
    rows.calls(
        [
            (f"{name}, {count} registered", lambda make=make, count=count: make(count))
            for count in PROBES
            for name, make in (("tracepoint", tracepoint), ("callbacks", callbacks), ("blinker", signal))
        ]
    )
    rows.calls(
        [
            ("C built-in, none registered", lambda: Call({}.get, None, None)),
            ("direct call, one registered", lambda: Call(passed_on, ARGUMENT, passed_on)),
        ]
    )
