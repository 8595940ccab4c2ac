"""What does a toggle cost, against the two synchronizations and the stores that it cannot do without?

And what does it cost to take and drop a key that lingers, which patches nothing?
"""

import functools
import time
from collections.abc import Callable, Iterable
from typing import Any

from rows import Rows

from jumplabel import StaticKey, static_branches, static_gate
from jumplabel._engine import lib

SITES = (1, 100, 10_000)
BYTECODE_SITES = (1, 10_000)

PAIRS = 100  # of bare syncs, in one call: the call itself weighs nothing


def bare(do: Callable[[], int]) -> Callable[[int], float]:
    """For pyperf, what times so many calls of something in the engine."""

    def time_it(loops: int) -> float:
        began = time.perf_counter()
        for _ in range(loops):
            error = do()
            if error:
                raise OSError(-error, "the engine could not synchronize")
        return time.perf_counter() - began

    return time_it


def gates(key: StaticKey, sites: int) -> list[Callable[[], Any]]:
    return [static_gate(key)(lambda: 1) for _ in range(sites)]


def functions(key: StaticKey, sites: int) -> list[Callable[[], Any]]:
    """Functions of up to 100 tests; each returns how many of them are on."""
    tests = min(sites, 100)
    source = "def count():\n    n = 0\n" + "    if key: n += 1\n" * tests + "    return n\n"
    made = []
    for _ in range(sites // tests):
        names: dict[str, Any] = {"key": key}
        exec(source, names)
        made.append(static_branches(names["count"]))
    return made


def toggles(
    rows: Rows, name: str, counts: Iterable[int], make: Callable[[StaticKey, int], list[Callable[[], Any]]]
) -> None:
    """Rows for keys with so many sites, in functions that say how many are on.

    And one each for the syncs and stores of such a key alone: of the same code in the same memory, where it is.
    """
    for sites in counts:
        whole, bare_row = f"toggle, {name}: {sites}", f"syncs and stores, {name}: {sites}"
        if not rows.wants(whole) and not rows.wants(bare_row):
            continue
        key = StaticKey(f"benchmarks.toggle, {name}.{sites}")
        made = make(key, sites)
        for on in (True, False):
            key.enable() if on else key.disable()
            if len(key.entries) != sites or sum(call() or 0 for call in made) != (sites if on else 0):
                raise AssertionError(f"{key!r}: not all sites followed")
        if rows.wants(whole):
            rows.runner.timeit(
                whole,
                "enable(); disable()",
                globals={"enable": key.enable, "disable": key.disable},
                inner_loops=2,
                duplicate=10,
            )
        if rows.wants(bare_row):
            do = functools.partial(lib.jump_label_bare_toggles, key._key, PAIRS)
            rows.runner.bench_time_func(bare_row, bare(do), inner_loops=PAIRS)


def uses(rows: Rows, name: str, deferred: float) -> None:
    """A row for a key with one site that is taken and dropped, again and again."""
    if not rows.wants(name):
        return
    key = StaticKey(f"benchmarks.{name}", deferred=deferred)
    gate = static_gate(key)(lambda: 1)
    key.inc()
    key.dec()
    if gate() != (1 if deferred else None):
        raise AssertionError(f"{key!r}: its site is in the wrong state")
    rows.runner.timeit(name, "inc(); dec()", globals={"inc": key.inc, "dec": key.dec}, duplicate=10)
    key.flush()


if __name__ == "__main__":
    rows = Rows()
    if rows.wants("two bare syncs"):
        do = functools.partial(lib.jump_label_sync, 2 * PAIRS)
        rows.runner.bench_time_func("two bare syncs", bare(do), inner_loops=PAIRS)
    toggles(rows, "sites", SITES, gates)
    toggles(rows, "bytecode sites", BYTECODE_SITES, functions)
    uses(rows, "inc, dec", deferred=0)
    uses(rows, "inc, dec of a deferred key", deferred=1)
