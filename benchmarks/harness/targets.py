"""The targets of the benchmarks, and tables of what was reached."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from .columns import STATES
from .markdown import digits, table
from .row_names import LOGGED, LOOPS, SITES


class Target(NamedTuple):
    what: str
    value: Callable[[dict[str, float]], float]
    """Computes the value from the rows' medians. Raises KeyError for a missing row."""
    most: float | None
    """The highest value that passes. None: the figure is shown for comparison only."""
    unit: str = ""


def targets(version: tuple[int, ...]) -> list[Target]:
    """Return the targets for a CPython of this version."""
    logged_most = 1.1 if version < (3, 14) else 1.03
    added_most = {"off": 0.2 if version < (3, 14) else 0.1, "on": 1.0}
    return [
        _ratio("gate off", "early return off", 0.6),
        _ratio("gate off", "C built-in", 0.85),
        _ratio("switch off", "wraps wrapper off", 0.4),
        _ratio("switch off", "wrapt off", 0.4),
        _ratio("switch off", "partial", 0.9),
        _ratio("gate on", "partial", 0.9),
        _ratio("switch on", "partial", 0.9),
        *(_ratio(f"toggle, sites: {n}", f"syncs and stores, sites: {n}", 1.3) for n in SITES),
        # {}.get computes the hash of its argument, but for a string, which has it stored.
        _ratio("gate off", "C built-in of a str", None),
        *(
            _scaled(f"{what} under the hook / without the statement", f"{what}, hook", 1, most)
            for what in LOGGED
            for most in [None if what == "empty loop" else logged_most]
        ),
        *(
            _scaled(
                f"static branch {state} / global flag, loop of `{statement}`",
                f"{loop} {state}, static branch",
                1,
                added_most[state],
            )
            for loop, statement in LOOPS.items()
            for state in STATES
        ),
        _scaled("one of 10,000 native sites in a toggle", "toggle, sites: 10000", 1e9 / 10_000, 100, " ns"),
        _scaled("one of 10,000 bytecode sites in a toggle", "toggle, bytecode sites: 10000", 1e9 / 10_000, 100, " ns"),
        _scaled("decorating a function of 200 instructions", "decorate, tests of a key", 1e6, 500, " µs"),
        _scaled("decorating one that names no key", "decorate, no key named", 1e6, 20, " µs"),
    ]


def _ratio(row: str, reference: str, most: float | None) -> Target:
    return Target(f"{row} / {reference}", lambda medians: medians[row] / medians[reference], most)


def _scaled(what: str, row: str, factor: float, most: float | None, unit: str = "") -> Target:
    return Target(what, lambda medians: medians[row] * factor, most, unit)


def target_rows(medians: dict[str, float], version: tuple[int, ...]) -> Iterator[tuple[Target, str, str]]:
    """Yield each target, its measured value, and the result: pass, FAIL, not measured, or empty without a limit."""
    for target in targets(version):
        try:
            value = target.value(medians)
        except KeyError:
            yield target, "", "not measured"
            continue
        passed = "" if target.most is None else "pass" if value <= target.most else "FAIL"
        yield target, f"{digits(value)}{target.unit}", passed


def target_table(medians: dict[str, float], version: tuple[int, ...]) -> Iterator[str]:
    """Yield a Markdown table of the targets whose rows were measured, then the names of the others."""
    rows = list(target_rows(medians, version))
    there = [[target.what, value, wanted(target), result] for target, value, result in rows if value]
    if there:
        yield from table(["target", "measured", "at most", ""], there)
        yield ""
    missing = [target.what for target, value, _ in rows if not value]
    if missing:
        yield f"Not measured: {'; '.join(missing)}."


def wanted(target: Target) -> str:
    """Return the highest value that passes, with its unit. Empty without a limit."""
    return "" if target.most is None else f"{target.most:g}{target.unit}"
