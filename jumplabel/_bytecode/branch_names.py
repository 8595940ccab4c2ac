"""Sites of a key whose name stands for something else: they are ordinary tests, until it stands for the key again.

``mock.patch.object(shop, "tracing", True)``, ``monkeypatch.setattr``, ``del shop.tracing``, ``shop.tracing = other``:
from CPython 3.12 on the dicts are watched by which a site's key was found (csrc/cpython/dict_watch.h). A site has a
second way to load what its test begins with (tests_become_sites.py). In the middle of the change of a name, C leads
the site there. Soon after it Python looks, here, and has the site follow its key again where the name stands for that.

A site without the room for that (the code that it skips has more than 255 units) leads, soon after the change, to where
a plain value leads, such as True or None. It follows its key where the name stands for any other object.
"""

from collections.abc import Mapping
from types import CodeType, FunctionType
from typing import Any

from jumplabel._bytecode.code_objects import CodeRef, lead_branches
from jumplabel._bytecode.find_tests import Path
from jumplabel._bytecode.scope import Scope, attribute_of, is_key
from jumplabel._bytecode.tests_become_sites import Plan
from jumplabel._keys.static_key import StaticKey, address
from jumplabel._program import looks, name_watch
from jumplabel._program.looks import NOT_FOUND
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401
from jumplabel._program.unseen import Unseen

_Sites = list[tuple[int, int]]
"""The unit, and the argument by which it leads to the ordinary test."""

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
"""The values of these types are true, or false, for good."""


class _Code:
    """A code object whose sites are tests of names, as long as it lives. There may be very many."""

    __slots__ = ("code", "names", "roots", "sites", "without")

    def __init__(
        self, code: CodeType, sites: dict[Path, tuple[int, _Sites]], without: dict[Path, list[tuple[int, int, int]]]
    ) -> None:
        self.code = CodeRef(code, _gone)
        self.code.number = id(code)
        self.sites = sites
        """With the address of the key that was found at the path."""
        self.without = without or _NOTHING
        """Sites without an ordinary test: the unit, and the arguments by which they lead to off and to on."""
        self.roots: tuple[tuple[int, int], ...] = ()
        """The numbers of the dicts of globals and builtins of the functions that have this code."""
        self.names: tuple[tuple[int, str], ...] = ()
        """Dicts and names in them that are watched for it."""

    def is_of_its_key(self, path: Path) -> bool:
        """Whether the path leads to the key, in all functions. From now on changes on this way are heard of."""
        return all([is_key(found) and address(found) == self.sites[path][0] for found in self._found(path)])

    def lead_away(self, code: CodeType, path: Path) -> None:
        """Have the sites be what their names stand for."""
        found = self._found(path)
        sites = list(self.sites[path][1])
        without = self.without.get(path, ())
        if all(type(each) in _PLAIN for each in found) and len({bool(each) for each in found}) == 1:
            sites += [(unit, on if found[0] else off) for unit, off, on in without]
        elif without:  # they may lead to where a plain value led
            following = [(code, [(unit, off) for unit, off, _ in without])]
            while not name_watch.follow_again(name_watch.changes(), following):
                pass  # the name has changed meanwhile, which is settled again
        lead_branches(code, sites)

    def units(self, path: Path) -> _Sites:
        """All its sites, to follow their key again."""
        return self.sites[path][1] + [(unit, off) for unit, off, _ in self.without.get(path, ())]

    def _found(self, path: Path) -> list[Any]:
        try:
            return [self._find(root, path) for root in self.roots]
        except (AttributeError, TypeError):  # the garbage collector has taken a module or class on the way apart
            return [NOT_FOUND]

    def _find(self, root: tuple[int, int], path: Path) -> Any:
        _, name, *attributes = path
        found: Any = NOT_FOUND
        for number in root:
            in_dict = name_watch.places.get(number)
            if in_dict is not None:  # or the dict is no more
                self._watch(number, in_dict, name, path)
            if looked := name_watch.look(number, name):
                (found,) = looked
                break
        for one in attributes:
            for holder in looks.attribute(found, one)[1]:
                number = name_watch.watch_dict(holder)
                self._watch(number, name_watch.places.setdefault(number, {}), one, path)
            found = attribute_of(found, one)
        return found

    def _watch(self, number: int, in_dict: dict[str, dict[int, Any]], name: str, path: Path) -> None:
        sites = self.sites[path][1]
        codes = in_dict.get(name)
        if codes is None:
            name_watch.note(name)
            codes = in_dict.setdefault(name, {})
        known = codes.get(self.code.number)
        if known is None or known[0] is not self.code:
            codes[self.code.number] = self.code, sites
            self.names = _same("names", (*self.names, (number, name)))
        elif known[1] is not sites:  # several paths by one name
            codes[self.code.number] = self.code, [*known[1], *(site for site in sites if site not in known[1])]


