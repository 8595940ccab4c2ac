"""JUMPLABEL_INSTRUMENT and JUMPLABEL_ENABLE: what is instrumented, and which keys start on, when a process starts.

The variables are read when the package is imported. With JUMPLABEL_INSTRUMENT set, jumplabel.pth, beside the package,
has ``site`` import the package before the program begins. JUMPLABEL_ENABLE needs no such import: a program that makes
keys imports the package itself. As Python's own variables, both are ignored under ``python -E`` and ``-I``.

======================== =============================================================================================
JUMPLABEL_INSTRUMENT     patterns of modules, ``shop,shop.*``. Before a colon, what becomes sites in them: ``logging``,
                         ``keys``, ``asserts`` or ``asserts-off`` (none of these: logging and keys) and ``only-pure``.
                         Several groups with ``;`` between them: ``logging,asserts:shop.*;keys:shop.cart``
JUMPLABEL_ENABLE         patterns of keys: ``shop.tracing,asserts.shop.*``
======================== =============================================================================================

A variable with a wrong value is left out as a whole, with a SettingWarning.
"""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

from jumplabel._instrument.import_hook import install
from jumplabel._instrument.options import Asserts, Options
from jumplabel._keys.patterns import Patterns
from jumplabel._keys.starting import Starting
from jumplabel._process.settings import left_out
from jumplabel.errors import PatternError, SettingError

INSTRUMENT = "JUMPLABEL_INSTRUMENT"
ENABLE = "JUMPLABEL_ENABLE"

KINDS = ("logging", "asserts", "asserts-off", "keys")
USUAL = frozenset(("logging", "keys"))
"""The kinds of a group that names none of KINDS."""
WHAT = (*KINDS, "only-pure")

_SWITCHES = frozenset("0 1 true false yes no on off all none".split())
"""Values for a variable that is a switch. As patterns they would silently match nothing."""


class _ModuleGroup(NamedTuple):
    what: frozenset[str]
    patterns: tuple[str, ...]


class ModuleGroup(_ModuleGroup):
    """The arguments of one call of ``install()``, in the words of JUMPLABEL_INSTRUMENT.

    what      some of WHAT. Without any of KINDS, the kinds are those of USUAL
    patterns  of names of modules

    Raises PatternError for a wrong pattern, and for assertions that start both on and off.
    """

    __slots__ = ()

    def __init__(self, *_: object) -> None:
        patterns = Patterns(self.patterns)
        refuse_switches(patterns)
        for part in patterns.patterns:
            if ":" in part or ";" in part:
                raise PatternError(f"{part!r} is no pattern of names of modules, such as 'shop.*'")
        if {"asserts", "asserts-off"} <= self.what:
            raise PatternError("take asserts, which start on, or asserts-off, not both")

    @property
    def options(self) -> Options:
        kinds = self.what.intersection(KINDS) or USUAL
        asserts: Asserts = "off" if "asserts-off" in kinds else "asserts" in kinds
        return Options("logging" in kinds, asserts, "keys" in kinds, "only-pure" in self.what)

    def install(self) -> None:
        install(*self.patterns, **self.options._asdict())

    def __str__(self) -> str:
        what = ",".join(name for name in WHAT if name in self.what)
        return f"{what}:{','.join(self.patterns)}" if what else ",".join(self.patterns)


def refuse_switches(patterns: Patterns) -> None:
    """Raise PatternError for a part such as ``1``: it is probably meant to switch something on or off."""
    for part in patterns.patterns:
        name = part.removeprefix("!")
        if name.lower() in _SWITCHES:
            raise PatternError(
                f"{name!r} is no pattern, and no switch: write '*' for all names, or leave it out for none; a name "
                f"that is really {name!r} is '[{name[0]}]{name[1:]}'"
            )


def start(environment: Mapping[str, str] = os.environ) -> None:
    """Do what the variables say. Never raises: warns of a wrong value, and leaves out the variable that has it."""
    if sys.flags.ignore_environment:
        return
    for name, act in ((ENABLE, _enable), (INSTRUMENT, _instrument)):
        text = environment.get(name, "")
        try:
            act(text)
        except SettingError as error:
            left_out(str(error))
        except Exception as error:  # such as MemoryError
            left_out(f"{name}={text!r} is left out: {error!r}")


def _enable(text: str) -> None:
    patterns = read_enabled(text)
    if patterns is not None:
        Starting(patterns)


def _instrument(text: str) -> None:
    for group in read_groups(text):
        group.install()


def read_enabled(text: str) -> Patterns | None:
    """Return the patterns of JUMPLABEL_ENABLE; None for an empty value. Raises SettingError for a wrong value."""
    if not text.strip():
        return None
    try:
        patterns = Patterns([text], of_keys=True)
        refuse_switches(patterns)
        return patterns
    except PatternError as error:
        raise SettingError(
            f"{ENABLE}={text!r} is left out: set it to patterns of names of keys, such as 'shop.tracing,asserts.*', or "
            f"not at all; {error}"
        ) from None


def read_groups(text: str) -> list[ModuleGroup]:
    """Return the groups of JUMPLABEL_INSTRUMENT. Raises SettingError for a wrong value."""
    try:
        return [_read_group(part) for part in text.split(";")] if text.strip() else []
    except PatternError as error:
        raise SettingError(
            f"{INSTRUMENT}={text!r} is left out: set it to patterns of names of modules, such as 'shop,shop.*', with "
            f"some of {', '.join(WHAT)} before a colon, 'logging,asserts:shop.*', or not at all; {error}"
        ) from None


def _read_group(text: str) -> ModuleGroup:
    before, colon, patterns = text.rpartition(":")
    what = [part.strip() for part in before.split(",")] if colon else []
    for name in what:
        if name not in WHAT:
            raise PatternError(f"{name!r} is none of {', '.join(WHAT)}")
    return ModuleGroup(frozenset(what), (patterns.strip(),))


def for_children(groups: Iterable[ModuleGroup], enable: Iterable[str]) -> None:
    """Add to the variables: Pythons that this process starts instrument these groups and enable these keys, too."""
    _add(INSTRUMENT, ";", map(str, groups), read_groups)
    _add(ENABLE, ",", enable, read_enabled)


def _add(name: str, separator: str, values: Iterable[str], read: Callable[[str], object]) -> None:
    """Add values to a variable. A wrong value is dropped: with it the children would leave out the variable."""
    there, ours = os.environ.get(name, ""), list(values)
    if ours:
        with suppress(SettingError):
            read(there)
            ours.insert(0, there)
    parts = [part for part in ours if part.strip()]
    if parts:
        os.environ[name] = separator.join(dict.fromkeys(separator.join(parts).split(separator)))
