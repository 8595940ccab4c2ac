"""Names of modules, and of keys, by patterns: ``shop.*``."""

import re
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from functools import partial

from jumplabel.errors import PatternError


class Patterns:
    """Shell patterns over dotted names, as fnmatch knows them: ``*`` and ``?`` stand for dots too, ``[ab]`` for a or b.

    patterns  ``shop`` is that name alone, ``shop.*`` all below it, ``*`` everything; ``!shop.vendor.*`` takes names out
              again, wherever it stands among them. One may hold several, with commas between them.
    of_keys   whether the names are those of keys, and may hold anything: one that looks like a pattern is found by
              itself, ``shop.items[0]``, also as a whole, ``a, b``; and in quotes it means nothing else, ``"a, b"``

    Raises PatternError for what is no string, is empty, or only takes out.
    """

    def __init__(self, patterns: Iterable[str], of_keys: bool = False) -> None:
        patterns = tuple(patterns)
        for pattern in patterns:
            if not isinstance(pattern, str):
                raise PatternError(f"a pattern is a string such as 'shop.*', not {pattern!r}")
        self._whole = patterns if of_keys else ()
        split = _QUOTED_OR_NOT.findall if of_keys else partial(str.split, sep=",")
        self._parts_of = {pattern: [part.strip() for part in split(pattern)] for pattern in patterns}
        self.patterns = tuple(part for pattern in patterns for part in self._parts_of[pattern])
        for part in self.patterns:
            if not part.removeprefix("!") or (not of_keys and any(one.isspace() for one in part)):
                raise PatternError(f"{part!r} is no pattern of names, such as 'shop.*', in {', '.join(patterns)!r}")
        if all(part.startswith("!") for part in self.patterns):
            raise PatternError(f"{', '.join(patterns)!r} takes nothing in; '*' is everything")

    def __contains__(self, name: str) -> bool:
        if f"!{name}" in self._whole:
            return False
        return name in self._whole or _takes(name, self.patterns, matches)

    def among(self, names: Iterable[str]) -> list[str]:
        """Those of the names that are meant, all of which are known: what is one of them means no other."""
        names = list(names)
        known = set(names)

        def means(name: str, part: str) -> bool:
            return name == part if part in known else matches(name, part)

        parts: list[str] = []
        for whole in self._parts_of:
            is_name = whole in self._whole and whole.removeprefix("!") in known
            parts += [whole] if is_name else self._parts_of[whole]
        return [name for name in names if _takes(name, parts, means)]

    def names(self, name: str) -> bool:
        """Whether it is there as it is, not only found by a wildcard."""
        return name in self._whole or any(name in (part, _unquoted(part)) for part in self.patterns)

    def that_find(self, name: str) -> list[str]:
        """The parts by which the name is taken in."""
        found = [part for whole in self._whole if whole == name for part in self._parts_of[whole]]
        return found or [part for part in self.patterns if matches(name, part)]

    def __repr__(self) -> str:
        return ", ".join(self.patterns)


_QUOTED_OR_NOT = re.compile(r'(?:^|(?<=,))\s*(?:!?"(?:[^"]|"")*"(?=\s*(?:,|$))|[^,]*)')


def _takes(name: str, parts: Iterable[str], means: Callable[[str, str], bool]) -> bool:
    taken = False
    for part in parts:
        if not part.startswith("!"):
            taken = taken or means(name, part)
        elif means(name, part[1:]):
            return False
    return taken


def _unquoted(part: str) -> str | None:
    """The name in quotes, in which a quote is written twice; None: it is not in quotes."""
    if len(part) > 2 and part.startswith('"') and part.endswith('"'):
        return part[1:-1].replace('""', '"')
    return None


_SIMPLE = re.compile(r"[\w.]*\*?")
"""``shop``, ``shop.*``"""


def matches(name: str, part: str) -> bool:
    """Whether a part that takes in, or what stands behind ``!``, finds the name."""
    if name == part:
        return True
    if _SIMPLE.fullmatch(part):  # as most are; what fnmatch makes of the others takes long
        return part.endswith("*") and name.startswith(part[:-1])
    quoted = _unquoted(part)
    return fnmatchcase(name, part) if quoted is None else name == quoted


OURS = Patterns(["jumplabel", "jumplabel.*"])
"""Our own modules."""
