"""How costs grow: the curves of ``benchmarks/curve_*.py``, the exponents that fit them, and checks for flat costs.

The exponent of a cost is the slope of the straight line through the logarithms of a series, by least squares. 0: the
cost does not grow. 1: it grows in proportion. 2: it grows with the square. Places at which a fixed cost dominates are
left out of the fit.
"""

import math
import re
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

Points = list[tuple[float, float]]
"""Pairs of a place along the axis and the value measured there, in the order of the places."""

FLAT = 2.0
"""The highest ratio between the costs for each at two places for which these costs count as flat."""


class Fit(NamedTuple):
    """cost = constant * place ** exponent, over a range of places."""

    exponent: float
    error: float | None
    """The exponent's standard error. None: there are only two points."""
    places: tuple[float, float]

    def __str__(self) -> str:
        return f"{self.exponent:.2f}" + (f" ± {self.error:.2f}" if self.error is not None else "")


class Check(NamedTuple):
    """A check whether the cost for each is flat."""

    spread: float
    """The highest cost of one, divided by the lowest, over all places."""
    each: tuple[float, float]
    """The lowest and the highest cost of one, or ratio to a reference."""
    places: tuple[float, float]

    @property
    def passed(self) -> bool:
        return self.spread <= FLAT


class Kind(NamedTuple):
    """A kind of curve: its words, its rows, and how they are fitted and checked."""

    title: str
    x_label: str
    y_label: str
    unit: str
    rows: dict[str, str]
    """The names of the series, by the names of their rows."""
    fitted_from: float
    """The first place of the fit. Before it fixed costs dominate."""
    checked: bool = False
    """The cost for each must be flat from ``fitted_from`` on."""
    relative_to_zero: bool = False
    """Plot the speed relative to place 0, and fit the time lost."""
    at_least: Mapping[str, str] = {}
    """By row, the row of the work that it cannot avoid. The cost relative to that work should be flat."""


KINDS = (
    Kind(
        "Time of a toggle, by sites",
        "sites of the key",
        "seconds",
        "ns",
        {
            "toggle, native sites": "native",
            "toggle, bytecode sites": "bytecode",
            "syncs and stores, native sites": "native, its syncs and stores alone",
            "syncs and stores, bytecode sites": "bytecode, its syncs and stores alone",
        },
        1000,
        checked=True,
        at_least={f"toggle, {kind} sites": f"syncs and stores, {kind} sites" for kind in ("native", "bytecode")},
    ),
    Kind(
        "Memory, by sites",
        "sites of the key",
        "bytes",
        "B",
        {"memory, native sites": "native", "memory, bytecode sites": "bytecode"},
        1000,
        checked=True,
    ),
    Kind(
        "Time of a toggle, by threads that run its sites",
        "busy threads",
        "seconds",
        "ns",
        {
            "toggle, busy C threads": "C threads",
            "toggle, busy C threads, its own time": "C threads, its own time",
            "toggle, busy C threads, its own time, poked by int3": "C threads, its own time, JUMPLABEL_POKE=int3",
            "toggle, busy Python threads": "Python threads",
            "toggle, busy Python threads, its patch": "Python threads, its patch",
        },
        1,
    ),
    Kind(
        "Speed of a hot loop whose key is toggled",
        "toggles a second",
        "share of the speed without toggles",
        "",
        {
            "a pass over a bytecode site, toggles a second": "a bytecode site, in Python",
            "a pass over a gate, toggles a second": "a gate, in Python",
            "a pass over a native branch in C, toggles a second": "a native branch, in C",
        },
        1000,
        relative_to_zero=True,
    ),
    Kind(
        "Time of static_branches, by the size of the function",
        "instructions",
        "seconds",
        "ns",
        {"decorate, instructions": "decorating"},
        300,
    ),
)


@dataclass(frozen=True)
class Curve:
    """The series of one kind, by name, with the fit and the check of each. None: too few points, or no check wanted.

    beside  checks of the series' costs relative to the work that they cannot avoid, where this was measured
    """

    title: str
    x_label: str
    y_label: str
    series: dict[str, Points]
    fits: dict[str, Fit | None]
    checks: dict[str, Check | None]
    beside: dict[str, Check]
    kind: Kind


def curves(medians: Mapping[str, float]) -> list[Curve]:
    """Return the curves that were measured.

    medians  by row. Rows that belong to no curve may be among them.
    """
    return [curve for kind in KINDS if (curve := _curve(kind, medians)).series]


def fit(points: Points) -> Fit | None:
    """Fit a power. Returns None for less than two places. Raises ValueError for values without a logarithm."""
    if len({place for place, _ in points}) < 2:
        return None
    if min(min(point) for point in points) <= 0:
        raise ValueError(f"an exponent fits what is above 0 only, not {points}")
    x, y = ([math.log(point[i]) for point in points] for i in (0, 1))
    slope, intercept = statistics.linear_regression(x, y)
    error = None
    if len(points) > 2:
        middle = statistics.fmean(x)
        off = sum((b - intercept - slope * a) ** 2 for a, b in zip(x, y, strict=True))
        error = math.sqrt(off / (len(points) - 2) / sum((a - middle) ** 2 for a in x))
    return Fit(slope, error, _ends(points))


