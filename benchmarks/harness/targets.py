"""What we want of the benchmarks: the targets; and what the chart shows that has everything in it that is off.

Data only, about the rows that questions.py names.
"""

from collections.abc import Callable
from typing import NamedTuple

from .columns import STATES
from .questions import LOGGED, LOOPS, SERVICES, SITES


class Group(NamedTuple):
    """A panel of the overview: what is written today costs 1."""

    title: str
    states: dict[str, tuple[str, str, str]]
    """For off and on: the question's slug, the heading of its column, and which state to take."""
    usual: str
    """The row that is 1."""
    least: str | None = None
    """The row whose value is nothing: the others' is what they have above it."""
    only: tuple[str, ...] = ()
    """The rows; empty: all."""


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

# In charts, which have room, and are looked at by those who have read nothing else.
IN_FULL = {
    ("branch", "check deleted"): "no test in the code",
    ("branch", "static branch"): "static branch (if key)",
    ("branch", "local flag"): "local flag",
    ("branch", "global flag"): "global flag (if FLAG)",
    ("gate", "early return"): "function that returns early",
    ("gate", "partial"): "functools.partial, on",
    ("gate", "direct call"): "function without flag, on",
    ("gate", "C built-in"): "C built-in {}.get(object)",
    ("gate", "C built-in of a str"): 'C built-in {}.get("str")',
    ("switch", "wraps wrapper"): "functools.wraps wrapper",
    ("switch", "wrapt enabled="): "wrapt, enabled=",
    ("switch", "partial"): "functools.partial",
    ("switch", "direct call"): "function called directly",
    ("tracepoint", "callbacks"): "list of callbacks",
    ("log", "deleted"): "no statement in the code",
    ("log", "import hook"): "jumplabel's import hook",
    ("log", "structlog, hook"): "structlog under that hook",
    ("log", "loguru, hook"): "loguru under that hook",
    ("log", "isEnabledFor guard"): "behind isEnabledFor",
    ("log", "plain logging"): "logging as it is",
    ("log", "structlog"): "structlog, cached",
    ("span", "span deleted"): "no span in the code",
}


class Target(NamedTuple):
    what: str
    value: Callable[[dict[str, float]], float]
    """From the rows' medians; raises KeyError where one is missing."""
    most: float | None
    """That is wanted; None: shown so that nobody is misled."""
    unit: str = ""


def targets(version: tuple[int, ...]) -> list[Target]:
    """What we want of a CPython of this version."""
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
