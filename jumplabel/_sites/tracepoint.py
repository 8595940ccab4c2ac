"""``Tracepoint``: a call that leads to whoever wants to know, and nowhere while nobody does."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from weakref import ref

from jumplabel._bytecode import scope
from jumplabel._engine import lib
from jumplabel._keys import registry
from jumplabel._keys.static_key import FollowingKey, StaticKey, address, key
from jumplabel._keys.static_key import _counted as counted
from jumplabel._keys.toggles import callbacks
from jumplabel._keys.transactions import apply, patch_error
from jumplabel._program.functions import flavour, full_name
from jumplabel._program.site_types import ObjectSite, sealed
from jumplabel._sites.call_sites import swap
from jumplabel._sites.callers import caller
from jumplabel.errors import DecorationError, StaticKeyError, TracepointError

F = TypeVar("F", bound=Callable[..., Any])

ON = 1
"""The state in which the site leads to the probes: the tracepoint's one key is on."""


class _TracepointKey(FollowingKey):
    """On while there are probes. It does not keep its tracepoint alive; it goes off with it, if somebody keeps it."""

    __slots__ = ("_tracepoint",)
    _tracepoint: "ref[Tracepoint]"

    def _refuse(self) -> NoReturn:
        raise StaticKeyError(
            f"{self!r} belongs to the tracepoint of that name, and is on while that has probes: register() or "
            "unregister() one. override() works"
        )


