"""A folder of results: pyperf's JSON, a file an interpreter; and RESULTS.md and charts, made anew of all of them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import drawing, run_facts, tables
from .columns import Question
from .reporting import Results, body, results_of, slug_of
from .run_facts import ResultsError
from .targets import IN_FULL

PAGE, CHARTS = "RESULTS.md", "charts"
OFF = "off"  # the chart of all that is off

INTRODUCTION = """\
# What it costs

Made by `python -m jumplabel bench --results FOLDER` of the files of [pyperf](https://pyperf.readthedocs.io) beside it,
one an interpreter. All rows take turns, round after round, one process each, so that what slows the machine down for a
while slows all of them down alike: go by the ratios. `python -m pyperf stats FILE` shows the spread of each row,
`python -m jumplabel bench --report FILE` the tables below.
"""


def file_of(folder: Path, tag: str) -> Path:
    return folder / f"results-{tag}.json"


def files(folder: Path) -> list[Path]:
    """The results that are there, by version."""

    def by_version(file: Path) -> tuple[list[int], str]:
        numbers = file.stem.removeprefix("results-").split("-")[0].rstrip("t").split(".")
        return [int(number) for number in numbers if number.isdecimal()], file.name

    return sorted(folder.glob("results-*.json"), key=by_version)


def check(pyperf: Any, folder: Path, now: dict[str, str], tag: str) -> None:
    """ResultsError for what ``keep`` and ``write`` could not do; before the measurement.

    now  metadata of what is to be kept
    tag  of its interpreter
    """
    for file in files(folder):
        stored = run_facts.load(pyperf, str(file))
        if file == file_of(folder, tag):
            run_facts.must_agree(str(file), stored, now)
    charts = folder / CHARTS
    if charts.exists() and not charts.is_dir():
        raise ResultsError(f"{charts} is to be a folder of charts, but is a file; remove it")


def keep(pyperf: Any, folder: Path, suite: Any) -> Path:
    """Store what was measured in the interpreter's file, in place of what the same scripts had measured before."""
    file = file_of(folder, run_facts.facts_of(suite).tag)
    if file.exists():
        suite = _joined(pyperf, run_facts.load(pyperf, str(file)), suite)
    new = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        suite.dump(str(new), replace=True)
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)
    return file


def _joined(pyperf: Any, stored: Any, suite: Any) -> Any:
    """The new rows; and those stored that other scripts measured, and only they."""
    scripts = run_facts.scripts_of(stored)
    measured = set().union(*run_facts.scripts_of(suite).values())
    names = set(suite.get_benchmark_names())
    kept = [row for row in stored if row.get_name() not in names and not measured & scripts[row.get_name()]]
    return pyperf.BenchmarkSuite([*kept, *suite])


def write(pyperf: Any, folder: Path) -> Path:
    """RESULTS.md, and the charts it shows; ModuleNotFoundError without matplotlib."""
    all_results = [results_of(run_facts.load(pyperf, str(file))) for file in files(folder)]
    charts = folder / CHARTS
    charts.mkdir(exist_ok=True)
    drawn = [_draw(charts, results) for results in all_results]
    page = folder / PAGE
    lines = [*_page(all_results, drawn), ""]
    page.write_text("\n".join(lines), encoding="utf-8")
    return page


def _page(all_results: list[Results], drawn: list[dict[str, str]]) -> Iterator[str]:
    yield INTRODUCTION
    if len(all_results) > 1:
        yield "## Targets"
        yield ""
        yield from _all_targets(all_results)
        yield ""
    for results, charts in zip(all_results, drawn, strict=True):
        yield f"## {results.facts.title}"
        yield ""
        yield from run_facts.lines(results.facts)
        yield ""
        if OFF in charts:
            yield tables.picture(f"What code costs while it is off, {results.facts.title}", charts[OFF])
            yield ""
        yield from body(results, charts)
        yield ""


def _all_targets(all_results: list[Results]) -> Iterator[str]:
    """One column an interpreter; what is wanted of one may not be what is wanted of another."""
    columns = [
        {
            target.what: (target, value, result)
            for target, value, result in tables.target_rows(one.medians, one.facts.version)
        }
        for one in all_results
    ]
    body = []
    for what in columns[0]:
        cells = []
        for column in columns:
            target, value, result = column[what]
            wanted = tables.wanted(target)
            cells.append(f"{value} of {wanted}: {result}" if value and wanted else value or result)
        body.append([what, *cells])
    yield from tables.table(["measured, of what is wanted at most", *(one.facts.title for one in all_results)], body)


# ---- charts ----


def _draw(folder: Path, results: Results) -> dict[str, str]:
    """All charts of an interpreter; their files by question, relative to RESULTS.md."""
    small = results.facts.short()
    drawn: dict[str, str] = {}

    def stem(slug: str) -> Path:
        drawn[slug] = f"{folder.name}/{slug}-{results.facts.tag}.svg"
        return folder / f"{slug}-{results.facts.tag}"

    panels = [
        _panel(question, group.title, rows, group.usual) for group, rows, question in tables.overview(results.questions)
    ]
    if panels:
        drawing.bars(
            stem(OFF),
            "What code costs while it is switched off",
            panels,
            subtitle="Each group as a multiple of what is usual today (= 1). Hollow marks: when it is on.",
            axis="cost as a multiple of what is usual",
            small_print=small,
            shown=tables.ratio,
        )
    for one in results.questions:
        panels = _panels(one)
        if panels:
            drawing.bars(
                stem(one.question.slug),
                tables.plain(one.question.title),
                panels,
                axis=one.question.axis or f"time as a multiple of that of: {panels[0].usual}",
                small_print=small,
                shown=tables.ratio,
            )
    for curve in results.curves:
        drawing.curve(
            stem(slug_of(curve)),
            curve.title,
            curve.x_label,
            "" if curve.y_label == "seconds" else curve.y_label,
            curve.series,
            small_print=small,
            y_shown=tables.duration if curve.y_label == "seconds" else None,
        )
    return drawn


def _panels(one: tables.Measured) -> list[drawing.Panel]:
    """Of each column; a column whose rows cannot be divided, as their reference is missing, has none."""
    question, panels = one.question, []
    for column, rows in zip(question.columns, one.columns, strict=True):
        values = tables.compared(column, rows)
        if values:
            panels.append(_panel(question, tables.plain(column.heading), values, column.usual))
    return panels


def _panel(question: Question, title: str, rows: tables.Rows, usual: str) -> drawing.Panel:
    def full(label: str) -> str:
        return IN_FULL.get((question.slug, label), label)

    return drawing.Panel(
        title,
        {full(label): values for label, values in rows.items()},
        [full(label) for label in question.ours],
        [full(label) for label in question.floor],
        full(usual),
    )
