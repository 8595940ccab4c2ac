"""Names of modules, and of keys, by patterns: ``shop.*``."""

import re
from collections.abc import Callable, Iterable
from fnmatch import translate

from jumplabel.errors import PatternError


class Patterns:
    """Shell patterns over dotted names, as fnmatch knows them: ``*`` and ``?`` stand for dots too, ``[ab]`` for a or b.

    patterns  ``shop`` is that name alone, ``shop.*`` all below it, ``*`` everything; ``!shop.vendor.*`` takes names out
              again, wherever it stands among them. One may hold several, with commas between them.

    Raises PatternError for what is no string, is empty, or only takes out.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        patterns = tuple(patterns)
        for pattern in patterns:
            if not isinstance(pattern, str):
                raise PatternError(f"a pattern is a string such as 'shop.*', not {pattern!r}")
        self.patterns = tuple(part.strip() for pattern in patterns for part in pattern.split(","))
        for part in self.patterns:
            if not part.removeprefix("!") or any(character.isspace() for character in part):
                raise PatternError(f"{part!r} is no pattern of names, such as 'shop.*', in {', '.join(patterns)!r}")
        self._in = _one_of([part for part in self.patterns if not part.startswith("!")])
        self._out = _one_of([part[1:] for part in self.patterns if part.startswith("!")])
        if not self._in:
            raise PatternError(f"{', '.join(patterns)!r} takes nothing in; '*' is everything")

    def __contains__(self, name: str) -> bool:
        return bool(self._in and self._in(name)) and not (self._out and self._out(name))

    def __repr__(self) -> str:
        return ", ".join(self.patterns)


def _one_of(patterns: list[str]) -> Callable[[str], object] | None:
    """Return what matches a name with any of the patterns. None: there is none."""
    return re.compile("|".join(map(translate, patterns))).match if patterns else None


OURS = Patterns(["jumplabel", "jumplabel.*"])
"""Our own modules."""