_NOTHING: dict[Path, list[tuple[int, int, int]]] = {}
_last: dict[str, tuple[Any, ...]] = {}


def _same(what: str, value: tuple[Any, ...]) -> Any:
    """The value, or its equal that was here before: functions of one module have the same roots, and few names."""
    last = _last.get(what)
    if last != value:
        last = _last[what] = value
    return last


_codes: dict[int, _Code] = {}
"""By id."""


def watch(function: FunctionType, code: CodeType, plan: Plan, keys: Mapping[Path, StaticKey]) -> None:
    """Have the sites of a function's new code, and of what is within it, be ordinary while their names are others'.

    plan  by which the code was made of the function's present one
    keys  what was found at the paths
    """
    scope = Scope.of(function)
    if name_watch.HEARS_ALL and type(scope.variables) is type(scope.builtins) is dict:
        root = tuple(map(name_watch.watch_dict, (scope.variables, scope.builtins)))
        _watch(root, code, function.__code__, plan, keys)


def _watch(root: Any, code: CodeType, old: CodeType, plan: Plan, keys: Mapping[Path, StaticKey]) -> None:
    for i, inner in plan.within.items():
        _watch(root, code.co_consts[i], old.co_consts[i], inner, keys)
    if plan.snapshot:
        return
    known = _known(code)
    if known is None:
        before = _known(old)  # made by a plan, too
        sites = {path: (key, list(some)) for path, (key, some) in before.sites.items()} if before is not None else {}
        without = {path: list(some) for path, some in before.without.items()} if before is not None else {}
        for site, path, _ in plan.sites:
            if site.unit not in plan.ordinary:
                continue
            of_path = sites.setdefault(path, (address(keys[path]), []))[1]
            argument = plan.ordinary[site.unit]
            if argument is None:
                without.setdefault(path, []).append((site.unit, site.off, site.on))
            else:
                of_path.append((site.unit, argument))
        if not sites:
            return
        known = _codes[id(code)] = _Code(code, sites, without)
    if root not in known.roots:
        _add_root(known, code, root)


def copy(old: CodeType, new: CodeType) -> None:
    """Watch the names of a copy with the same sites. No thread runs the copy yet."""
    before = _known(old)
    if before is None:
        return
    known = _codes[id(new)] = _Code(new, before.sites, before.without)
    for root in before.roots:
        _add_root(known, new, root)


def _known(code: CodeType) -> _Code | None:
    known = _codes.get(id(code))
    return known if known is not None and known.code() is code else None


def _add_root(known: _Code, code: CodeType, root: tuple[int, int]) -> None:
    for number in root:
        if number not in name_watch.places:
            name_watch.places[number] = {}
    known.roots = _same("roots", (*known.roots, root))
    for path in known.sites:
        if not known.is_of_its_key(path):  # it has changed since it was looked up
            known.lead_away(code, path)


def _forget(reference: Any) -> None:
    known = _codes.get(reference.number)
    if known is None or known.code is not reference:
        return
    del _codes[reference.number]
    for in_dict, name in known.names:
        codes = name_watch.places.get(in_dict, {}).get(name, {})
        codes.pop(reference.number, None)
        if not codes:
            name_watch.places.get(in_dict, {}).pop(name, None)


_gone = Unseen(_forget)


def _settle() -> None:
    """Names have changed, and their sites are ordinary tests. Those whose names stand for their keys follow them."""
    while name_watch.away:
        numbers = list(name_watch.away)
        done = False
        try:
            name_watch.away.difference_update(numbers)  # first: what is led away from here on is added again
            before = name_watch.changes()
            back = []
            for known in [_codes[number] for number in numbers if number in _codes]:
                code = known.code()
                if code is None:
                    continue
                same = [path for path in known.sites if known.is_of_its_key(path)]
                for path in known.sites.keys() - same:
                    known.lead_away(code, path)
                back.append((code, [site for path in same for site in known.units(path)]))
            done = name_watch.follow_again(before, back)
        finally:
            if not done:
                name_watch.away.update(numbers)


name_watch.listeners.settle_branches = _settle
