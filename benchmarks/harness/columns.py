"""What a question to the benchmarks is made of; questions.py asks them."""

from typing import NamedTuple

STATES = ("off", "on")


class Column(NamedTuple):
    """One way in which a question's rows were measured."""

    heading: str
    rows: dict[str, str]
    """What a table calls a row, and its name in the script, with ``{}`` for off and on where it has both."""
    references: tuple[str, ...] = ()
    """The rows that all are divided by; charts take the first."""
    others: str | None = None
    """A regular expression for names that nobody foresaw, with a group ``what`` and maybe ``state``."""
    shares: bool = False
    """The values are ratios already: shares of something that was measured in turns with the row itself."""
    given: dict[str, float] | None = None
    """Shares that are so by definition; one of them is 1."""

    @property
    def usual(self) -> str:
        """The row that is 1 in charts."""
        return self.references[0] if self.references else next(row for row, n in (self.given or {}).items() if n == 1)


class Question(NamedTuple):
    script: str
    slug: str
    """In the names of files."""
    title: str
    note: str
    """What the figures are."""
    columns: tuple[Column, ...]
    ours: tuple[str, ...]
    floor: tuple[str, ...] = ()
    """The least that can be had: nobody who needs an answer to the question can take these."""
    axis: str = ""
    """What a chart says under its axis; empty: the time over that of the row that is 1."""
