"""``Tracepoint``: a call that goes to the registered probes, and returns at once while there are none."""

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
from jumplabel._program.exported import exported
from jumplabel._program.functions import flavour, full_name
from jumplabel._program.site_types import ObjectSite, sealed
from jumplabel._sites.call_sites import swap
from jumplabel._sites.callers import caller
from jumplabel.errors import DecorationError, StaticKeyError, TracepointError

F = TypeVar("F", bound=Callable[..., Any])

ON = 1
"""The state in which the site leads to the probes: the tracepoint's one key is on."""


class _TracepointKey(FollowingKey):
    """The key of a tracepoint: on while there are probes.

    It does not keep its tracepoint alive. A key that outlives its tracepoint goes off with it.
    """

    __slots__ = ("_tracepoint",)
    _tracepoint: "ref[Tracepoint]"

    def _refuse(self) -> NoReturn:
        raise StaticKeyError(
            f"{self!r} belongs to the tracepoint of that name, and is on while that has probes: register() or "
            "unregister() one. override() works"
        )


@sealed
@exported
class Tracepoint(ObjectSite):
    """A place in a program that others can watch while it runs: the program calls it there, with what is to be seen.

    name  the name of the tracepoint and of its key; unique among the living keys of the process
    doc   a description for operators

    ::

        requested = Tracepoint("shop.requested")

        requested(request, user=user)    # without probes: returns None without entering Python


        @requested.register  # from any thread, at any time
        def count(request, user): ...

    A call goes to every probe, in the order of registration, with the very arguments. It returns None, whatever the
    probes return. Where a probe raises an Exception, ``sys.unraisablehook`` reports it, and the call goes on to the
    other probes. Any other exception (KeyboardInterrupt, SystemExit, asyncio's CancelledError) is meant for the
    program, and leaves the call at once.

    **The caller evaluates the arguments, also without probes.** ``if requested.enabled:`` in a function with
    ``static_branches`` skips that too. ``if requested:`` does not: every tracepoint is true.

    A tracepoint is no method: as an attribute of a class it is called with its arguments alone. A copy is the
    tracepoint itself, and unpickling gives the tracepoint of that name. It keeps its probes alive.

    Words and meaning are those of the Linux kernel's tracepoints (Documentation/trace/tracepoints.rst,
    kernel/tracepoint.c). Any thread may make, call and change it. The same place may make its tracepoint again, as it
    may make a key again (``StaticKey`` says when): it gets the living tracepoint, with its probes. Raises
    StaticKeyError for a name or doc that a StaticKey would refuse.
    """

    __slots__ = ()

    def __new__(cls, name: str, doc: str | None = None) -> "Tracepoint":
        with registry.lock:  # one thread makes it, the others find it
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
        """Have later calls go to the probe too, behind the present probes. Return the probe; a decorator, too.

        When it returns, every call that starts later goes to the probe, on every thread. A running call goes on with
        the probes that it found. A registration is no part of a ``batch()``: it takes effect at once.

        Any thread may call it, also in a probe or a signal handler. Raises TracepointError for the tracepoint itself,
        and for a probe that is registered already. (Probes are compared by equality, as each access to a bound method
        makes a new object.) Raises DecorationError for an object that cannot be called, and for a coroutine, generator
        or async generator function, which a call would not run. Raises PatchError where the site cannot be rewritten.
        In each case nothing has changed.
        """
        self._check(probe)
        while True:
            probes = self.probes
            if _place(probe, probes) is not None:
                raise TracepointError(f"{self!r}: {probe!r} is registered already; unregister() it first")
            if self._replace(probes, (*probes, probe)):
                return probe

    def unregister(self, probe: Callable[..., Any]) -> None:
        """Have later calls pass the probe by.

        **A running call may still come to the probe**: do not tear down what the probe needs until such calls are done.
        The kernel's tracepoint_synchronize_unregister() has no counterpart here, as a probe may take any time. When
        this returns, no call that starts later goes to the probe, on any thread. The tracepoint lets go of the probe,
        and a running call does so at its end.

        It takes effect at once, and may be called by any thread, as ``register``. Raises TracepointError for a probe
        that equals no registered probe, and PatchError where the site cannot be rewritten. In both cases nothing has
        changed.
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
        """The probes that calls go to now, in this order."""
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
        """The key of this name, on while there are probes. Only registering and unregistering probes toggles it.

        ``override(True)`` runs the code behind ``if tracepoint.enabled:`` without a probe. ``override(False)`` mutes
        the probes. A key may outlive its tracepoint, and is off then.
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
        """Replace the probes if they are still these, and return whether they were.

        They are others where another thread has changed them meanwhile, or a signal handler in this thread.
        """
        return swap(self, ON, probes or None, new or None)

    def __repr__(self) -> str:
        return f"<Tracepoint {self.name!r} with {counted(len(self.probes), 'probe')}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Tracepoint._find, (self.name,)

    @classmethod
    def _find(cls, name: str) -> "Tracepoint":
        """Return the living tracepoint of this name. A pickle names this method, so it needs no private module."""
        reference = getattr(key(name), "_tracepoint", None)
        found: Tracepoint | None = reference and reference()
        if found is None:
            raise StaticKeyError(f"{key(name)!r} is not that of a living Tracepoint")
        return found

    if TYPE_CHECKING:

        def __call__(self, *args: Any, **kwargs: Any) -> None: ...


def _place(probe: object, probes: tuple[object, ...]) -> int | None:
    return next((place for place, one in enumerate(probes) if one is probe or one == probe), None)


def _turn_off(native: Any, its_key: "ref[StaticKey]", _: object) -> None:
    """Turn off the key of a tracepoint that is gone, with its probes. Only the tracepoint could do so before."""
    if callbacks and (found := its_key()) is not None:
        apply([(found, lib.KEY_DISABLE)])
        return
    error = lib.static_key_toggle(native, lib.KEY_DISABLE)
    if error:
        raise patch_error(error, "the key of a tracepoint that is gone")


scope.KEY_ATTRIBUTES.append((Tracepoint, "enabled"))
