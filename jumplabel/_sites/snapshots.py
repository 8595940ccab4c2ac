"""``@static_branches(snapshot=True)``: within one call every key keeps the value that it had when the call began.

A function gets a site of its own, in a trampoline, and one *variant* of its bytecode for each state of its keys. In a
variant every test of a key goes one way for good. A call looks at no key: the site leads to the variant of the present
state. A toggle, or a batch of toggles, rewrites that one jump. A call keeps its variant to the end, however long a
generator or coroutine lasts.

new_code.py makes the variants' code; csrc/cpython/call_site.c leads to them. This file decides when variants are made
and dropped.
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
"""The most variants of a function that are kept. A function may have 2**64 states, and needs few of them again."""


_clock = itertools.count(1)


@sealed
class Snapshot(CallSite):
    """The callable that stands for a function under ``static_branches(snapshot=True)``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<static_branches snapshot of {full_name(self)} at {id(self):#x}>"


def snapshot_of(target: Any, strict: bool) -> Any:
    """Return a function's snapshot; the target itself if it tests no key.

    target  a function, perhaps in a classmethod or staticmethod
    strict  as of ``static_branches``

    Raises DecorationError, with nothing changed, for any other object, for more than MOST_KEYS keys, and for a function
    whose tests cannot all go by the snapshot.
    """
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
    """Raise DecorationError for a wrapper of a function that tests keys: two decorators are in the wrong order.

    A snapshot of the wrapper would keep no state for the function that it calls.
    """
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
    """The variants of one function. Any thread may use them. No lock is held, so a fork cannot leave one locked."""

    def __init__(self, function: FunctionType, made: Template) -> None:
        self.function = function
        self.template = made
        self.kept: dict[int, FunctionType] = {}
        """The variants by state. The site leads to no others."""
        self.needed: dict[int, int] = {}
        """When the variant of a state was needed last, by _clock."""
        self.refusals = 0
        """How many patches were refused since the last that succeeded."""
        self.calls_without_patch = 0
        """How many calls are still to pass before the next one tries a patch."""

    def find(self, site: Snapshot, state: int) -> FunctionType:
        """Return the variant for a state for which the site has none, and lead the site to it.

        The site calls this in a call, and then calls the variant. Where the patch is refused, the call goes on with the
        variant all the same, and the next call asks again. A patch may wait long before it is refused, so ever fewer
        calls try one.
        """
        variant = self.kept.get(state) or self._make(state)
        try:
            if state not in self.kept:
                self._make_room(site)
            variant = self.kept.setdefault(state, variant)
            self.needed[state] = next(_clock)
            if self.calls_without_patch:
                self.calls_without_patch -= 1
                return variant
            lead(site, state, variant)
            self.refusals = 0
            if self.kept.get(state) is not variant:  # another thread has dropped it
                lead(site, state, None)
        except PatchError:
            self.refusals += 1
            self.calls_without_patch = 1 << min(self.refusals, 16)
        return variant

    def _make_room(self, site: Snapshot) -> None:
        """Drop the variant that was needed longest ago. A call that runs it keeps it alive.

        From now on the site has no variant at all. So it asks for each that is still needed, and find() notes the time.
        """
        for state in list(self.kept):
            lead(site, state, None)
        states = sorted(list(self.kept), key=lambda state: self.needed.get(state, 0))
        for state in states[: max(len(states) - MOST_VARIANTS + 1, 0)]:
            self.kept.pop(state, None)
            self.needed.pop(state, None)
            lead(site, state, None)  # another thread may have needed it meanwhile

    def _make(self, state: int) -> FunctionType:
        """Return a variant with what the function has now: its defaults may have changed since it was decorated."""
        function = self.function
        code, name = self.template.variant(state), function.__name__
        variant = FunctionType(code, function.__globals__, name, function.__defaults__, function.__closure__)
        # From 3.14 on annotations may be a function that has not run yet.
        annotations = "__annotate__" if getattr(function, "__annotate__", None) else "__annotations__"
        for attribute in (*_SHARED, annotations):
            setattr(variant, attribute, getattr(function, attribute))
        return variant


_SHARED = ["__module__", "__qualname__", "__doc__", "__kwdefaults__", "__dict__"]
_SHARED += ["__type_params__"] if sys.version_info >= (3, 12) else []
