"""Names of modules, and of keys, by patterns: ``shop.*``."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

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
        self._in = [part for part in self.patterns if not part.startswith("!")]
        self._out = [part[1:] for part in self.patterns if part.startswith("!")]
        if not self._in:
            raise PatternError(f"{', '.join(patterns)!r} takes nothing in; '*' is everything")

    def __contains__(self, name: str) -> bool:
        return any(fnmatchcase(name, part) for part in self._in) and not any(
            fnmatchcase(name, part) for part in self._out
        )

    def __repr__(self) -> str:
        return ", ".join(self.patterns)


OURS = Patterns(["jumplabel", "jumplabel.*"])
"""Our own modules."""
