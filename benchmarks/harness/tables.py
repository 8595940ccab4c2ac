"""Lay out the measured rows of each question as a table in Markdown."""

from collections.abc import Iterator, Mapping

from .columns import STATES, Column
from .lookup import Measured, Rows, divided
from .markdown import cell, duration, picture, plain, ratio, table


def tables(all_measured: list[Measured], charts: Mapping[str, str] | None = None) -> Iterator[str]:
    """Yield each question with its table, then the list of questions without any row.

    charts  the file of a question's chart, by the question's slug
    """
    for one in all_measured:
        if one.labels:
            yield from _question(one, (charts or {}).get(one.question.slug))
    absent = [one for one in all_measured if not one.labels]
    if absent:
        yield "Not measured at all:"
        yield ""
        yield from (f"- `{one.question.script}`: {one.question.title}" for one in absent)
        yield ""


def others(medians: dict[str, float], names: list[str]) -> Iterator[str]:
    """Yield a table of rows that belong to no question."""
    if names:
        yield "### Other rows"
        yield ""
        yield from table(["", "time"], [[name, duration(medians[name])] for name in names])
        yield ""


def _question(one: Measured, chart: str | None) -> Iterator[str]:
    yield f"### {one.question.title}"
    yield ""
    has_states = any(STATES[1] in values for rows in one.columns for values in rows.values())
    yield one.question.note + (" Off / on." if has_states else "")
    yield ""
    yield from _table(one)
    if chart:
        yield ""
        yield picture(plain(one.question.title), chart)
    if one.missing:
        yield ""
        yield f"Not measured: {'; '.join(one.missing)}."
    yield ""


def _table(one: Measured) -> Iterator[str]:
    alone = len(one.columns) == 1
    columns = [
        (heading, cells)
        for column, rows in zip(one.question.columns, one.columns, strict=True)
        for heading, cells in _columns(column, rows, alone)
        if cells
    ]
    labels = [label for label in one.labels if any(label in cells for _, cells in columns)]
    body = [[label, *(cells.get(label, "") for _, cells in columns)] for label in labels]
    yield from table(["", *(heading for heading, _ in columns)], body)


def _columns(column: Column, rows: Rows, alone: bool) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the headings and the cells by label that a table has for a question's column.

    alone  the question has no other column. Then the table shows times, too, and names each reference.
    """
    if column.shares:
        yield column.heading, {label: cell(values, ratio) for label, values in rows.items()}
    elif alone:
        yield "time", {label: cell(values, duration) for label, values in rows.items()}
    for reference in column.references:
        cells = {label: cell(values, ratio) for label, values in divided(rows, reference).items()}
        if cells:
            cells[reference] = "="
        yield f"/ {reference}" if alone else column.heading, cells
