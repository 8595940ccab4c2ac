"""Marks: the names in marked code that say what each site is for.

A mark is a global with a name that no source can have. mark_statements.py puts marks into syntax trees. Every process
that runs marked code imports this file. So it imports neither syntax trees nor symbol tables.
"""

from typing import NamedTuple

PREFIX = "jumplabel: "

ASSERTS = f"{PREFIX}asserts"


NO_LINE = 1 << 28
"""A line number beyond the last line of any source."""


class Statement(NamedTuple):
    """A logging statement or guard, as its mark describes it."""

    logger: tuple[str, ...]
    """The name of the global or closure variable, then those of the attributes that lead to the logger."""
    method: str
    level: int | tuple[str, ...] | None
    """The level of `log` and `isEnabledFor`: a number, or the names that lead to it. None: the method has its own."""
    free: bool = False
    """The variable is a closure's."""

    @property
    def mark(self) -> str:
        level = ".".join(self.level) if isinstance(self.level, tuple) else "" if self.level is None else self.level
        return f"{PREFIX}{'closure' if self.free else 'logging'} {'.'.join(self.logger)} {self.method} {level}".rstrip()

    @classmethod
    def of(cls, mark: str) -> "Statement":
        kind, logger, method, *level = mark.removeprefix(PREFIX).split(" ")
        return cls(tuple(logger.split(".")), method, _level(level[0]) if level else None, kind == "closure")


def is_mark(name: str) -> bool:
    return name.startswith(PREFIX)


def is_of_a_closure(mark: str) -> bool:
    return mark.startswith(f"{PREFIX}closure ")


def _level(text: str) -> int | tuple[str, ...]:
    return int(text) if text.lstrip("-").isdigit() else tuple(text.split("."))