def check(points: Points) -> Check | None:
    """Check whether the cost for each is flat. Returns None for less than two points."""
    return _spread([(place, cost / place) for place, cost in points])


def beside(points: Points, least: Points) -> Check | None:
    """Check whether the ratio to the least is flat, at the places that have both."""
    known = dict(least)
    return _spread([(place, cost / known[place]) for place, cost in points if place in known])


def table_lines(curves: list[Curve]) -> Iterator[str]:
    """Yield the lines of a table of all series, and an explanation of its columns."""
    yield "| | series | first | last | exponent | from, to | for each |"
    yield "|---|---|---|---|---|---|---|"
    for curve in curves:
        for name, points in curve.series.items():
            fitted, checked, ratio = curve.fits[name], curve.checks[name], curve.beside.get(name)
            cells = [
                *(curve.title, name, _at(points[0], curve.kind), _at(points[-1], curve.kind)),
                str(fitted) if fitted else "",
                " to ".join(f"{place:,.0f}" for place in fitted.places) if fitted else "",
                _outcome(checked, curve.kind) if checked else "not measured" if curve.kind.checked else "",
            ]
            if ratio:
                cells[-1] += f"; {ratio.each[0]:.2f} to {ratio.each[1]:.2f} of its syncs and stores, {_flat(ratio)}"
            yield f"| {' | '.join(cells)} |"
    yield ""
    yield (
        "The exponent, with its standard error, says how the cost grows along the axis: 0 not at all, 1 in proportion, "
        f"2 with the square. Flat: the cost for each differs by a factor of {FLAT:g} at most."
    )


_ROW = re.compile(r"(?P<row>.+): (?P<place>\d+), (?P<syncs>\d+) syncs")


def _curve(kind: Kind, medians: Mapping[str, float]) -> Curve:
    series: dict[str, Points] = {}
    costs: dict[str, Points] = {}
    for name, points in _measured(kind, medians):
        if not kind.relative_to_zero:
            series[name] = costs[name] = points
        elif points[0][0] == 0:
            at_zero = points[0][1]
            series[name] = [(place, at_zero / time) for place, time in points]
            costs[name] = [(place, time / at_zero - 1) for place, time in points[1:] if time > at_zero]
    costs = {name: [point for point in points if point[0] >= kind.fitted_from] for name, points in costs.items()}
    return Curve(
        kind.title,
        kind.x_label,
        kind.y_label,
        series,
        fits={name: fit(points) for name, points in costs.items()},
        checks={name: check(points) if kind.checked else None for name, points in costs.items()},
        beside=_all_beside(kind, costs),
        kind=kind,
    )


def _measured(kind: Kind, medians: Mapping[str, float]) -> Iterator[tuple[str, Points]]:
    """Yield the names of the series that were measured, in the order of the kind's rows, and their points."""
    found: dict[tuple[str, str], Points] = {}
    for name, median in medians.items():
        match = _ROW.fullmatch(name)
        if match and match["row"] in kind.rows:
            found.setdefault((match["row"], match["syncs"]), []).append((int(match["place"]), median))
    for row in kind.rows:
        for syncs in sorted(syncs for other, syncs in found if other == row):
            yield _series_name(kind, row, syncs), sorted(found[row, syncs])


def _all_beside(kind: Kind, costs: Mapping[str, Points]) -> dict[str, Check]:
    found = {}
    for row, least in kind.at_least.items():
        for syncs in ("2", "3"):
            name, reference = _series_name(kind, row, syncs), _series_name(kind, least, syncs)
            if name in costs and reference in costs and (made := beside(costs[name], costs[reference])):
                found[name] = made
    return found


def _series_name(kind: Kind, row: str, syncs: str) -> str:
    return f"{kind.rows[row]}, {syncs} syncs"


def _spread(points: Points) -> Check | None:
    if len(points) < 2:
        return None
    each = [value for _, value in points]
    return Check(max(each) / min(each), (min(each), max(each)), _ends(points))


def _ends(points: Points) -> tuple[float, float]:
    places = [place for place, _ in points]
    return min(places), max(places)


def _at(point: tuple[float, float], kind: Kind) -> str:
    place, value = point
    return f"{place:,.0f}: {_value(value, kind.unit)}"


def _outcome(checked: Check, kind: Kind) -> str:
    least, most = (_value(each, kind.unit) for each in checked.each)
    return f"{least} to {most}, {_flat(checked)}"


def _flat(checked: Check) -> str:
    return f"{'flat' if checked.passed else 'NOT FLAT'} ({checked.spread:.2f})"


def _value(value: float, unit: str) -> str:
    if unit == "B":
        return f"{value:,.0f} B"
    if not unit:
        return f"{value:.3f}"
    for name, seconds in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= seconds:
            return f"{value / seconds:.3g} {name}"
    return f"{value * 1e9:.3g} ns"
