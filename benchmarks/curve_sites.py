"""Measure how the time of a toggle grows with the number of its sites, and that of its unavoidable work alone.

The unavoidable work is two synchronizations and the stores. It takes longer for each site once the sites exceed the
caches.
"""

import functools
import time

from curves import SYNCS, CurveRows, TimeFunction
from many_sites import MAKERS, PLACES, Functions, number_of

from jumplabel import StaticKey
from jumplabel._diagnostics.process_info import info
from jumplabel._engine import lib

TOGGLES = 2  # in each loop
VALUE_SITES = 1_000_000  # about so many rewritten sites in a value
FAST = 100_000


def key_with(kind: str, sites: int) -> tuple[StaticKey, Functions]:
    """The key, and the functions with its sites."""
    key = StaticKey(f"benchmarks.{kind}.{sites}")
    before = number_of(kind)
    made = MAKERS[kind](key, sites)
    for on in (True, False):
        key.enable() if on else key.disable()
        if sum(call() or 0 for call in made) != (sites if on else 0):
            raise AssertionError(f"{key.name}: not all sites followed")
    if number_of(kind) - before != sites:
        raise AssertionError(f"{sites} {kind} sites were wanted: {info()}")
    return key, made


def toggling(kind: str, sites: int) -> TimeFunction:
    key, made = key_with(kind, sites)

    def time_toggles(loops: int, made: object = made) -> float:
        enable, disable = key.enable, key.disable
        began = time.thread_time()
        for _ in range(loops):
            enable()
            disable()
        return time.thread_time() - began

    return time_toggles


def storing(kind: str, sites: int) -> TimeFunction:
    key, made = key_with(kind, sites)

    def time_stores(loops: int, made: object = made) -> float:
        began = time.thread_time()
        error = lib.jump_label_bare_toggles(key._key, TOGGLES * loops)
        ended = time.thread_time()
        if error:
            raise OSError(-error, "the engine could not synchronize")
        return ended - began

    return time_stores


if __name__ == "__main__":
    rows = CurveRows(PLACES, FAST)
    for kind in MAKERS:
        for what, make, syncs in (("toggle", toggling, SYNCS), ("syncs and stores", storing, SYNCS[:1])):
            rows.curve(
                f"{what}, {kind} sites",
                functools.partial(make, kind),
                loops=lambda sites: max(VALUE_SITES // (sites + 100), 3),
                inner_loops=TOGGLES,
                syncs=syncs,
            )
