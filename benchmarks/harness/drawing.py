"""Draw bar charts and curves as SVG and PNG. Only this file imports matplotlib, and only to draw.

Charts can be read without colours. jumplabel's rows, others' rows and lower bounds have different marks; off is a full
mark, on a hollow one. With one version of matplotlib the same figures give the same files, byte for byte.
"""

import math
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

OURS, OTHERS, FLOOR = "#0072b2", "#4d4d4d", "#009e73"  # Okabe and Ito's colours, for colour-blind readers
LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKS = ("o", "s", "^", "D", "v", "P", "X")
GRID, TEXT, FAINT = "#dddddd", "#1a1a1a", "#666666"
LEAST = 0.01  # lower values, and 0, are drawn at the edge of a logarithmic axis
WIDTH = 9.0  # inches
EDGE = 1.35  # an axis ends at its highest value times this
ROW, HEADING, TOP, BOTTOM = 0.27, 0.5, 0.62, 0.85
LETTER, MARGIN = 0.076, 0.22  # inches: a bold letter of a label, and the space beside labels
RIGHT_SHARE = 0.86
FEW_TIMES, MOST_TICKS = 10, 8
NAME = 0.048  # the height of a line of a curve's name, as a share of the axes' height

STATES = ("off", "", "on")
Rows = Mapping[str, Mapping[str, float]]
"""By label, a row's values by state: ``off``, ``on``, or an empty string for a row without states."""


class Panel(NamedTuple):
    title: str
    rows: Rows
    ours: Sequence[str]
    floor: Sequence[str]
    usual: str
    """The row that counts as 1."""


def bars(
    path_stem: Path,
    title: str,
    panels: Sequence[Panel],
    *,
    subtitle: str = "",
    axis: str = "",
    small_print: str = "",
    shown: Callable[[float], str] = lambda value: f"{value:.2f}",
) -> None:
    """Draw one line for each row on a logarithmic axis, the lowest first. Writes ``path_stem``.svg and .png.

    panels  groups of rows with ratios, below each other on one axis, none empty
    axis    the text under the axis
    shown   returns the text of a value beside its row
    """
    values = [value for panel in panels for row in panel.rows.values() for value in row.values()]
    low, high = min(1.0, *(max(value, LEAST) for value in values)), max(1.0, *values)
    heights = [ROW * len(panel.rows) + HEADING for panel in panels]
    top = TOP + (0.2 if subtitle else 0)
    height = top + sum(heights) + BOTTOM
    left = (LETTER * max(len(_label(panel, label)) for panel in panels for label in panel.rows) + MARGIN) / WIDTH
    with _figure(path_stem, title, subtitle, small_print, height) as figure:
        top = height - top
        for number, (panel, tall) in enumerate(zip(panels, heights, strict=True)):
            box = (left, (top - tall) / height, RIGHT_SHARE - left, (tall - HEADING) / height)
            top -= tall
            axes = figure.add_axes(box)
            axes.set_xscale("log")
            axes.set_xlim(low / EDGE, high * EDGE)
            _panel(axes, panel, low, shown)
            last = number == len(panels) - 1
            axes.tick_params(axis="x", which="both", labelbottom=last, length=3 if last else 0, colors=FAINT)
            axes.set_xticks(_ticks(low, high), minor=False)
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} x")
            axes.minorticks_off()
            if last:
                at_edge = f"; at {LEAST:g} x: that or less" if min(values) < LEAST else ""
                axes.set_xlabel(f"{axis}  (log scale; ← less is better{at_edge})", color=FAINT, fontsize=9)
        _legend(figure, panels, height, subtitle)