@sealed
class Tracepoint(ObjectSite):
    """A place in a program that others can watch, while it runs: call it there, with whatever there is to know.

    name  what the tracepoint is called, and its key; unique among the living keys of the process
    doc   what it is good for, for operators

    ::

        requested = Tracepoint("shop.requested")

        requested(request, user=user)    # nobody watches: returns None without entering Python


        @requested.register  # from any thread, at any time
        def count(request, user): ...

    A call goes to every probe, in the order in which they were registered, with the very arguments, and returns None
    whatever they return. A probe that raises an Exception is reported through ``sys.unraisablehook``, and the others
    are called all the same; what is no Exception (KeyboardInterrupt, SystemExit, asyncio's CancelledError) is meant
    for the program, and passes on at once. Without probes nobody looks at the arguments, but they are evaluated:
    ``if requested.enabled:`` in a function with ``static_branches`` skips that too. (``if requested:`` does not: no
    tracepoint is false.)

    It is no method: as an attribute of a class it is called with its arguments alone. Copies are the tracepoint itself,
    and pickling gives the one of that name. It keeps its probes alive.

    Words and meaning are those of the Linux kernel's tracepoints (Documentation/trace/tracepoints.rst,
    kernel/tracepoint.c). Any thread may make, call and change it. The same place may make its tracepoint again, as it
    may a key (``StaticKey`` says when): it gets the one that is there, with its probes. Raises StaticKeyError for a
    name or doc that a StaticKey would refuse.
    """

    __slots__ = ()

    def __new__(cls, name: str, doc: str | None = None) -> "Tracepoint":
        with registry.lock:  # of several threads, one makes it
            its_key = _TracepointKey(name, doc=doc)
            there = its_key._tracepoint() if hasattr(its_key, "_tracepoint") else None
            if there is not None:
                return there
            off, off_is, wrapped = None, "result", None
            made: Tracepoint = super().__new__(
                cls, "tracepoint", (its_key,), (address(its_key),), off, off_is, caller(), wrapped
            )
            its_key._tracepoint = ref(made, partial(_turn_off, its_key._key, ref(its_key)))
            return made

    def register(self, probe: F) -> F:
        """Have later calls go to the probe too, behind those that are there. Returns it, so that this is a decorator.

        When it returns, every call that starts later goes to the probe, on every thread; a call that is running goes
        on with the probes that it found. Not part of a ``batch()``: it takes effect at once.

        Any thread may call it, also in a probe or a signal handler. Raises TracepointError for a probe that is
        registered already (it equals one: each access to a bound method makes a new one), and for the tracepoint
        itself; DecorationError for what cannot be called, and for coroutine, generator and async generator functions,
        which a call would not run; PatchError where the site cannot be rewritten. In each case nothing has changed.
        """
        self._check(probe)
        while True:
            probes = self.probes
            if _place(probe, probes) is not None:
                raise TracepointError(f"{self!r}: {probe!r} is registered already; unregister() it first")
            if self._replace(probes, (*probes, probe)):
                return probe

    def unregister(self, probe: Callable[..., Any]) -> None:
        """Have later calls not go to the probe any more.

        When it returns, no call that starts later goes to the probe, on any thread. Calls that are running already go
        on, and may come to it still: what a probe needs must not be torn down until they are done (the kernel's
        tracepoint_synchronize_unregister() has no counterpart, as nobody can tell how long a probe takes). The
        tracepoint lets go of the probe, and so do they when they end.

        Takes effect, and may be called, as ``register``. Raises TracepointError for a probe that is not registered (no
        probe equals it), and PatchError where the site cannot be rewritten; in both cases nothing has changed.
        """
        while True:
            probes = self.probes
            place = _place(probe, probes)
            if place is None:
                raise TracepointError(f"{self!r}: {probe!r} is not registered, so it cannot be unregistered")
            if self._replace(probes, probes[:place] + probes[place + 1 :]):
                return

    @property
    def probes(self) -> tuple[Callable[..., Any], ...]:
        """What calls go to now, in this order."""
        found: tuple[Callable[..., Any], ...] | None = self.__target__(ON)
        return found or ()

    @property
    def name(self) -> str:
        return self.enabled.name

    @property
    def doc(self) -> str | None:
        return self.enabled.doc

    @property
    def enabled(self) -> StaticKey:
        """The key of this name, on while there are probes. It cannot be toggled, but by registering a probe.

        ``override(True)`` runs what stands behind ``if tracepoint.enabled:`` without a probe, ``override(False)`` mutes
        the probes. Where somebody keeps the key, it outlives the tracepoint, and is off then.
        """
        found: StaticKey = self.__static_keys__[0]
        return found

    def _check(self, probe: Any) -> None:
        if not callable(probe):
            raise DecorationError(f"{self!r}: a probe must be callable, not {probe!r}")
        if probe is self:
            raise TracepointError(f"{self!r} as a probe of itself would call itself without end")
        if flavour(probe):
            raise DecorationError(
                f"{self!r}: {full_name(probe)} is {flavour(probe)}; a call would not run it, as results of "
                "probes are dropped. Register a plain function that starts it"
            )

    def _replace(self, probes: tuple[Any, ...], new: tuple[Any, ...]) -> bool:
        """Whether these were still the probes. If not, somebody was faster, in another thread or in this one."""
        return swap(self, ON, probes or None, new or None)

    def __repr__(self) -> str:
        return f"<Tracepoint {self.name!r} with {counted(len(self.probes), 'probe')}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _of_name, (self.name,)

    if TYPE_CHECKING:

        def __call__(self, *args: Any, **kwargs: Any) -> None: ...


def _place(probe: object, probes: tuple[object, ...]) -> int | None:
    return next((place for place, one in enumerate(probes) if one is probe or one == probe), None)


def _turn_off(native: Any, its_key: "ref[StaticKey]", _: object) -> None:
    """The tracepoint is gone, with its probes; nobody else could turn its key off any more."""
    if callbacks and (found := its_key()) is not None:
        apply([(found, lib.KEY_DISABLE)])
        return
    error = lib.static_key_toggle(native, lib.KEY_DISABLE)
    if error:
        raise patch_error(error, "the key of a tracepoint that is gone")


def _of_name(name: str) -> Tracepoint:
    reference = getattr(key(name), "_tracepoint", None)
    found: Tracepoint | None = reference and reference()
    if found is None:
        raise StaticKeyError(f"{key(name)!r} is not that of a living Tracepoint")
    return found


scope.KEY_ATTRIBUTES.append((Tracepoint, "enabled"))
