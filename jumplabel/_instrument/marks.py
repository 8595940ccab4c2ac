"""What a mark says: which statements of a module are for sites, and what each site is for.

A mark is a global with a name that no source can have. mark_statements.py puts marks into syntax trees. What is here
is needed wherever marked code runs, and needs neither syntax trees nor symbol tables.
"""

from typing import NamedTuple

PREFIX = "jumplabel: "

ASSERTS = f"{PREFIX}asserts"


NO_LINE = 1 << 28
"""Behind all lines of a source."""


class Statement(NamedTuple):
    """What a mark says of a logging statement or guard."""

    logger: tuple[str, ...]
    """The global or closure variable, and its attributes."""
    method: str
    level: int | tuple[str, ...] | None
    """Of `log` and `isEnabledFor`: a number, or where it is found, as the logger is."""
    free: bool = False
    """Whether the variable is a closure's."""

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
