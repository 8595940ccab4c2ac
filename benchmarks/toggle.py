"""Measure what a toggle costs, beside the two synchronizations and the stores that it needs.

Beside it is what other libraries take to switch something on and off again. They change the result of a later check,
but no code. Another question is what it costs to add and remove a user of a key that lingers, which patches nothing.
"""

import functools
import logging
import sys
import time
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, NamedTuple

from many_sites import Functions, gates, tests
from rows import Rows

from jumplabel import StaticKey, static_gate
from jumplabel._engine import lib

SITES = (1, 100, 10_000)
BYTECODE_SITES = (1, 10_000)

PAIRS = 100  # pairs of bare syncs in one call, so the call's own cost is negligible


def bare(do: Callable[[], int]) -> Callable[[int], float]:
    """Return a function for pyperf that times so many calls of an engine function."""

    def time_it(loops: int) -> float:
        began = time.perf_counter()
        for _ in range(loops):
            error = do()
            if error:
                raise OSError(-error, "the engine could not synchronize")
        return time.perf_counter() - began

    return time_it


def toggles(rows: Rows, name: str, counts: Iterable[int], make: Callable[[StaticKey, int], Functions]) -> None:
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
    """Add a row for a key with one site whose user is added and removed without pause."""
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


# ---- what others do ----


class Other(NamedTuple):
    """Statements, their variables, and a check of their effect."""

    on: str
    off: str
    names: dict[str, Any]
    is_on: Callable[[], bool]


def attribute() -> Other:
    flags = SimpleNamespace(tracing=False)
    return Other("flags.tracing = True", "flags.tracing = False", {"flags": flags}, lambda: flags.tracing)


def logger_level() -> Other:
    logger = logging.getLogger("benchmarks.toggle")
    names = {"logger": logger, "DEBUG": logging.DEBUG, "INFO": logging.INFO}
    return Other("logger.setLevel(DEBUG)", "logger.setLevel(INFO)", names, lambda: logger.isEnabledFor(logging.DEBUG))


def loguru_module() -> Other:
    from loguru import logger

    texts: list[str] = []
    logger.remove()
    logger.add(texts.append)

    def is_on() -> bool:
        texts.clear()
        logger.debug("is it?")
        return bool(texts)

    names = {"logger": logger, "name": __name__}
    return Other("logger.enable(name)", "logger.disable(name)", names, is_on)


def blinker_receiver() -> Other:
    import blinker

    signal = blinker.Signal()
    names = {"signal": signal, "receiver": lambda sender: None}
    return Other("signal.connect(receiver)", "signal.disconnect(receiver)", names, lambda: bool(signal.send()))


def monitoring() -> Other:
    it: Any = sys.monitoring  # type: ignore[attr-defined]
    tool, lines = 4, []
    it.use_tool_id(tool, "benchmarks")
    it.register_callback(tool, it.events.LINE, lambda code, line: lines.append(line))

    def watched() -> None:
        pass

    def is_on() -> bool:
        lines.clear()
        watched()
        return bool(lines)

    names = {"events": it.set_local_events, "tool": tool, "code": watched.__code__, "LINE": it.events.LINE}
    return Other("events(tool, code, LINE)", "events(tool, code, 0)", names, is_on)


OTHERS: dict[str, Callable[[], Other]] = {
    "toggle, attribute flag": attribute,
    "toggle, logger.setLevel": logger_level,
    "toggle, loguru.enable": loguru_module,
    "toggle, blinker.connect": blinker_receiver,
}
if sys.version_info >= (3, 12):
    OTHERS["toggle, sys.monitoring of a function"] = monitoring


def others(rows: Rows) -> None:
    for name in filter(rows.wants, OTHERS):
        other = OTHERS[name]()
        for statement, on in ((other.on, True), (other.off, False)) * 2:
            exec(statement, other.names)
            if other.is_on() != on:
                raise AssertionError(f"{name}: {statement} did nothing")
        rows.runner.timeit(name, f"{other.on}; {other.off}", globals=other.names, inner_loops=2, duplicate=10)


if __name__ == "__main__":
    rows = Rows()
    if rows.wants("two bare syncs"):
        do = functools.partial(lib.jump_label_sync, 2 * PAIRS)
        rows.runner.bench_time_func("two bare syncs", bare(do), inner_loops=PAIRS)
    toggles(rows, "sites", SITES, gates)
    toggles(rows, "bytecode sites", BYTECODE_SITES, tests)
    uses(rows, "inc, dec", deferred=0)
    uses(rows, "inc, dec of a deferred key", deferred=1)
    others(rows)
