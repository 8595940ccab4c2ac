"""What is instrumented, and which keys start on, as a process starts: JUMPLABEL_INSTRUMENT and JUMPLABEL_ENABLE.

Read when the package is imported. jumplabel.pth, beside the package, has ``site`` import it before the program begins
where JUMPLABEL_INSTRUMENT is set (keys are made by those who import the package anyway). As Python's own variables,
they count for nothing under ``python -E`` and ``-I``.

======================== =============================================================================================
JUMPLABEL_INSTRUMENT     patterns of modules, ``shop,shop.*``; before a colon, what is wanted of them: ``logging``,
                         ``asserts``, ``keys`` (none of these: all three) and ``only-pure``; several groups with ``;``
                         between them: ``logging,asserts:shop.*;keys:shop.cart``
JUMPLABEL_ENABLE         patterns of keys: ``shop.tracing,asserts.shop.*``
======================== =============================================================================================
"""

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from jumplabel.errors import PatternError, SettingError
from jumplabel.patterns import Patterns
from jumplabel.starting import Starting

INSTRUMENT = "JUMPLABEL_INSTRUMENT"
ENABLE = "JUMPLABEL_ENABLE"

KINDS = ("logging", "asserts", "keys")
WHAT = (*KINDS, "only-pure")


@dataclass(frozen=True)
class Group:
    """What ``install()`` is called with.

    what      some of WHAT; none of KINDS among it: all of them
    patterns  of modules

    Raises PatternError for a pattern that is none.
    """

    what: frozenset[str]
    patterns: tuple[str, ...]

    def __post_init__(self) -> None:
        for part in Patterns(self.patterns).patterns:
            if ":" in part or ";" in part:
                raise PatternError(f"{part!r} is no pattern of names of modules, such as 'shop.*'")

    def install(self) -> None:
        import jumplabel  # which imports us

        kinds = self.what.intersection(KINDS) or KINDS
        jumplabel.install(*self.patterns, **{kind: kind in kinds for kind in KINDS}, only_pure="only-pure" in self.what)

    def __str__(self) -> str:
        what = ",".join(name for name in WHAT if name in self.what)
        return f"{what}:{','.join(self.patterns)}" if what else ",".join(self.patterns)


def start(environment: Mapping[str, str] = os.environ) -> None:
    """Do what the variables say. Raises SettingError for a wrong value, before it has done anything."""
    if sys.flags.ignore_environment:
        return
    groups = read_groups(environment.get(INSTRUMENT, ""))
    enable = environment.get(ENABLE, "")
    if enable.strip():
        try:
            patterns = Patterns([enable], of_keys=True)
        except PatternError as error:
            raise SettingError(
                f"{ENABLE}={enable!r}: set it to patterns of names of keys, such as 'shop.tracing,asserts.*', or not "
                f"at all; {error}"
            ) from None
        Starting(patterns)
    for group in groups:
        group.install()


def read_groups(text: str) -> list[Group]:
    """Of JUMPLABEL_INSTRUMENT."""
    try:
        return [_read_group(part) for part in text.split(";")] if text.strip() else []
    except PatternError as error:
        raise SettingError(
            f"{INSTRUMENT}={text!r}: set it to patterns of names of modules, such as 'shop,shop.*', with some of "
            f"{', '.join(WHAT)} before a colon, 'logging,asserts:shop.*', or not at all; {error}"
        ) from None


def _read_group(text: str) -> Group:
    before, colon, patterns = text.rpartition(":")
    what = [part.strip() for part in before.split(",")] if colon else []
    for name in what:
        if name not in WHAT:
            raise PatternError(f"{name!r} is none of {', '.join(WHAT)}")
    return Group(frozenset(what), (patterns.strip(),))


def for_children(groups: Iterable[Group], enable: Iterable[str]) -> None:
    """Add to the variables, so that the Pythons which this process starts do the same."""
    _add(INSTRUMENT, ";", map(str, groups))
    _add(ENABLE, ",", enable)


def _add(name: str, separator: str, values: Iterable[str]) -> None:
    parts = [part for part in (os.environ.get(name, ""), *values) if part.strip()]
    if parts:
        os.environ[name] = separator.join(dict.fromkeys(separator.join(parts).split(separator)))