def _ticks(low: float, high: float) -> list[float]:
    """Return the decades, and steps between them if there are few."""
    decades = [10.0**n for n in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    steps = (1,) if high > 30 * low else (1, 2, 5)
    return [decade * step for decade in decades for step in steps if low / EDGE <= decade * step <= high * EDGE]


def _panel(axes: Any, panel: Panel, low: float, shown: Callable[[float], str]) -> None:
    order = sorted(panel.rows, key=lambda label: _first(panel.rows[label]))
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.set_title(panel.title, loc="left", fontsize=10.5, fontweight="bold", color=TEXT)
    axes.set_yticks(range(len(order)), [_label(panel, label) for label in order], fontsize=9.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", which="major", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.axvline(1, color=FAINT, linewidth=1.2)
    for y, (label, tick) in enumerate(zip(order, axes.get_yticklabels(), strict=True)):
        colour, mark = _look(panel, label)
        values = panel.rows[label]
        at = {state: max(value, low) for state, value in values.items()}
        tick.set_color(colour)
        tick.set_fontweight("bold" if label in panel.ours or label == panel.usual else "normal")
        if len(at) > 1:
            axes.plot(list(at.values()), [y] * len(at), color=colour, linewidth=1.6, alpha=0.45, zorder=2)
        for state, x in sorted(at.items()):  # on is drawn last, as it is the smaller mark
            fill, size = ("white", 5.0) if state == "on" else (colour, 7.0)
            axes.plot([x], [y], mark, color=colour, markerfacecolor=fill, markersize=size, zorder=3)
        words = _slashed(shown(values[state]) for state in STATES if state in values)
        axes.text(1.02, y, words, transform=axes.get_yaxis_transform(), va="center", fontsize=9, color=colour)
    if any("on" in values for values in panel.rows.values()):
        heading = _slashed(("off", "on"))
        axes.text(1.02, -0.95, heading, transform=axes.get_yaxis_transform(), va="center", fontsize=8, color=FAINT)


def _label(panel: Panel, row: str) -> str:
    return f"{row}  (= 1)" if row == panel.usual else row


def _slashed(words: Iterable[str]) -> str:
    return " / ".join(words)


def _first(values: Mapping[str, float]) -> float:
    """Return the value when off, or else the first known value."""
    return next(values[state] for state in STATES if state in values)


def _look(panel: Panel, label: str) -> tuple[str, str]:
    if label in panel.ours:
        return OURS, "o"
    return (FLOOR, "D") if label in panel.floor else (OTHERS, "s")


def _legend(figure: Any, panels: Sequence[Panel], height: float, subtitle: str) -> None:
    from matplotlib.lines import Line2D

    def mark(colour: str, shape: str, label: str, fill: str | None = None) -> Any:
        return Line2D([], [], color=colour, marker=shape, linestyle="", markerfacecolor=fill or colour, label=label)

    there = {_look(panel, label) for panel in panels for label in panel.rows}
    states = {state for panel in panels for row in panel.rows.values() for state in row}
    marks = [mark(OURS, "o", "jumplabel")] if (OURS, "o") in there else []
    marks += [mark(OTHERS, "s", "what people use today")] if (OTHERS, "s") in there else []
    marks += [mark(FLOOR, "D", "the least there is")] if (FLOOR, "D") in there else []
    if "on" in states:
        marks += [mark(FAINT, "o", "off"), mark(FAINT, "o", "on", "white")]
    figure.legend(
        handles=marks,
        loc="upper left",
        bbox_to_anchor=(0.012, 1 - (0.64 if subtitle else 0.46) / height),
        ncols=len(marks),
        fontsize=9,
        frameon=False,
        handletextpad=0.2,
        columnspacing=1.4,
        labelcolor=TEXT,
        borderaxespad=0,
    )


def curve(
    path_stem: Path,
    title: str,
    x_label: str,
    y_label: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    log: bool = True,
    *,
    small_print: str = "",
    y_shown: Callable[[float], str] | None = None,
) -> None:
    """Draw a line through the points of each series, with its name at its end. Writes ``path_stem``.svg and .png.

    log      use a logarithmic x axis, and a logarithmic y axis if its values differ by more than a factor of
             FEW_TIMES. Points with a zero are left out then.
    y_shown  returns the text of a value at the y axis. None: show the number
    """
    height = 5.2
    with _figure(path_stem, title, "", small_print, height) as figure:
        axes = figure.add_axes((0.09, BOTTOM / height, 0.57, (height - TOP - BOTTOM) / height))
        drawn = [point for points in series.values() for point in points if not log or min(point) > 0]
        heights = [y for _, y in drawn]
        if log:
            axes.set_xscale("log")
        if log and heights and max(heights) > FEW_TIMES * min(heights):
            axes.set_yscale("log")
        ends: list[tuple[float, float, str, str]] = []
        groups: dict[str, int] = {}
        for name, points in series.items():
            shown = sorted(point for point in points if point in drawn)
            again = _group(name) in groups
            number = groups.setdefault(_group(name), len(groups))
            if shown:
                colour, mark = LINES[number % len(LINES)], MARKS[number % len(MARKS)]
                style = {"linestyle": "--", "markerfacecolor": "white"} if again else {}
                axes.plot(*zip(*shown, strict=True), color=colour, marker=mark, markersize=5, linewidth=1.6, **style)
                ends.append((*shown[-1], name, colour))
        axes.set_xlabel(x_label, color=TEXT)
        axes.set_ylabel(y_label, color=TEXT)
        axes.grid(color=GRID, linewidth=0.8)
        axes.tick_params(which="both", colors=FAINT, length=3)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        if axes.get_yscale() == "linear":
            axes.set_ylim(bottom=0)
        if log:
            places = sorted({x for x, _ in drawn})
            if len(places) <= MOST_TICKS:
                axes.set_xticks(places)
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
            axes.minorticks_off()
        if y_shown:
            axes.yaxis.set_major_formatter(lambda value, _: y_shown(value))
        _names(axes, ends)


def _group(name: str) -> str:
    """Return the part of a name before its last comma. Series of one group share a colour, the first is solid."""
    return name.rpartition(", ")[0] or name


def _names(axes: Any, ends: list[tuple[float, float, str, str]]) -> None:
    """Write the names beside the axes, each at the height of its line's end, or as near as there is room."""
    axes.autoscale_view()
    to_share = axes.transData + axes.transAxes.inverted()
    texts = sorted((to_share.transform((x, y))[1], textwrap.fill(name, 36), colour) for x, y, name, colour in ends)
    sizes = [NAME * (1 + text.count("\n")) for _, text, _ in texts]
    places: list[float] = []
    for (place, _, _), size in zip(texts, sizes, strict=True):
        places.append(max(place - size / 2, places[-1] + sizes[len(places) - 1] if places else 0.0))
    above = 1.03
    for i in reversed(range(len(places))):
        above = places[i] = min(places[i], above - sizes[i])
        _, text, colour = texts[i]
        axes.text(1.03, places[i], text, transform=axes.transAxes, va="bottom", fontsize=8.5, color=colour)


@contextmanager
def _figure(path_stem: Path, title: str, subtitle: str, small_print: str, height: float) -> Iterator[Any]:
    """Make a figure with its texts, and write its files at the end of the ``with`` block."""
    import matplotlib
    from matplotlib.figure import Figure  # not pyplot, which opens windows and keeps state

    settings: Any = {**matplotlib.rcParamsDefault, "backend": "agg", "font.family": "DejaVu Sans"}
    settings.update({"svg.fonttype": "none", "svg.hashsalt": "jumplabel", "axes.unicode_minus": False})
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(WIDTH, height), facecolor="white")
        figure.text(0.018, 1 - 0.26 / height, title, fontsize=14, fontweight="bold", color=TEXT, va="center")
        figure.text(0.018, 1 - 0.47 / height, subtitle, fontsize=9.5, color=FAINT, va="center")
        figure.text(0.018, 0.14 / height, small_print, fontsize=7.5, color=FAINT, va="center")
        yield figure
        figure.savefig(path_stem.with_name(f"{path_stem.name}.svg"), metadata={"Date": None, "Creator": "jumplabel"})
        figure.savefig(path_stem.with_name(f"{path_stem.name}.png"), dpi=110, metadata={"Software": None})
