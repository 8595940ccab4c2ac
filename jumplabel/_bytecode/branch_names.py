"""Sites of a key whose name stands for something else: they are ordinary tests, until it stands for the key again.

``mock.patch.object(shop, "tracing", True)``, ``monkeypatch.setattr``, ``del shop.tracing``, ``shop.tracing = other``:
from CPython 3.12 on the dicts are watched by which a site's key was found. A site has a second way to load what its
test begins with (tests_become_sites.py). In the middle of the change of a name, C leads the site there. Soon after it
Python looks, here, and has the site follow its key again where the name stands for that.

Nothing is kept here: csrc/cpython/named_sites.h knows which code follows names in which dicts.

A site without the room for an ordinary test (the code that it skips has more than 255 units) leads, soon after the
change, to where a plain value leads, such as True or None. It follows its key where the name stands for any other
object.
"""

from collections.abc import Iterable, Mapping
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from jumplabel._bytecode.find_tests import Path
from jumplabel._bytecode.scope import attribute_of, is_key
from jumplabel._bytecode.tests_become_sites import Ordinary, Plan
from jumplabel._keys.static_key import StaticKey, address
from jumplabel._program import looks, name_watch
from jumplabel._program.looks import NOT_FOUND
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401

_Space = dict[str, Any]
_Leads = list[tuple[int, int]]
"""Units, and the arguments by which the sites there are to lead."""

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
"""The values of these types are true, or false, for good."""


class _Site(NamedTuple):
    path: Path
    key: int
    """The address of the key that was found there."""
    unit: int
    ordinary: int
    off: int
    on: int


class _Follower(NamedTuple):
    """A code object whose sites are tests of names."""

    code: CodeType
    roots: list[tuple[_Space, _Space]]
    """Globals and builtins of the functions that have this code."""
    sites: list[_Site]

    @classmethod
    def of(cls, number: int) -> "_Follower | None":
        """The one with this id()."""
        known = name_watch.followed(number)
        if known is None:
            return None
        code, spaces, sites = known
        return cls(code, list(zip(spaces[::2], spaces[1::2], strict=True)), [_Site(*site) for site in sites])

    def lead(self) -> _Leads:
        """Have sites be what their names stand for. Return the others, which are to follow their keys.

        From now on changes on the ways to all of them are heard of.
        """
        found = {path: self._found(path) for path in dict.fromkeys(site.path for site in self.sites)}
        follow: _Leads = []
        away: _Leads = []
        forget: _Leads = []
        for site in self.sites:
            values = found[site.path]
            if values and all(is_key(value) and address(value) == site.key for value in values):
                follow.append((site.unit, site.off))
            elif site.ordinary:
                away.append((site.unit, site.ordinary))
            elif all(type(value) in _PLAIN for value in values) and len({bool(value) for value in values}) == 1:
                away.append((site.unit, site.on if values[0] else site.off))
            else:  # it may lead to where a plain value led
                forget.append((site.unit, site.off))
        name_watch.lead_branches(self.code, away)
        while not name_watch.follow_again(name_watch.changes(), [(self.code, forget)]):
            pass  # the name has changed meanwhile, which is settled again
        return follow

    def _found(self, path: Path) -> list[Any]:
        return [_find(self.code, *root, path) for root in self.roots]


def _find(code: CodeType, variables: _Space, builtins: _Space, path: Path) -> Any:
    """What the path leads to, or NOT_FOUND. From now on the code hears of changes on the way."""
    _, name, *attributes = path
    found = variables.get(name, NOT_FOUND)
    if found is NOT_FOUND:
        name_watch.follow_also(code, builtins)
        found = builtins.get(name, NOT_FOUND)
    try:
        for one in attributes:
            for holder in looks.attribute(found, one)[1]:
                name_watch.follow_also(code, holder)
            found = attribute_of(found, one)
    except (AttributeError, TypeError):  # the garbage collector has taken a module or class on the way apart
        return NOT_FOUND
    return found


def watch(function: FunctionType, code: CodeType, plan: Plan, found: Mapping[Path, StaticKey]) -> None:
    """Have the sites of a function's new code, and of what is within it, be ordinary while their names are others'.

    plan   by which the code was made of the function's present one
    found  what was found at the paths
    """
    variables, builtins = function.__globals__, function.__builtins__
    if name_watch.HEARS_ALL and type(variables) is type(builtins) is dict:
        _watch(variables, builtins, code, plan, found)


def _watch(variables: _Space, builtins: _Space, code: CodeType, plan: Plan, found: Mapping[Path, StaticKey]) -> None:
    for i, inner in plan.within.items():
        _watch(variables, builtins, code.co_consts[i], inner, found)
    if plan.snapshot or not plan.ordinary:
        return
    # A site that was there before may be of the same path, and another key.
    known = {} if plan.carries else found
    if others := name_watch.follow(code, variables, builtins, known):
        _look(code, variables, builtins, others, known)


def _look(
    code: CodeType, variables: _Space, builtins: _Space, paths: Iterable[Path], known: Mapping[Path, StaticKey]
) -> None:
    """Have sites be what their names stand for, unless the paths lead to what is known."""
    if all([_find(code, variables, builtins, path) is known.get(path) for path in paths]):
        return
    follower = _Follower.of(id(code))
    if follower is not None:
        follower.lead()  # the others follow their keys, or are settled


def of(code: CodeType) -> dict[int, Ordinary]:
    """How the code's sites become ordinary tests, by their units."""
    follower = _Follower.of(id(code)) if name_watch.HEARS_ALL else None
    return {site.unit: Ordinary(site.ordinary, site.path) for site in follower.sites} if follower is not None else {}


def follow_copy(new: CodeType, old: CodeType) -> None:
    """Have the sites of a copy be ordinary while their names are others', as those of the old code are.

    The copy's sites were made with what of() says of the old code.
    """
    follower = _Follower.of(id(old)) if name_watch.HEARS_ALL else None
    for variables, builtins in follower.roots if follower is not None else ():
        if others := name_watch.follow(new, variables, builtins, {}):
            _look(new, variables, builtins, others, {})


def _settle() -> None:
    """Names have changed, and their sites are ordinary tests. Those whose names stand for their keys follow them."""
    while name_watch.away:
        numbers = list(name_watch.away)
        done = False
        try:
            name_watch.away.difference_update(numbers)  # first: what is led away from here on is added again
            before = name_watch.changes()
            followers = [follower for number in numbers if (follower := _Follower.of(number)) is not None]
            done = name_watch.follow_again(before, [(follower.code, follower.lead()) for follower in followers])
        finally:
            if not done:
                name_watch.away.update(numbers)


name_watch.listeners.settle_branches = _settle
