"""The report that ``python -m jumplabel bench`` prints, in Markdown: facts, tables of ratios, curves, targets."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from . import growth, lookup, run_facts, tables
from .growth import Curve
from .markdown import picture
from .run_facts import Facts
from .targets import target_table

CURVE = "curve_"  # the prefix of the scripts that measure curves


class Results(NamedTuple):
    """The parts of a suite."""

    facts: Facts
    medians: dict[str, float]
    """By row, without the rows of curves."""
    questions: list[lookup.Measured]
    others: list[str]
    """The names of rows that belong to no question."""
    curves: list[Curve]


def results_of(suite: Any) -> Results:
    """Take a pyperf.BenchmarkSuite apart. Rows that were only calibrated are left out."""
    facts, scripts = run_facts.facts_of(suite), run_facts.scripts_of(suite)
    medians = {row.get_name(): row.median() for row in suite if row.get_nvalue()}
    in_curves = {name for name in medians if scripts[name] and all(one.startswith(CURVE) for one in scripts[name])}
    questions_medians = {name: median for name, median in medians.items() if name not in in_curves}
    questions, others = lookup.measured(questions_medians, scripts)
    curves = growth.curves({name: medians[name] for name in medians if name in in_curves})
    return Results(facts, questions_medians, questions, others, curves)


def slug_of(curve: Curve) -> str:
    """Return the curve's name in the names of files."""
    return "curve-" + re.sub(r"\W+", "-", curve.title.lower())


def report_lines(suite: Any) -> Iterator[str]:
    """Yield the lines of the whole report."""
    results = results_of(suite)
    yield f"## {results.facts.title}"
    yield ""
    yield from run_facts.lines(results.facts)
    yield ""
    yield from body(results)


def body(results: Results, charts: Mapping[str, str] | None = None) -> Iterator[str]:
    """Yield the report without its heading and facts.

    charts  the files of the charts, by the slugs of questions and curves. None: show no charts
    """
    if results.medians:
        yield "Medians. A ratio is the row's time divided by the time of the column's row. Below 1 the row is faster."
        yield ""
        yield from tables.tables(results.questions, charts)
        yield from tables.others(results.medians, results.others)
    if results.curves:
        yield "### Curves"
        yield ""
        yield from growth.table_lines(results.curves)
        yield ""
        for curve in results.curves:
            if charts:
                yield picture(curve.title, charts[slug_of(curve)])
                yield ""
    yield "### Targets"
    yield ""
    yield from target_table(results.medians, results.facts.version)
