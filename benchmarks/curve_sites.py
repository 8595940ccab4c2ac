"""How does the time of a toggle grow with the number of its sites?"""

import time

from curves import CurveRows, TimeFunction
from many_sites import MAKERS, PLACES, number_of

from jumplabel import StaticKey
from jumplabel.table import info

TOGGLES = 2  # in a loop
VALUE_SITES = 1_000_000  # to be rewritten in one value, or so
FAST = 100_000


def toggling(kind: str, sites: int) -> TimeFunction:
    key = StaticKey(f"benchmarks.{kind}.{sites}")
    before = number_of(kind)
    made = MAKERS[kind](key, sites)
    for on in (True, False):
        key.enable() if on else key.disable()
        if sum(call() or 0 for call in made) != (sites if on else 0):
            raise AssertionError(f"{key.name}: not all sites followed")
    if number_of(kind) - before != sites:
        raise AssertionError(f"{sites} {kind} sites were wanted: {info()}")

    def time_toggles(loops: int, made: object = made) -> float:
        enable, disable = key.enable, key.disable
        began = time.thread_time()
        for _ in range(loops):
            enable()
            disable()
        return time.thread_time() - began

    return time_toggles


if __name__ == "__main__":
    rows = CurveRows(PLACES, FAST)
    for kind in MAKERS:
        rows.curve(
            f"toggle, {kind} sites",
            lambda sites, kind=kind: toggling(kind, sites),  # type: ignore[misc]
            loops=lambda sites: max(VALUE_SITES // (sites + 100), 3),
            inner_loops=TOGGLES,
        )
