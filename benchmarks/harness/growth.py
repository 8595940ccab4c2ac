"""How costs grow: curves made of the medians of ``benchmarks/curve_*.py``, what fits them, and whether they may be so.

How a cost grows is told by its exponent: the slope of the straight line through the logarithms of a series, by least
squares. 0: it does not grow, 1: as its cause does, 2: with the square of it. Small costs are left out where they are
mostly what is paid once.
"""

import math
import re
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

Points = list[tuple[float, float]]
"""Each a place along the axis, and what was measured there; in the order of the places."""

FLAT = 2.0
"""By what factor the cost for each may differ, between the places that are looked at, and still be called flat."""


class Fit(NamedTuple):
    """cost = something * place ** exponent, for the places from one to another."""

    exponent: float
    error: float | None
    """The exponent's standard error; None: of two points only."""
    places: tuple[float, float]

    def __str__(self) -> str:
        return f"{self.exponent:.2f}" + (f" ± {self.error:.2f}" if self.error is not None else "")


class Check(NamedTuple):
    """Whether the cost for each is flat."""

    spread: float
    """The most that one costs, over the least, from place to place."""
    each: tuple[float, float]
    """The least and the most, of one; or the ratios to something else."""
    places: tuple[float, float]

    @property
    def passed(self) -> bool:
        return self.spread <= FLAT


class Kind(NamedTuple):
    """A curve that there may be."""

    title: str
    x_label: str
    y_label: str
    unit: str
    rows: dict[str, str]
    """What the series are called, by what their rows are."""
    fitted_from: float
    """The first place where the cost grows as it goes on to do."""
    checked: bool = False
    """Whether the cost for each must be flat from there on."""
    of_nothing: bool = False
    """Whether what is told is a speed, as a share of that at 0, and what grows is the time that is lost."""
    at_least: Mapping[str, str] = {}
    """By row, the row of what it cannot do without: that grows by itself, and beside it the cost should be flat."""


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
        of_nothing=True,
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
    """One question's series, by name; of each, what fits it and whether it may be so (None: that cannot be told).

    beside  the same of a series over what it takes at least, place by place; of those for which that is known
    """

    title: str
    x_label: str
    y_label: str
    series: dict[str, Points]
    fits: dict[str, Fit | None]
    checks: dict[str, Check | None]
    beside: dict[str, Check]
    kind: Kind


def curves(medians: Mapping[str, float], facts: object = None) -> list[Curve]:
    """Of the rows that there are, by name; other rows' medians may be among them. Those without a row are left out.

    facts  of the measurement; they change nothing here
    """
    return [curve for kind in KINDS if (curve := _curve(kind, medians)).series]


def fit(points: Points) -> Fit | None:
    """None for less than two points, at different places. Raises ValueError where there is no logarithm."""
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
    """None for less than two points."""
    return _spread([(place, cost / place) for place, cost in points])


def beside(points: Points, least: Points) -> Check | None:
    """Of how many times the least it is, where both are known."""
    known = dict(least)
    return _spread([(place, cost / known[place]) for place, cost in points if place in known])


def markdown(curves: list[Curve]) -> Iterator[str]:
    """The lines of a table of all series, and the check in words."""
    yield "| | series | first | last | exponent | from, to | for each |"
    yield "|---|---|---|---|---|---|---|"
    for curve in curves:
        for name, points in curve.series.items():
            made, checked, ratio = curve.fits[name], curve.checks[name], curve.beside.get(name)
            cells = [
                *(curve.title, name, _at(points[0], curve.kind), _at(points[-1], curve.kind)),
                str(made) if made else "",
                " to ".join(f"{place:,.0f}" for place in made.places) if made else "",
                _told(checked, curve.kind) if checked else "not measured" if curve.kind.checked else "",
            ]
            if ratio:
                cells[-1] += f"; {ratio.each[0]:.2f} to {ratio.each[1]:.2f} of its syncs and stores, {_flat(ratio)}"
            yield f"| {' | '.join(cells)} |"
    yield ""
    yield (
        "An exponent fits how the cost grows with what the axis says, from place to place: 0 not at all, 1 as much, 2 "
        f"with the square; with its standard error. Flat: the cost for each differs by a factor of {FLAT:g} at most."
    )


_ROW = re.compile(r"(?P<row>.+): (?P<place>\d+), (?P<syncs>\d+) syncs")


def _curve(kind: Kind, medians: Mapping[str, float]) -> Curve:
    found: dict[tuple[str, str], Points] = {}
    for name, median in medians.items():
        match = _ROW.fullmatch(name)
        if match and match["row"] in kind.rows:
            found.setdefault((match["row"], match["syncs"]), []).append((int(match["place"]), median))
    series, costs = {}, {}
    for row, syncs in sorted(found, key=lambda one: (list(kind.rows).index(one[0]), one[1])):
        name, points = f"{kind.rows[row]}, {syncs} syncs", sorted(found[row, syncs])
        if kind.of_nothing:
            if points[0][0]:
                continue  # nothing to compare them with
            nothing = points[0][1]
            costs[name] = [(place, time / nothing - 1) for place, time in points[1:] if time > nothing]
            points = [(place, nothing / time) for place, time in points]
        else:
            costs[name] = points
        series[name] = points
    costs = {name: [point for point in points if point[0] >= kind.fitted_from] for name, points in costs.items()}
    checks = {name: check(points) if kind.checked else None for name, points in costs.items()}
    fits = {name: fit(points) for name, points in costs.items()}
    besides = {}
    for row, least in kind.at_least.items():
        for syncs in ("2", "3"):
            name, reference = (f"{kind.rows[one]}, {syncs} syncs" for one in (row, least))
            if name in costs and reference in costs and (made := beside(costs[name], costs[reference])):
                besides[name] = made
    return Curve(kind.title, kind.x_label, kind.y_label, series, fits, checks, besides, kind)


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


def _told(checked: Check, kind: Kind) -> str:
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
