"""Measure the speed of a hot loop whose key is toggled at a rate, for several rates.

A thread without the GIL toggles (csrc/testing/toggle_loop.c), on a processor of its own if there is one. The loops are
Python code with a site, Python code that calls a gate, and C code that calls through a native branch without the GIL.
Their time is processor time. At every rate the key is on for half of the time; at rate 0, for the second half.
JUMPLABEL_POKE=int3 skips the check whether a thread blocks SIGTRAP, which takes longer than a toggle.
"""

import threading
import time
from collections.abc import Callable
from itertools import repeat
from typing import Any

from curves import CurveRows, OutOfReach, TimeFunction

from jumplabel import StaticKey, native_branch, static_branches, static_gate
from jumplabel._diagnostics.storms import ENGINE, ffi, lib

PLACES = (0, 10, 100, 1000, 10_000, 100_000)
FAST = 10_000
SECONDS = 0.2  # for a value
ATTEMPTS = 20  # to reach the rate: other processes may have the processors
MANY = 100  # toggles in a value
PASSES = 20_000  # between two looks at the clock

Loop = Callable[[int], int]
"""Runs a number of passes, and returns how many found the key on."""


def bytecode_loop(key: StaticKey) -> Loop:
    @static_branches
    def loop(passes: int) -> int:
        on = 0
        for _ in repeat(None, passes):
            if key:
                on += 1
        return on

    return loop


def gate_loop(key: StaticKey) -> Loop:
    gate = static_gate(key, default=0)(lambda: 1)

    def loop(passes: int) -> int:
        on = 0
        for _ in repeat(None, passes):
            on += gate()
        return on

    return loop


def c_loop(key: StaticKey) -> Loop:
    branch = native_branch(key, off=ffi.addressof(lib, "call_loop_off"), on=ffi.addressof(lib, "call_loop_on"))
    function = branch.cast(ffi, "int(*)(int)")
    return lambda passes: lib.call_loop_pointer(function, passes) - passes  # every call adds 1, and 1 more when on


LOOPS: dict[str, Callable[[StaticKey], Loop]] = {
    "a bytecode site": bytecode_loop,
    "a gate": gate_loop,
    "a native branch in C": c_loop,
}


def passing(make: Callable[[StaticKey], Loop], rate: int) -> TimeFunction:
    key = StaticKey("benchmarks.rate")
    loop = make(key)
    for on in (True, False):
        key.enable() if on else key.disable()
        if len(key.entries) != 1 or loop(PASSES) != PASSES * on:
            raise AssertionError(f"{key!r}: its site did not follow")

    def one_value(attempts: int = ATTEMPTS) -> float:
        state: Any = ffi.new("struct toggle_loop *")
        errors: list[int] = []
        thread = threading.Thread(target=lambda: errors.append(lib.toggle_loop(ENGINE, key._key, 10**9 // rate, state)))
        if rate:
            thread.start()
        on = passes = 0
        began = now = time.perf_counter()
        processor_began = time.thread_time()
        while now - began < SECONDS:
            if not rate and now - began > SECONDS / 2:
                key.enable()
            on += loop(PASSES)
            passes += PASSES
            now = time.perf_counter()
        seconds = time.thread_time() - processor_began
        toggled = state.toggles
        state.stop = 1
        if rate:
            thread.join()
        else:
            key.disable()
        if any(errors) or key.enabled or loop(PASSES):
            raise AssertionError(f"{key!r}: {errors}")
        if not 0 <= on <= passes or (on and rate and not state.toggles) or not (on or rate):
            raise AssertionError(f"{on} passes of {passes} found the key on, which was toggled {toggled} times")
        if toggled >= rate * (now - began) / 2 - MANY:
            return seconds / passes
        if not attempts:
            raise OutOfReach(f"{toggled} toggles in {now - began:.3f} s: this machine has no time for {rate} a second")
        return one_value(attempts - 1)

    return lambda values: sum(one_value() for _ in range(values))


if __name__ == "__main__":
    rows = CurveRows(PLACES, FAST)
    for name, make in LOOPS.items():
        rows.curve(
            f"a pass over {name}, toggles a second",
            lambda rate, make=make: passing(make, rate),  # type: ignore[misc]
            poke="int3",
        )
