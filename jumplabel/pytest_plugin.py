"""What the pytest fixture and the marker ``static_keys`` do. pytest_jumplabel.py makes them known to pytest."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from fnmatch import fnmatchcase

import pytest

from jumplabel._engine import lib
from jumplabel._keys.patterns import Patterns
from jumplabel._keys.static_key import StaticKey, keys
from jumplabel._keys.transactions import apply
from jumplabel.errors import JumpLabelError, StaticKeyError

__tracebackhide__ = True  # pytest shows an error of this module at the line of the test

MOST_NAMES = 20
"""How many names at most the message about a wrong name shows."""


class StaticKeys:
    """Keys set for one test, by overrides. These hold whatever users a key has, or gets while the test runs.

    When the test is over, however it ends, the overrides are lifted, newest first. Then each of these keys has as many
    users as when it was set here. So a key that the test turned on and left on is off again. Users that other threads
    have added meanwhile count as the test's. A deferred key does not linger because of that.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()

    def enable(self, *which: str | StaticKey) -> None:
        """Hold these keys on until the test is over.

        which  keys, names, and patterns as ``jumplabel.install`` takes them: ``"shop.*"``, ``"!shop.cache"``

        **Import the modules that make the keys first**: only keys that there are can be set. For a key that is set
        twice the newest setting decides. Some keys cannot be held, as they follow a logger. Where a pattern finds such
        a key, it is left out.

        Raises StaticKeyError for a name or pattern that no key has, and says which names there are. Raises it also for
        a key that cannot be held, for no argument at all, and within a ``batch()``. Raises PatternError for a text that
        is no pattern, and PatchError where sites cannot be rewritten. In each case no key of this call is set.
        """
        self._hold(which, True)

    def disable(self, *which: str | StaticKey) -> None:
        """Hold these keys off until the test is over. Otherwise the same as ``enable``."""
        self._hold(which, False)

    def _hold(self, which: Iterable[str | StaticKey], enabled: bool) -> None:
        found = _find(tuple(which))
        with ExitStack() as stack:
            for key in found:
                users = key.count, _lingers(key)
                stack.enter_context(key.override(enabled))
                stack.callback(_restore, key, *users)  # runs before the override is lifted, so no site sees the change
            self._stack.enter_context(stack.pop_all())


@contextmanager
def set_for(markers: Iterable[pytest.Mark]) -> Iterator[StaticKeys]:
    """Set the keys as these markers say for a block, and restore them. The last marker decides."""
    static_keys = StaticKeys()
    with static_keys._stack:
        for marker in markers:
            wrong = _set(static_keys, marker)
            if wrong:
                pytest.fail(f"{_text(marker)}: {wrong}", pytrace=False)
        yield static_keys


def _set(static_keys: StaticKeys, marker: pytest.Mark) -> JumpLabelError | None:
    """Set the keys as a marker says. Return the error, or None.

    Within one marker, names beat patterns, and ``off`` beats ``on``. As the newest setting decides, those come last.
    """
    try:
        on, off = _arguments(marker)
        for of_patterns in (True, False):
            for which, hold in ((on, static_keys.enable), (off, static_keys.disable)):
                some = [each for each in which if _is_pattern(each) is of_patterns]
                if some:
                    hold(*some)
    except JumpLabelError as error:
        return error
    return None


def _arguments(marker: pytest.Mark) -> tuple[tuple[str | StaticKey, ...], tuple[str | StaticKey, ...]]:
    options = dict(marker.kwargs)
    off = options.pop("off", ())
    off = (off,) if isinstance(off, str | StaticKey) else off
    if options or not isinstance(off, Iterable):
        raise StaticKeyError("it takes names, patterns and keys to hold on, and off= those to hold off, and no more")
    off = tuple(off)
    if not marker.args and not off:
        raise StaticKeyError("it says no key; give names or patterns to hold on, or off= those to hold off")
    return marker.args, off


def _is_pattern(which: object) -> bool:
    return isinstance(which, str) and not set("*?[!,").isdisjoint(which) and all(key.name != which for key in keys())


def _text(marker: pytest.Mark) -> str:
    arguments = [*map(repr, marker.args), *(f"{name}={value!r}" for name, value in marker.kwargs.items())]
    return f"@pytest.mark.{marker.name}({', '.join(arguments)})"


def _lingers(key: StaticKey) -> bool:
    return bool(key._key.until)


def _restore(key: StaticKey, count: int, lingered: bool) -> None:
    if not _is_counted(key):
        return
    more = count - key.count
    steps = [(key, lib.KEY_INC if more > 0 else lib.KEY_DEC)] * abs(more)
    if not lingered:
        steps.append((key, lib.KEY_FLUSH))
    if steps:
        apply(steps)


def _is_counted(key: StaticKey) -> bool:
    """Return whether the key counts its users. The key of a tracepoint does not: it follows its probes."""
    return type(key).inc is StaticKey.inc


def _can_be_held(key: StaticKey) -> bool:
    return type(key).override is StaticKey.override


def _find(which: tuple[str | StaticKey, ...]) -> list[StaticKey]:
    there_are = {key.name: key for key in keys()}
    found: dict[StaticKey, None] = {}
    patterns: list[str] = []
    for each in which:
        if isinstance(each, StaticKey):
            found[each] = None
        elif not isinstance(each, str):
            raise StaticKeyError(f"static_keys takes a key's name, a pattern such as 'shop.*', or a key, not {each!r}")
        elif each in there_are:  # any string is a name, also one that looks like a pattern
            found[there_are[each]] = None
        else:
            patterns.append(each)
    if not which:
        raise StaticKeyError("static_keys sets keys: give their names, patterns such as 'shop.*', or keys")
    for part in (part.strip() for pattern in patterns for part in pattern.split(",")):
        if not part.startswith("!"):
            _check_finds_some(part, there_are)
    if patterns:
        names = Patterns(patterns, of_keys=True)
        found.update((key, None) for name, key in there_are.items() if name in names and _can_be_held(key))
    return list(found)


def _check_finds_some(pattern: str, there_are: dict[str, StaticKey]) -> None:
    matching = [key for name, key in there_are.items() if fnmatchcase(name, pattern)]
    if not matching:
        raise StaticKeyError(f"no StaticKey is called, or matches, {pattern!r}; {_names(pattern, list(there_are))}")
    if not any(map(_can_be_held, matching)):
        raise StaticKeyError(f"{pattern!r} finds only keys that cannot be held, such as {matching[0]!r}")


def _names(wanted: str, there_are: list[str]) -> str:
    if not there_are:
        return "there is no key at all: keys are made by the modules that define them, so import those first"
    if len(there_are) <= MOST_NAMES:
        return f"there are {', '.join(there_are)}"
    nearest = get_close_matches(wanted, there_are, MOST_NAMES, 0)
    return f"of the {len(there_are)} there are, the nearest: {', '.join(nearest)}"
