"""Sites of a key whose name stands for something else: they are ordinary tests, until it stands for the key again.

``mock.patch.object(shop, "tracing", True)``, ``monkeypatch.setattr``, ``del shop.tracing``, ``shop.tracing = other``:
from CPython 3.12 on the dicts are watched by which a site's key was found (csrc/dict_watch.h). A site has a second way
to load what its test begins with (rewriting.py). In the middle of the change of a name, C leads the site there. Soon
after it Python looks, here, and has the site follow its key again where the name stands for that.
"""

from collections.abc import Mapping
from types import CodeType, FunctionType
from typing import Any
from weakref import ref

from jumplabel import name_watch
from jumplabel.code_objects import lead_branches
from jumplabel.keys import StaticKey, address
from jumplabel.reading import Path
from jumplabel.rewriting import Plan
from jumplabel.scope import NOT_FOUND, Scope, is_key
from jumplabel.scope import _attribute as attribute

_Sites = list[tuple[int, int]]
"""The unit, and the argument by which it leads to the ordinary test."""


class _Code:
    """A code object whose sites are tests of names, as long as it lives."""

    def __init__(self, code: CodeType) -> None:
        number = id(code)
        self.code = ref(code, lambda _: _forget(number))
        self.sites: dict[Path, _Sites] = {}
        self.addresses: dict[Path, int] = {}
        """Of the keys."""
        self.roots: set[tuple[int, int]] = set()
        """The numbers of the dicts of globals and builtins of the functions that have this code."""
        self.names: set[tuple[int, str]] = set()
        """Dicts and names in them that are watched for it."""

    def is_of_its_key(self, path: Path) -> bool:
        """Whether the path leads to the key, in all functions. From now on changes on this way are heard of."""
        return all([self._finds_its_key(root, path) for root in self.roots])

    def _finds_its_key(self, root: tuple[int, int], path: Path) -> bool:
        _, name, *attributes = path
        found: Any = NOT_FOUND
        for number in root:
            self._watch(number, name_watch.places.get(number, {}), name, path)  # not there: the dict is no more
            if looked := name_watch.look(number, name):
                (found,) = looked
                break
        for one in attributes:
            for holder, part in name_watch._attribute(found, one)[1]:
                number = name_watch.watch_dict(holder)
                self._watch(number, name_watch.places.setdefault(number, {}), part, path)
            found = attribute(found, one)
        return is_key(found) and address(found) == self.addresses[path]

    def _watch(self, number: int, in_dict: dict[str, dict[int, Any]], name: str, path: Path) -> None:
        name_watch.note(name)
        codes = in_dict.setdefault(name, {})
        self.names.add((number, name))
        _, sites = codes.setdefault(id(self.code()), (self.code, []))
        sites += [site for site in self.sites[path] if site not in sites]


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
        known = _Code(code)
        before = _known(old)
        if before is not None:  # made by a plan, too
            known.sites.update(before.sites)
            known.addresses.update(before.addresses)
        for site, path, _ in plan.sites:
            if site.unit in plan.ordinary:
                known.sites[path] = [*known.sites.get(path, ()), (site.unit, plan.ordinary[site.unit])]
                known.addresses[path] = address(keys[path])
        if not known.sites:
            return
        _codes[id(code)] = known
    if root not in known.roots:
        _add_root(known, code, root)


def copy(old: CodeType, new: CodeType) -> None:
    """The same of a copy with the same sites, which nobody runs yet."""
    before = _known(old)
    if before is None:
        return
    known = _codes[id(new)] = _Code(new)
    known.sites.update(before.sites)
    known.addresses.update(before.addresses)
    for root in before.roots:
        _add_root(known, new, root)


def _known(code: CodeType) -> _Code | None:
    known = _codes.get(id(code))
    return known if known is not None and known.code() is code else None


def _add_root(known: _Code, code: CodeType, root: tuple[int, int]) -> None:
    for number in root:
        name_watch.places.setdefault(number, {})
    known.roots.add(root)
    for path, sites in known.sites.items():
        if not known.is_of_its_key(path):  # it has changed since it was looked up
            lead_branches(code, sites)


def _forget(number: int) -> None:
    known = _codes.pop(number, None)
    for in_dict, name in known.names if known else ():
        codes = name_watch.places.get(in_dict, {}).get(name, {})
        codes.pop(number, None)
        if not codes:
            name_watch.places.get(in_dict, {}).pop(name, None)


def _settle() -> None:
    """Names have changed, and their sites are ordinary tests. Those whose names stand for their keys follow them."""
    while name_watch.away:
        before = name_watch.changes()
        numbers = list(name_watch.away)
        back = []
        for known in [_codes[number] for number in numbers if number in _codes]:
            code = known.code()
            if code is None:
                continue
            same = [path for path in known.sites if known.is_of_its_key(path)]
            lead_branches(code, [site for path in known.sites if path not in same for site in known.sites[path]])
            back.append((code, [site for path in same for site in known.sites[path]]))
        if name_watch.follow_again(before, back):
            name_watch.away.difference_update(numbers)


name_watch.listeners.settle_branches = _settle
