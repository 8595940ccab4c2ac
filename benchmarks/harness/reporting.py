"""What ``python -m jumplabel bench`` prints of a measurement, as Markdown: its facts, tables of ratios, our targets."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from . import growth, run_facts, tables
from .growth import Curve
from .run_facts import Facts

CURVE = "curve_"  # what the scripts of curves are called


class Results(NamedTuple):
    """A suite, taken apart."""

    facts: Facts
    medians: dict[str, float]
    """Of all rows but those of curves."""
    questions: list[tables.Measured]
    others: list[str]
    """Names of rows that no question knows."""
    curves: list[Curve]


def results_of(suite: Any) -> Results:
    """Of a pyperf.BenchmarkSuite; rows of which there are calibrations only are left out."""
    facts, scripts = run_facts.facts_of(suite), run_facts.scripts_of(suite)
    medians = {row.get_name(): row.median() for row in suite if row.get_nvalue()}
    in_curves = {name for name in medians if scripts[name] and all(one.startswith(CURVE) for one in scripts[name])}
    questions_medians = {name: median for name, median in medians.items() if name not in in_curves}
    questions, others = tables.measured(questions_medians, scripts)
    curves = growth.curves({name: medians[name] for name in medians if name in in_curves}, facts)
    return Results(facts, questions_medians, questions, others, curves)


def slug_of(curve: Curve) -> str:
    """In the names of files."""
    return "curve-" + re.sub(r"\W+", "-", curve.title.lower())


def report(suite: Any) -> Iterator[str]:
    """What is printed."""
    results = results_of(suite)
    yield f"## {results.facts.title}"
    yield ""
    yield from run_facts.lines(results.facts)
    yield ""
    yield from body(results)


def body(results: Results, charts: Mapping[str, str] | None = None) -> Iterator[str]:
    """All but the heading and the facts.

    charts  where charts are, by the slugs of questions and curves; None: nowhere
    """
    if results.medians:
        yield "Medians. A ratio is the row's time over that of what its column names; below 1 the row is faster."
        yield ""
        yield from tables.tables(results.questions, charts)
        yield from tables.others(results.medians, results.others)
    if results.curves:
        yield "### Curves"
        yield ""
        yield from growth.markdown(results.curves)
        yield ""
        for curve in results.curves:
            if charts:
                yield tables.picture(curve.title, charts[slug_of(curve)])
                yield ""
    yield "### Targets"
    yield ""
    yield from tables.target_table(results.medians, results.facts.version)
