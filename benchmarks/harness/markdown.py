"""Tables, pictures and figures in Markdown. The columns of tables are aligned, for readers at a terminal."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from .columns import STATES
from .lookup import NO_STATE, Values


def table(headings: Sequence[str], body: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table: the first column aligned left, the others right."""
    rows = [[text.replace("|", "\\|") for text in row] for row in (headings, *body)]
    widths = [max(3, *map(len, cells)) for cells in zip(*rows, strict=True)]
    dashes = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    yield _line(rows[0], widths)
    yield _line(dashes, widths)
    for row in rows[1:]:
        yield _line(row, widths)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))]
    return f"| {' | '.join(cells)} |"


def picture(title: str, file: str) -> str:
    return f"![{title}]({file})"


def plain(text: str) -> str:
    """Return the text without Markdown's marks for code."""
    return text.replace("`", "")


# ---- figures ----


def cell(values: Values, shown: Callable[[float], str]) -> str:
    """Return a row's only figure, or ``off / on``. A missing one is a question mark."""
    if NO_STATE in values and len(values) == 1:
        return shown(values[NO_STATE])
    return " / ".join(shown(values[state]) if state in values else "?" for state in STATES)


def ratio(value: float) -> str:
    """Return two decimals for a ratio near 1, more below 0.1, fewer from 10 on."""
    if value == 0:
        return "0"
    return f"{value:,.{3 if value < 0.0995 else 2 if value < 9.995 else 1 if value < 99.95 else 0}f}"


def digits(value: float) -> str:
    """Return three digits, or all before the point. A narrowly missed target still looks missed."""
    return f"{value:,.{3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0}f}"


def duration(seconds: float) -> str:
    """Return three digits in the unit that fits."""
    units = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9))
    unit, size = next((one for one in units if seconds >= 0.9995 * one[1]), units[-1])
    value = seconds / size
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {unit}"
