"""What does a toggle cost, against the two synchronizations that it cannot do without, and what does each site add?"""

import time

from rows import Rows

from jumplabel import StaticKey, static_gate
from jumplabel._engine import lib

SITES = (1, 100, 10_000)

PAIRS = 100  # of bare syncs, in one call: the call itself weighs nothing


def bare_syncs(loops: int) -> float:
    began = time.perf_counter()
    for _ in range(loops):
        error = lib.jump_label_sync(2 * PAIRS)
        if error:
            raise OSError(-error, "jump_label_sync")
    return time.perf_counter() - began


def toggles(rows: Rows, sites: int) -> None:
    key = StaticKey(f"benchmarks.toggle.{sites}")
    gates = [static_gate(key)(lambda: True) for _ in range(sites)]
    for on in (True, False):
        key.enable() if on else key.disable()
        if {gate() for gate in gates} != {True if on else None}:
            raise AssertionError(f"{key!r}: not all sites followed")
    rows.runner.timeit(
        f"toggle, sites: {sites}",
        "enable(); disable()",
        globals={"enable": key.enable, "disable": key.disable},
        inner_loops=2,
        duplicate=10,
    )


if __name__ == "__main__":
    rows = Rows()
    if rows.wants("two bare syncs"):
        rows.runner.bench_time_func("two bare syncs", bare_syncs, inner_loops=PAIRS)
    for sites in SITES:
        if rows.wants(f"toggle, sites: {sites}"):
            toggles(rows, sites)
