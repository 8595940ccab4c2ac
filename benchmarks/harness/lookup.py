"""Find the rows of each question among the medians of a measurement, and divide them by a reference row.

Nothing here knows pyperf: it sees medians by name.
"""

import re
from typing import NamedTuple

from .columns import STATES, Column, Question
from .questions import QUESTIONS

Values = dict[str, float]
"""A row's values by state, ``off`` and ``on``. A row without states has one value, under NO_STATE."""
Rows = dict[str, Values]
"""Rows by the label that a table shows."""

NO_STATE = ""


class Measured(NamedTuple):
    """The measured rows of one question."""

    question: Question
    columns: list[Rows]
    missing: list[str]
    """Rows that questions.py names and the measurement lacks, by their names in the script."""

    @property
    def labels(self) -> list[str]:
        """The rows' labels: jumplabel's first, then the floor, then the others."""
        there = dict.fromkeys(label for rows in self.columns for label in rows)
        first = [label for label in (*self.question.ours, *self.question.floor) if label in there]
        return list(dict.fromkeys((*first, *there)))


def measured(medians: dict[str, float], scripts: dict[str, set[str]]) -> tuple[list[Measured], list[str]]:
    """Return what was measured of each question, and the names of the rows that belong to none.

    scripts  the scripts that measured each row. A row that is missing here belongs to a question only by its name.
    """
    named = {name for question in QUESTIONS for column in question.columns for name in _names(column)}
    unclaimed = [name for name in medians if name not in named]
    found = []
    for question in QUESTIONS:
        columns = []
        for column in question.columns:
            rows = _named_rows(column, medians)
            for name, match in _matching(column, question.script, unclaimed, scripts):
                state = match.groupdict().get("state") or NO_STATE
                rows.setdefault(match["what"], {})[state] = medians[name]
                unclaimed.remove(name)
            if rows and column.given:
                rows.update({label: {NO_STATE: value} for label, value in column.given.items()})
            columns.append(rows)
        missing = [name for column in question.columns for name in _names(column) if name not in medians]
        found.append(Measured(question, columns, missing))
    return found, unclaimed


def names_of(row: str) -> dict[str, str]:
    """Return the names that a row of questions.py has in its script, by state."""
    return {state: row.format(state) for state in STATES} if "{}" in row else {NO_STATE: row}


def _names(column: Column) -> list[str]:
    return [name for row in column.rows.values() for name in names_of(row).values()]


def _named_rows(column: Column, medians: dict[str, float]) -> Rows:
    rows = {}
    for label, row in column.rows.items():
        values = {state: medians[name] for state, name in names_of(row).items() if name in medians}
        if values:
            rows[label] = values
    return rows


def _matching(
    column: Column, script: str, names: list[str], scripts: dict[str, set[str]]
) -> list[tuple[str, re.Match[str]]]:
    """Return the rows of a script that the column's pattern for unnamed rows matches."""
    if column.others is None:
        return []
    of_script = [name for name in names if script in scripts.get(name, ())]
    return [(name, match) for name in of_script if (match := re.fullmatch(column.others, name))]


# ---- ratios ----


def in_state(values: Values, state: str) -> float | None:
    """Return a row's value in a state. A row without states has the same value in both."""
    return values.get(state, values.get(NO_STATE))


def divided(rows: Rows, reference: str) -> Rows:
    """Divide each row by the reference row, state by state. Rows that cannot be divided are left out."""
    result = {}
    for label, values in rows.items():
        ratios = _divided_values(values, rows.get(reference, {}))
        if ratios:
            result[label] = ratios
    return result


def _divided_values(values: Values, reference: Values) -> Values:
    ratios = {}
    for state in [state for state in STATES if state in values or state in reference] or [NO_STATE]:
        above, below = in_state(values, state), in_state(reference, state)
        if above is not None and below:
            ratios[state] = above / below
    return ratios


def compared(column: Column, rows: Rows) -> Rows:
    """Return what a chart shows: ratios to the first reference, or the shares themselves."""
    return divided(rows, column.references[0]) if column.references else rows
