"""The charts of a measurement: which there are, and what each shows. drawing.py draws them."""

from pathlib import Path

from . import drawing
from .columns import Question
from .lookup import Measured, Rows, compared
from .markdown import duration, plain, ratio
from .overview import overview
from .reporting import Results, slug_of

FULL_LABELS = {
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
"""Labels in charts, by a question's slug and its row's label. A reader of a chart may have read nothing else."""


OFF = "off"
"""The slug of the overview chart, which shows what code costs while it is off."""


def draw_all(folder: Path, results: Results) -> dict[str, str]:
    """Draw all charts of an interpreter.

    Returns their files, relative to the folder's parent, by the slugs of questions and curves.
    """
    small = results.facts.short()
    drawn: dict[str, str] = {}

    def stem(slug: str) -> Path:
        drawn[slug] = f"{folder.name}/{slug}-{results.facts.tag}.svg"
        return folder / f"{slug}-{results.facts.tag}"

    panels = [_panel(question, group.title, rows, group.usual) for group, rows, question in overview(results.questions)]
    if panels:
        drawing.bars(
            stem(OFF),
            "What code costs while it is switched off",
            panels,
            subtitle="Each group as a multiple of what is usual today (= 1). Hollow marks: when it is on.",
            axis="cost as a multiple of what is usual",
            small_print=small,
            shown=ratio,
        )
    for one in results.questions:
        panels = _panels(one)
        if panels:
            drawing.bars(
                stem(one.question.slug),
                plain(one.question.title),
                panels,
                axis=one.question.axis or f"time as a multiple of that of: {panels[0].usual}",
                small_print=small,
                shown=ratio,
            )
    for curve in results.curves:
        drawing.curve(
            stem(slug_of(curve)),
            curve.title,
            curve.x_label,
            "" if curve.y_label == "seconds" else curve.y_label,
            curve.series,
            small_print=small,
            y_shown=duration if curve.y_label == "seconds" else None,
        )
    return drawn


def _panels(one: Measured) -> list[drawing.Panel]:
    """Return a panel for each column. A column whose reference was not measured has none."""
    question, panels = one.question, []
    for column, rows in zip(question.columns, one.columns, strict=True):
        values = compared(column, rows)
        if values:
            panels.append(_panel(question, plain(column.heading), values, column.usual))
    return panels


def _panel(question: Question, title: str, rows: Rows, usual: str) -> drawing.Panel:
    def full(label: str) -> str:
        return FULL_LABELS.get((question.slug, label), label)

    return drawing.Panel(
        title,
        {full(label): values for label, values in rows.items()},
        [full(label) for label in question.ours],
        [full(label) for label in question.floor],
        full(usual),
    )
