"""Measure how the time of a toggle grows with the number of threads that run its site without pause.

C threads hold no GIL, so as many run at once as there are processors. For them there are two figures: the time of a
toggle, and its processor time, which excludes the other threads' turns. JUMPLABEL_POKE=int3 skips the check whether a
thread blocks SIGTRAP. Python threads take turns with the GIL, and a toggle waits for its turn, too. For them there is
also the time of the patch alone, as the engine reports it (``on_toggle``).
"""

import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from curves import CurveRows, TimeFunction

from jumplabel import StaticKey, off_toggle, on_toggle, static_gate
from jumplabel._diagnostics.process_info import info
from jumplabel._diagnostics.storms import ENGINE, ffi, lib
from jumplabel._keys.toggles import Toggle

PLACES = (1, 2, 4, 8, 16, 32, 64)
FAST = 16
SITES = 10


def wait_for_start() -> None:
    """Wait until no thread blocks SIGTRAP, as new threads do. Meanwhile the engine would patch by words."""
    while any(blocks_sigtrap(status) for status in Path("/proc/self/task").glob("*/status")):
        time.sleep(0.001)


def blocks_sigtrap(status: Path) -> bool:
    try:
        lines = status.read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return False  # the thread has ended
    mask = next(line for line in lines if line.startswith("SigBlk:"))
    return bool(int(mask.split()[1], 16) >> (signal.SIGTRAP - 1) & 1)


@contextmanager
def storm(threads: int) -> Iterator[Callable[[], None]]:
    """Start C threads that call sites and check every result. Return the function that toggles their key."""
    key = StaticKey(f"benchmarks.threads.{time.perf_counter_ns()}")
    threads_and_sites = lib.storm_start(ENGINE, key._key, SITES, threads, False)
    if threads_and_sites == ffi.NULL:
        raise MemoryError(f"{threads} threads cannot be had, or no sites for them")

    words = info().word_batches

    def toggle() -> None:
        if lib.storm_toggle(threads_and_sites):
            raise AssertionError(f"{key!r} could not be toggled")

    try:
        wait_for_start()
        yield toggle
    finally:
        counts = lib.storm_stop(threads_and_sites)
    if counts.wrong or not counts.toggles or info().word_batches != words:
        raise AssertionError(f"{counts.calls} calls, {counts.wrong} of them wrong, {counts.toggles} toggles: {info()}")


def c_threads(threads: int, clock: Callable[[], float]) -> TimeFunction:
    def time_toggles(loops: int) -> float:
        with storm(threads) as toggle:
            toggle()
            began = clock()
            for _ in range(loops):
                toggle()
            return clock() - began

    return time_toggles


def python_threads(threads: int, patch_only: bool) -> TimeFunction:
    key = StaticKey("benchmarks.threads")
    gates = [static_gate(key, default=0)(lambda: 1) for _ in range(SITES)]
    stop = False
    seen: set[int] = set()
    patches: list[int] = []

    def run() -> None:
        while not stop:
            seen.update(gate() for gate in gates)

    def note(toggle: Toggle) -> None:
        patches.append(toggle.nanoseconds)

    def time_toggles(loops: int) -> float:
        nonlocal stop
        stop = False
        seen.clear()
        running = [threading.Thread(target=run) for _ in range(threads)]
        for thread in running:
            thread.start()
        patches.clear()
        on_toggle(note)
        try:
            began = time.perf_counter()
            for _ in range(loops):
                key.disable() if key.enabled else key.enable()
            seconds = time.perf_counter() - began
        finally:
            off_toggle(note)
            stop = True
            for thread in running:
                thread.join()
        if not seen <= {0, 1} or [gate() for gate in gates] != [int(key.enabled)] * SITES or len(patches) != loops:
            raise AssertionError(f"{key!r}: {seen}, {len(patches)} toggles of {loops}")
        return statistics.median(patches) * 1e-9 * loops if patch_only else seconds

    return time_toggles


if __name__ == "__main__":
    rows = CurveRows(PLACES, FAST)

    def loops(threads: int) -> int:
        return max(400 // threads, 10)

    c = "toggle, busy C threads"
    rows.curve(c, lambda threads: c_threads(threads, time.perf_counter), loops)
    for what, poke in ((", its own time", ""), (", its own time, poked by int3", "int3")):
        rows.curve(f"{c}{what}", lambda threads: c_threads(threads, time.thread_time), loops, poke=poke)
    for what, patch_only in (("", False), (", its patch", True)):
        rows.curve(
            f"toggle, busy Python threads{what}",
            lambda threads, only=patch_only: python_threads(threads, only),  # type: ignore[misc]
            lambda threads: max(32 // threads, 1),
        )
