"""The overview chart's data: what code of each kind costs while it is off, compared with the usual code of today."""

from typing import NamedTuple

from .columns import STATES, Question
from .lookup import Measured, Rows, in_state
from .row_names import LOGGED, LOOPS, SERVICES


class Group(NamedTuple):
    """A panel of the overview, a ratio scale on which the usual code of today costs 1."""

    title: str
    states: dict[str, tuple[str, str, str]]
    """The source of the values off and on: a question's slug, the heading of its column, the state taken from there."""
    usual: str
    """The row that counts as 1."""
    least: str | None = None
    """The row that counts as 0. It is subtracted from the others."""
    only: tuple[str, ...] = ()
    """The rows to show. Empty: all."""


OVERVIEW = (
    Group(
        "a test:  if tracing: …",
        {state: ("branch", f"added to a loop of `{LOOPS['sum']}`", state) for state in STATES},
        usual="global flag",
        least="check deleted",
    ),
    Group(
        "a feature flag:  if client.get_boolean_value(…): …",
        {state: ("branch", "a function with three", state) for state in STATES},
        usual="OpenFeature in memory",
        least="check deleted",
        only=("static branch", "check deleted", *SERVICES),
    ),
    Group(
        "a call that does nothing:  trace(event)",
        {state: ("gate", "a call", state) for state in STATES},
        usual="early return",
    ),
    Group(
        "a call that may go elsewhere:  parse(data)",
        {state: ("switch", "a call", state) for state in STATES},
        usual="wraps wrapper",
    ),
    Group(
        "an event that others may watch:  order_placed(order)",
        {"off": ("tracepoint", "none registered", ""), "on": ("tracepoint", "one registered", "")},
        usual="callbacks",
    ),
    Group(
        'a log statement:  logger.debug("%s", x)',
        {state: ("log", LOGGED["summing"], state) for state in STATES},
        usual="isEnabledFor guard",
        least="deleted",
    ),
    Group(
        'a span:  with tracer.start_as_current_span("work")',
        {state: ("span", "a span", state) for state in STATES},
        usual="OpenTelemetry's SDK",
        least="span deleted",
    ),
)


def overview(all_measured: list[Measured]) -> list[tuple[Group, Rows, Question]]:
    """Return each group that was measured, its rows relative to the usual one, and the question of the last column."""
    by_heading = {
        (one.question.slug, column.heading): (one.question, rows)
        for one in all_measured
        for column, rows in zip(one.question.columns, one.columns, strict=True)
    }
    found = []
    for group in OVERVIEW:
        relative: Rows = {}
        for state, (slug, heading, taken) in group.states.items():
            question, rows = by_heading[slug, heading]
            for label, value in _relative(group, rows, taken).items():
                # A row without states belongs to the off state.
                if taken in rows[label] or state == STATES[0]:
                    relative.setdefault(label, {})[state] = value
        if relative:
            found.append((group, relative, question))
    return found


def _relative(group: Group, rows: Rows, state: str) -> dict[str, float]:
    """Return the rows' values in one state on the group's scale. Empty if the scale cannot be made."""
    found = {label: in_state(values, state) for label, values in rows.items()}
    values = {label: value for label, value in found.items() if value is not None}
    usual, least = values.get(group.usual), found.get(group.least, 0.0) if group.least else 0.0
    if usual is None or least is None or usual <= least:
        return {}
    labels = [label for label in group.only or values if label in values]
    return {label: max((values[label] - least) / (usual - least), 0.0) for label in labels}
