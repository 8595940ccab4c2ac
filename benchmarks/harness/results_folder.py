"""A folder of results: one file of pyperf's JSON for each interpreter, RESULTS.md, and charts.

Each new measurement rewrites RESULTS.md and all charts from the stored files.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import run_facts
from .charts import OFF, draw_all
from .markdown import picture, table
from .reporting import Results, body, results_of
from .run_facts import ResultsError
from .targets import target_rows, wanted

PAGE, CHARTS = "RESULTS.md", "charts"

INTRODUCTION = """\
# What it costs

`python -m jumplabel bench --results FOLDER` made this page. Beside it are the files of
[pyperf](https://pyperf.readthedocs.io) with all values, one for each interpreter. All rows take turns, round after
round, one process each. A slow spell of the machine slows all of them alike, so compare ratios, not times.
`python -m pyperf stats FILE` shows the spread of each row. `python -m jumplabel bench --report FILE` prints the tables
below.
"""


def file_of(folder: Path, tag: str) -> Path:
    return folder / f"results-{tag}.json"


def files(folder: Path) -> list[Path]:
    """Return the files of results, sorted by version."""

    def by_version(file: Path) -> tuple[list[int], str]:
        numbers = file.stem.removeprefix("results-").split("-")[0].rstrip("t").split(".")
        return [int(number) for number in numbers if number.isdecimal()], file.name

    return sorted(folder.glob("results-*.json"), key=by_version)


def check(pyperf: Any, folder: Path, now: dict[str, str], tag: str) -> None:
    """Raise ResultsError, before a measurement, if ``keep`` or ``write`` would fail after it.

    now  the metadata of the measurement that will be kept
    tag  its interpreter's tag
    """
    for file in files(folder):
        stored = run_facts.load(pyperf, str(file))
        if file == file_of(folder, tag):
            run_facts.must_agree(str(file), stored, now)
    charts = folder / CHARTS
    if charts.exists() and not charts.is_dir():
        raise ResultsError(f"{charts} is to be a folder of charts, but is a file; remove it")


def keep(pyperf: Any, folder: Path, suite: Any) -> Path:
    """Store a measurement in its interpreter's file, and return the file.

    It replaces what the same scripts measured before.
    """
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
    """Return the new rows, and the stored rows that only other scripts measured."""
    scripts = run_facts.scripts_of(stored)
    measured = set().union(*run_facts.scripts_of(suite).values())
    names = set(suite.get_benchmark_names())
    kept = [row for row in stored if row.get_name() not in names and not measured & scripts[row.get_name()]]
    return pyperf.BenchmarkSuite([*kept, *suite])


def write(pyperf: Any, folder: Path) -> Path:
    """Write RESULTS.md and its charts, and return the page. Raises ModuleNotFoundError without matplotlib."""
    all_results = [results_of(run_facts.load(pyperf, str(file))) for file in files(folder)]
    charts = folder / CHARTS
    charts.mkdir(exist_ok=True)
    drawn = [draw_all(charts, results) for results in all_results]
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
            yield picture(f"What code costs while it is off, {results.facts.title}", charts[OFF])
            yield ""
        yield from body(results, charts)
        yield ""


def _all_targets(all_results: list[Results]) -> Iterator[str]:
    """Yield a table with a column for each interpreter. Each may have targets of its own."""
    columns = [
        {target.what: (target, value, result) for target, value, result in target_rows(one.medians, one.facts.version)}
        for one in all_results
    ]
    body = []
    for what in columns[0]:
        cells = []
        for column in columns:
            target, value, result = column[what]
            most = wanted(target)
            cells.append(f"{value} of {most}: {result}" if value and most else value or result)
        body.append([what, *cells])
    yield from table(["measured, of what is wanted at most", *(one.facts.title for one in all_results)], body)
