"""Tables of what was measured: questions.py's rows looked up, divided, and laid out as Markdown.

Markdown whose columns are aligned, as it is read in a terminal, too. Nothing here knows pyperf: it sees medians.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from .columns import STATES, Column, Question
from .questions import QUESTIONS
from .targets import OVERVIEW, Group, Target, targets

Values = dict[str, float]
"""Of a row, by state; of one that knows no state, under an empty string."""
Rows = dict[str, Values]
"""By what a table calls them."""

NO_STATE = ""


class Measured(NamedTuple):
    """What there is of a question."""

    question: Question
    columns: list[Rows]
    missing: list[str]
    """Rows that questions.py names, by their names in the script."""

    @property
    def labels(self) -> list[str]:
        """Ours first, then the least that there is, then the others."""
        there = dict.fromkeys(label for rows in self.columns for label in rows)
        first = [label for label in (*self.question.ours, *self.question.floor) if label in there]
        return list(dict.fromkeys((*first, *there)))


def measured(medians: dict[str, float], scripts: dict[str, set[str]]) -> tuple[list[Measured], list[str]]:
    """The questions, and the names of rows that none of them knows.

    scripts  the files that measured a row, by its name; what is not in it is found only if it is named
    """
    named = {
        name
        for question in QUESTIONS
        for column in question.columns
        for row in column.rows.values()
        for name in names_of(row).values()
    }
    left = [name for name in medians if name not in named]
    found = []
    for question in QUESTIONS:
        columns, missing = [], []
        for column in question.columns:
            rows: Rows = {}
            for label, row in column.rows.items():
                there = {state: medians[name] for state, name in names_of(row).items() if name in medians}
                missing += [name for name in names_of(row).values() if name not in medians]
                if there:
                    rows[label] = there
            for name in left[:]:
                match = column.others and re.fullmatch(column.others, name)
                if match and question.script in scripts.get(name, ()):
                    state = match.groupdict().get("state") or NO_STATE
                    rows.setdefault(match["what"], {})[state] = medians[name]
                    left.remove(name)
            if rows and column.given:
                rows.update({label: {NO_STATE: value} for label, value in column.given.items()})
            columns.append(rows)
        found.append(Measured(question, columns, missing))
    return found, left


def names_of(row: str) -> dict[str, str]:
    return {state: row.format(state) for state in STATES} if "{}" in row else {NO_STATE: row}


def divided(rows: Rows, reference: str) -> Rows:
    """By a row, each state by the same; a row without states is divided by both of the reference's."""
    result: Rows = {}
    for label, values in rows.items():
        below = rows.get(reference, {})
        states = [state for state in (NO_STATE, *STATES) if state in values or state in below]
        if NO_STATE in states and len(states) > 1:
            states.remove(NO_STATE)
        pairs = {
            state: (values.get(state, values.get(NO_STATE)), below.get(state, below.get(NO_STATE))) for state in states
        }
        ratios = {state: a / b for state, (a, b) in pairs.items() if a is not None and b}
        if ratios:
            result[label] = ratios
    return result


def compared(column: Column, rows: Rows) -> Rows:
    """What a chart shows: ratios to the first reference, or the shares themselves."""
    return divided(rows, column.references[0]) if column.references else rows


# ---- tables ----


def tables(all_measured: list[Measured], charts: Mapping[str, str] | None = None) -> Iterator[str]:
    """Markdown, each table under its question; and what was not measured.

    charts  where the chart of a question is, by its slug
    """
    absent = []
    for one in all_measured:
        if not one.labels:
            absent.append(one)
            continue
        yield f"### {one.question.title}"
        yield ""
        states = any(STATES[1] in values for rows in one.columns for values in rows.values())
        yield one.question.note + (" Off / on." if states else "")
        yield ""
        yield from _table(one)
        if charts and one.question.slug in charts:
            yield ""
            yield picture(plain(one.question.title), charts[one.question.slug])
        if one.missing:
            yield ""
            yield f"Not measured: {'; '.join(one.missing)}."
        yield ""
    if absent:
        yield "Not measured at all:"
        yield ""
        yield from (f"- `{one.question.script}`: {one.question.title}" for one in absent)
        yield ""


def _table(one: Measured) -> Iterator[str]:
    columns: list[tuple[str, dict[str, str]]] = []
    for column, rows in zip(one.question.columns, one.columns, strict=True):
        alone = len(one.columns) == 1
        if column.shares:
            columns.append((column.heading, {label: cell(values, ratio) for label, values in rows.items()}))
        elif alone:
            columns.append(("time", {label: cell(values, duration) for label, values in rows.items()}))
        for reference in column.references:
            cells = {label: cell(values, ratio) for label, values in divided(rows, reference).items()}
            cells.update({reference: "="} if cells else {})
            columns.append((f"/ {reference}" if alone else column.heading, cells))
    columns = [(heading, cells) for heading, cells in columns if cells]
    labels = [label for label in one.labels if any(label in cells for _, cells in columns)]
    body = [[label, *(cells.get(label, "") for _, cells in columns)] for label in labels]
    yield from table(["", *(heading for heading, _ in columns)], body)


