"""Measure what a gate costs, off and on, beside a function that returns early and the cheapest call there is.

Gates of coroutine and generator functions are measured beside such functions that return early: called, and run to
their end. Their lower bound is the cheapest thing to await or to iterate over, which a C built-in returns.
"""

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

from rows import ARGUMENT, DUPLICATES, Call, Rows, passed_on

from jumplabel import StaticKey, static_gate

FLAG = False


def gate(on: bool) -> Call:
    key = StaticKey("benchmarks.gate", default=on)
    call = static_gate(key)(passed_on)
    return Call(call, ARGUMENT, passed_on) if on else Call(call, None, None)


def early_return(on: bool) -> Call:
    global FLAG
    FLAG = on

    def call(x: object) -> object:
        if not FLAG:
            return None
        return x

    return Call(call, ARGUMENT if on else None, call)


async def coroutine(x: object) -> object:
    return x


async def early_coroutine(x: object) -> object:
    if not FLAG:
        return None
    return x


def generator(x: object) -> Iterator[object]:
    yield x


def early_generator(x: object) -> Iterator[object]:
    if not FLAG:
        return
    yield x


def done_future() -> Callable[[Any], Any]:
    import asyncio

    loop = asyncio.new_event_loop()
    future = loop.create_future()
    future.set_result(None)
    loop.close()
    return {ARGUMENT: future}.get


def empty_tuple() -> Callable[[Any], Any]:
    return {ARGUMENT: ()}.get


# What a caller does with the result of a call.
RUN = {"coroutine": "await call(ARGUMENT)", "generator": "for _ in call(ARGUMENT): pass"}
FUNCTIONS: dict[str, tuple[Any, Any]] = {
    "coroutine": (coroutine, early_coroutine),
    "generator": (generator, early_generator),
}


def of_functions(kind: str, gated: bool, on: bool) -> Callable[[int], float]:
    global FLAG
    FLAG = on
    function, early = FUNCTIONS[kind]
    key = StaticKey(f"benchmarks.gate.{kind}.{gated}.{on}", default=on)  # earlier keys may still live in cycles
    return running(kind, static_gate(key)(function) if gated else early, ARGUMENT if on else None)


def running(kind: str, call: Callable[[Any], Any], expected: object) -> Callable[[int], float]:
    """Return the seconds of so many loops. Each loop makes DUPLICATES calls and runs them to their end."""
    if result_of(call(ARGUMENT)) != expected:
        raise AssertionError(f"{call} gave the wrong thing")
    names: dict[str, Any] = {"call": call, "ARGUMENT": ARGUMENT}
    exec("async def run(passes):\n  for _ in range(passes):\n" + f"    {RUN[kind]}\n" * DUPLICATES, names)

    def time_runs(passes: int) -> float:
        run = names["run"](passes)
        began = time.perf_counter()
        result_of(run)
        return time.perf_counter() - began

    return time_runs


def result_of(made: Any) -> object:
    """Return the result of a coroutine, or the first value of a generator."""
    try:
        return next(made.__await__() if hasattr(made, "__await__") else iter(made))
    except StopIteration as stopped:
        return stopped.value


if __name__ == "__main__":
    rows = Rows()
    rows.calls(
        [
            ("gate off", lambda: gate(on=False)),
            ("early return off", lambda: early_return(on=False)),
            ("C built-in", lambda: Call({}.get, None, None)),
            # The cheapest call: a built-in that the interpreter calls directly, without a hash to compute.
            ("C built-in of a str", lambda: Call({}.get, None, None, argument="event")),
            ("gate on", lambda: gate(on=True)),
            ("early return on", lambda: early_return(on=True)),
            ("partial", lambda: Call(functools.partial(passed_on), ARGUMENT, passed_on)),
            ("direct call", lambda: Call(passed_on, ARGUMENT, passed_on)),
        ]
    )
    for state in ("off", "on"):
        for kind in RUN:
            for name, gated in ((f"{kind} gate {state}", True), (f"early {kind} {state}", False)):
                if rows.wants(name):
                    rows.runner.bench_time_func(name, of_functions(kind, gated, state == "on"), inner_loops=DUPLICATES)
    for name, kind, make in (
        ("done future, awaited", "coroutine", done_future),
        ("empty tuple, iterated", "generator", empty_tuple),
    ):
        if rows.wants(name):
            rows.runner.bench_time_func(name, running(kind, make(), None), inner_loops=DUPLICATES)
