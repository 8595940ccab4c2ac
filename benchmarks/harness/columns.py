"""The parts of a question to the benchmarks. questions.py lists the questions."""

from typing import NamedTuple

STATES = ("off", "on")


class Column(NamedTuple):
    """One way of measuring a question's rows."""

    heading: str
    rows: dict[str, str]
    """By a row's label in tables, its name in the script. ``{}`` stands for off and on."""
    references: tuple[str, ...] = ()
    """The rows by which all rows are divided. Charts use the first."""
    others: str | None = None
    """A regular expression for rows that are not named here, with a group ``what`` and maybe a group ``state``."""
    shares: bool = False
    """The script's values are ratios: it measured the row and the reference in turns."""
    given: dict[str, float] | None = None
    """Shares by definition. One of them is 1."""

    @property
    def usual(self) -> str:
        """The row that counts as 1 in charts."""
        return self.references[0] if self.references else next(row for row, n in (self.given or {}).items() if n == 1)


class Question(NamedTuple):
    script: str
    slug: str
    """The question's name in the names of files."""
    title: str
    note: str
    """Explains the figures."""
    columns: tuple[Column, ...]
    ours: tuple[str, ...]
    floor: tuple[str, ...] = ()
    """The lower bounds. They do less than the question asks for, so they are no alternatives."""
    axis: str = ""
    """The text under a chart's axis. Empty: the time as a multiple of the usual row's."""