def others(medians: dict[str, float], names: list[str]) -> Iterator[str]:
    if names:
        yield "### Other rows"
        yield ""
        yield from table(["", "time"], [[name, duration(medians[name])] for name in names])
        yield ""


def target_rows(medians: dict[str, float], version: tuple[int, ...]) -> Iterator[tuple[Target, str, str]]:
    """Each target, its value and how it went: pass, FAIL, not measured; or nothing where nothing is wanted."""
    for target in targets(version):
        try:
            value = target.value(medians)
        except KeyError:
            yield target, "", "not measured"
            continue
        passed = "" if target.most is None else "pass" if value <= target.most else "FAIL"
        yield target, f"{digits(value)}{target.unit}", passed


def target_table(medians: dict[str, float], version: tuple[int, ...]) -> Iterator[str]:
    rows = list(target_rows(medians, version))
    there = [[target.what, value, wanted(target), result] for target, value, result in rows if value]
    if there:
        yield from table(["target", "measured", "at most", ""], there)
        yield ""
    missing = [target.what for target, value, _ in rows if not value]
    if missing:
        yield f"Not measured: {'; '.join(missing)}."


def wanted(target: Target) -> str:
    return "" if target.most is None else f"{target.most:g}{target.unit}"


def picture(title: str, file: str) -> str:
    return f"![{title}]({file})"


def plain(text: str) -> str:
    """Without Markdown's marks for code."""
    return text.replace("`", "")


def table(headings: Sequence[str], body: Iterable[Sequence[str]]) -> Iterator[str]:
    """Markdown, the first column to the left, the others to the right."""
    rows = [[text.replace("|", "\\|") for text in row] for row in (headings, *body)]
    widths = [max(3, *map(len, cells)) for cells in zip(*rows, strict=True)]

    def line(row: Sequence[str]) -> str:
        cells = (
            f"{text:<{n}}" if i == 0 else f"{text:>{n}}" for i, (text, n) in enumerate(zip(row, widths, strict=True))
        )
        return f"| {' | '.join(cells)} |"

    yield line(rows[0])
    yield f"| {' | '.join('-' * n if i == 0 else '-' * (n - 1) + ':' for i, n in enumerate(widths))} |"
    yield from map(line, rows[1:])


# ---- figures ----


def cell(values: Values, shown: Callable[[float], str]) -> str:
    """One figure, or off and on; what is missing is a question mark."""
    if NO_STATE in values and len(values) == 1:
        return shown(values[NO_STATE])
    return " / ".join(shown(values[state]) if state in values else "?" for state in STATES)


def ratio(value: float) -> str:
    if value == 0:
        return "0"
    return f"{value:,.{3 if value < 0.0995 else 2 if value < 9.995 else 1 if value < 99.95 else 0}f}"


def digits(value: float) -> str:
    """Three of them, or all before the point: a figure that misses its target by little does not look like it."""
    return f"{value:,.{3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0}f}"


def duration(seconds: float) -> str:
    """Three digits, in the unit that fits."""
    units = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9))
    unit, size = next((one for one in units if seconds >= 0.9995 * one[1]), units[-1])
    value = seconds / size
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {unit}"


# ---- the chart that shows everything that is off ----


def overview(all_measured: list[Measured]) -> list[tuple[Group, Rows, Question]]:
    """Each group that was measured, its rows over what is usual today."""
    by_heading = {
        (one.question.slug, column.heading): (one.question, rows)
        for one in all_measured
        for column, rows in zip(one.question.columns, one.columns, strict=True)
    }
    found = []
    for group in OVERVIEW:
        result: Rows = {}
        for state, (slug, heading, taken) in group.states.items():
            question, rows = by_heading[slug, heading]
            values = {label: _of(row, taken) for label, row in rows.items()}
            usual, least = values.get(group.usual), values.get(group.least or "", 0.0)
            if usual is None or least is None or usual <= least:
                continue
            for label in group.only or values:
                value = values.get(label)
                if value is not None and (taken in rows[label] or state == STATES[0]):
                    result.setdefault(label, {})[state] = max((value - least) / (usual - least), 0.0)
        if result:
            found.append((group, result, question))
    return found


def _of(values: Values, state: str) -> float | None:
    return values.get(state, values.get(NO_STATE))
