"""``@static_branches(snapshot=True)``: within one call every key keeps the value that it had when the call began.

A function gets a site of its own, in a trampoline, and one *variant* of its bytecode for each state of its keys, in
which every test of a key goes one way for good. A call looks at no key: the site leads to the variant of the present
state, and a toggle, or a batch of toggles, rewrites that one jump. What is called keeps its variant to the end,
however long a generator or coroutine lasts.

new_code.py makes the variants' code; csrc/cpython/call_site.c leads to them. Here is when they are made, and when they
go.
"""

import itertools
import sys
from functools import update_wrapper
from types import FunctionType
from typing import Any

from jumplabel._bytecode.new_code import Template, template
from jumplabel._keys.static_key import address
from jumplabel._program.functions import full_name, owner
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401
from jumplabel._program.site_types import CallSite, StaticCallable, sealed
from jumplabel._sites.call_sites import lead
from jumplabel.errors import DecorationError, PatchError

MOST_KEYS = 64  # CALL_KEYS in csrc/engine/static_call.h
MOST_VARIANTS = 8
"""Of one function that are kept. There may be as many as there are states, and few are ever needed again."""


_clock = itertools.count(1)


@sealed
class Snapshot(CallSite):
    """What ``static_branches(snapshot=True)`` makes of a function, and stands for it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<static_branches snapshot of {full_name(self)} at {id(self):#x}>"


def snapshot_of(target: Any, strict: bool) -> Any:
    """Raises DecorationError, with nothing changed, for what is no function, and what a snapshot cannot be kept of."""
    if isinstance(target, classmethod | staticmethod):
        inner = snapshot_of(target.__func__, strict)
        return target if inner is target.__func__ else type(target)(inner)
    if type(target) is not FunctionType:
        raise DecorationError(f"static_branches(snapshot=True): {_why_not(target)}")
    made = template(target, strict)
    if made is None:
        _check_wrapped(target)
        return target
    if len(made.keys) > MOST_KEYS:
        raise DecorationError(
            f"static_branches(snapshot=True): {full_name(target)} tests {len(made.keys)} keys, and a snapshot is of at "
            f"most {MOST_KEYS}; divide it into several functions"
        )
    addresses = tuple(map(address, made.keys))
    find = _Variants(target, made).find
    return update_wrapper(Snapshot("snapshot", made.keys, addresses, find, "maker", owner(target), target), target)


def _why_not(target: Any) -> str:
    if isinstance(target, type):
        return f"{full_name(target)} is a class; decorate its methods: each keeps the keys for its own calls"
    if type(target) is Snapshot:
        return f"{target!r} is one already"
    if isinstance(target, StaticCallable):
        return f"{target!r} decides where calls go; put static_{target.__kind__} over the snapshot, not under it"
    hint = ""
    if hasattr(target, "__wrapped__") or hasattr(target, "__get__"):
        hint = "; decorate the function inside it"
    return f"it decorates a Python function, not {target!r}{hint}"


def _check_wrapped(function: FunctionType) -> None:
    """A wrapper keeps nothing for what it calls: who decorates it has put two decorators in the wrong order."""
    inner, above = vars(function).get("__wrapped__"), [function]
    while type(inner) is FunctionType and inner not in above:
        if template(inner, strict=False):
            raise DecorationError(
                f"static_branches(snapshot=True): {full_name(function)} tests no key, and wraps {full_name(inner)}, "
                "which does; decorate that one"
            )
        above.append(inner)
        inner = vars(inner).get("__wrapped__")


class _Variants:
    """The variants of one function. Any thread may be here; nothing is held meanwhile that a fork could leave held."""

    def __init__(self, function: FunctionType, made: Template) -> None:
        self.function = function
        self.template = made
        self.kept: dict[int, FunctionType] = {}
        """By state. The site leads to no other."""
        self.needed: dict[int, int] = {}
        """When each was, last."""
        self.refusals = self.not_now = 0

    def find(self, site: Snapshot, state: int) -> FunctionType:
        """The variant for a state that the site knows none for; the site knows it then. Who called the site calls it.

        That call wants no patch: where one is refused, the variant is the right one all the same. The site asks again,
        and is answered; but as a patch may wait for long before it is refused, ever fewer calls try one.
        """
        variant = self.kept.get(state) or self._make(state)
        try:
            if state not in self.kept:
                self._make_room(site)
            variant = self.kept.setdefault(state, variant)
            self.needed[state] = next(_clock)
            if self.not_now:
                self.not_now -= 1
                return variant
            lead(site, state, variant)
            self.refusals = 0
            if self.kept.get(state) is not variant:  # another thread has dropped it
                lead(site, state, None)
        except PatchError:
            self.refusals += 1
            self.not_now = 1 << min(self.refusals, 16)
        return variant

    def _make_room(self, site: Snapshot) -> None:
        """Drop the variant that has not been needed for longest: whoever runs it, keeps it.

        The site, from now on, knows none: so it asks for those that are needed still, and they are seen to be.
        """
        for state in list(self.kept):
            lead(site, state, None)
        states = sorted(list(self.kept), key=lambda state: self.needed.get(state, 0))
        for state in states[: max(len(states) - MOST_VARIANTS + 1, 0)]:
            self.kept.pop(state, None)
            self.needed.pop(state, None)
            lead(site, state, None)  # another thread may have needed it meanwhile

    def _make(self, state: int) -> FunctionType:
        """With all that the function has now: it may have been given other defaults since it was decorated."""
        function = self.function
        code, name = self.template.variant(state), function.__name__
        variant = FunctionType(code, function.__globals__, name, function.__defaults__, function.__closure__)
        # From 3.14 on annotations may be a function that has yet to be run.
        annotations = "__annotate__" if getattr(function, "__annotate__", None) else "__annotations__"
        for attribute in (*_SHARED, annotations):
            setattr(variant, attribute, getattr(function, attribute))
        return variant


_SHARED = ["__module__", "__qualname__", "__doc__", "__kwdefaults__", "__dict__"]
_SHARED += ["__type_params__"] if sys.version_info >= (3, 12) else []
