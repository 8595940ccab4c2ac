"""Names of modules, and of keys, by patterns: ``shop.*``."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from jumplabel.errors import PatternError


class Patterns:
    """Shell patterns over dotted names, as fnmatch knows them: ``*`` and ``?`` stand for dots too, ``[ab]`` for a or b.

    patterns  ``shop`` is that name alone, ``shop.*`` all below it, ``*`` everything; ``!shop.vendor.*`` takes names out
              again, wherever it stands among them. One may hold several, with commas between them.
    blanks    whether there may be blanks within one, as in names of keys

    A name that looks like a pattern, ``shop.items[0]``, is found by itself, too.

    Raises PatternError for what is no string, is empty, or only takes out.
    """

    def __init__(self, patterns: Iterable[str], blanks: bool = False) -> None:
        patterns = tuple(patterns)
        for pattern in patterns:
            if not isinstance(pattern, str):
                raise PatternError(f"a pattern is a string such as 'shop.*', not {pattern!r}")
        self.patterns = tuple(part.strip() for pattern in patterns for part in pattern.split(","))
        for part in self.patterns:
            if not part.removeprefix("!") or (not blanks and any(one.isspace() for one in part)):
                raise PatternError(f"{part!r} is no pattern of names, such as 'shop.*', in {', '.join(patterns)!r}")
        self._in = [part for part in self.patterns if not part.startswith("!")]
        self._out = [part[1:] for part in self.patterns if part.startswith("!")]
        if not self._in:
            raise PatternError(f"{', '.join(patterns)!r} takes nothing in; '*' is everything")

    def __contains__(self, name: str) -> bool:
        return any(matches(name, part) for part in self._in) and not any(matches(name, part) for part in self._out)

    def among(self, names: Iterable[str]) -> list[str]:
        """Those of the names that are meant, all of which are known: a part that is one of them means no other."""
        names = list(names)
        known = set(names)

        def means(part: str, name: str) -> bool:
            return name == part if part in known else fnmatchcase(name, part)

        return [
            name
            for name in names
            if any(means(part, name) for part in self._in) and not any(means(part, name) for part in self._out)
        ]

    def __repr__(self) -> str:
        return ", ".join(self.patterns)


def matches(name: str, part: str) -> bool:
    return name == part or fnmatchcase(name, part)


OURS = Patterns(["jumplabel", "jumplabel.*"])
"""Our own modules."""
