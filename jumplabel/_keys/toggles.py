"""Who is told of toggles, and how: ``on_toggle``.

The engine reports what a transaction has changed (struct key_report, csrc/engine/transaction.h). Whoever calls the
engine asks for a report if there are ``callbacks``, and then, behind the call, has ``tell`` read it: a signal handler
may raise in between, so that stands in a ``finally``. Nothing here takes a lock; a callback may do what it likes.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterable
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from jumplabel._engine import ffi, lib
from jumplabel._process import forks
from jumplabel._process.unpatched import start_own_thread
from jumplabel._program.functions import flavour, full_name
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401
from jumplabel._program.unseen import seen
from jumplabel.errors import CallbackError

if TYPE_CHECKING:
    from jumplabel._keys.static_key import StaticKey


class Toggle(NamedTuple):
    """What a callback is given: one change of one key's state, as its sites see it.

    key          the StaticKey
    old, new     its state before and after: one is True, the other False
    sites        how many sites follow it, all of which were rewritten
    nanoseconds  what the transaction took, from the moment at which it had the engine to itself; for a key that changed
                 with others, in one ``batch()`` say, the time of the whole transaction
    """

    key: "StaticKey"
    old: bool
    new: bool
    sites: int
    nanoseconds: int


F = TypeVar("F", bound=Callable[[Toggle], object])

callbacks: dict[Callable[[Toggle], object], object] = {}
"""In order, each with a mark of its registration. Each change is one step, which nobody finds half made: no locks."""


def on_toggle(function: F) -> F:
    """Have a function called behind every toggle, whoever makes it and however. Returns it: this is a decorator, too.

    function  takes one Toggle; any callable that can be hashed, as functions, methods and partial objects can

    A toggle is every change of a key's state as its sites see it: by ``enable``, ``disable``, ``inc``, ``dec`` and
    ``flush``, by a ``batch()``, by an ``override`` that begins or ends, by the first or last probe of a tracepoint, by
    a deferred key's time. What changes no state is none (``enable`` of a key that is on), nor is what is refused, nor a
    new key. Each toggle is told once, with what the engine did, whatever happened to the key since.

    The function is called when the toggle has taken effect and before it returns, in the thread that made it, with no
    lock of the library held: one call for each key that changed, and for that one call for each function, in the order
    of registration. For a deferred key whose time is over it is the library's thread, where one that takes long delays
    other such keys; for a tracepoint that is dropped with its probes, it is a destructor; for the key of a logging
    statement, where whoever changes the logger holds the lock of ``logging`` (as ``dictConfig`` does), or a name was
    bound to another one, it is a thread of the library's, a little later. Toggles of several threads at once are each
    told by their own, in any order.

    It may do anything, also toggle keys, which calls it again, within that call: see that this ends. What it raises
    hurts neither the toggle nor the other functions, but is reported through ``sys.unraisablehook``; what is no
    Exception (KeyboardInterrupt, SystemExit) is meant for the program, and passes on at once, to whoever toggled, and
    so does what a signal handler raises meanwhile: the toggle has taken place, and what follows is not told. So does
    the RecursionError of functions that toggle without end, up to the outermost one, which reports it.

    The library keeps the function until ``off_toggle``, also in the child of a fork. The calls that a thread of the
    library's has yet to make at a fork are made in the parent and in the child. Any thread may call this, a signal
    handler too, and also within such a function: toggles that begin later are told. Raises CallbackError for what is
    not such a function, or is registered already (it equals one: each access to a bound method makes a new one).
    """
    if not callable(function):
        raise CallbackError(f"on_toggle needs a function that takes a Toggle, not {function!r}")
    if flavour(function):
        raise CallbackError(
            f"on_toggle: {full_name(function)} is {flavour(function)}; a call would not run it, as its result is "
            "dropped. Register a plain function that starts it"
        )
    register(function)
    return function


def register(function: Callable[[Toggle], object]) -> None:
    """``on_toggle`` without a look at what kind of function it is. Imports nothing."""
    _check_hashable(function)
    ours = object()
    if callbacks.setdefault(function, ours) is not ours:
        raise CallbackError(f"on_toggle: {function!r} is registered already; off_toggle() it first")


def off_toggle(function: Callable[[Toggle], object]) -> None:
    """Have a function that was given to ``on_toggle`` not be called any more, and let go of it.

    When it returns, no toggle that begins later calls it. One that is being told in another thread may still. Any
    thread may call this, and the function itself. Raises CallbackError for one that is not registered.
    """
    _check_hashable(function)
    try:
        del callbacks[function]
    except KeyError:
        raise CallbackError(f"off_toggle: {function!r} is not registered, so it cannot be unregistered") from None


def _check_hashable(function: Any) -> None:
    try:
        hash(function)
    except TypeError:
        raise CallbackError(
            f"{function!r} cannot be hashed, so it could not be found again; register a method of it, or a function"
        ) from None


def new_report(keys: int) -> Any:
    """For the engine, with room for so many keys."""
    return ffi.new("struct key_report *", {"room": keys, "changes": keys})


def tell(report: Any, keys: Iterable["StaticKey"]) -> None:
    if report.n:
        tell_all(changes_of(report, keys))


def changes_of(report: Any, keys: Iterable["StaticKey"]) -> list[Toggle]:
    """Of those among these keys that have changed, in this order."""
    found = {report.changes[i].key: i for i in range(report.n)}
    nanoseconds = report.nanoseconds
    toggles = []
    for key in dict.fromkeys(keys):
        if key._key in found:
            change = report.changes[found[key._key]]
            new = bool(change.enabled)
            toggles.append(Toggle(key, not new, new, change.sites, nanoseconds))
    return toggles


def tell_all(toggles: list[Toggle]) -> None:
    for toggle in toggles:
        for function in list(callbacks):
            _call(function, toggle)


class Telling:
    """Toggles that a thread of ours tells. The child of a fork has the object, but not the thread, and goes on.

    work_out  returns the toggles; it is called once or, where a fork comes in between, again in the child

    Each step is one store, so a fork at any point leaves each call either to come or begun. What has begun in the
    parent is not called again in the child.
    """

    def __init__(self, work_out: Callable[[], list[Toggle]]) -> None:
        self._work_out = work_out
        self._toggles: list[Toggle] | None = None
        self._now: tuple[int, deque[Callable[[Toggle], object]] | None] = 0, None
        """Which of the toggles is told now, and the functions that are still to be called for it."""

    def run(self) -> None:
        """Make the calls that are still to come. Raises what is meant for the program; what follows is not told."""
        try:
            self._run()
        except BaseException:
            self._toggles = []
            raise

    def _run(self) -> None:
        if self._toggles is None:
            self._toggles = self._work_out()
        toggles = self._toggles
        while self._now[0] < len(toggles):
            i, functions = self._now
            if functions is None:
                functions = deque(callbacks)
                self._now = i, functions
            while functions:
                _call(functions.popleft(), toggles[i])
            self._now = i + 1, None


_told_elsewhere: deque[Telling] = deque()
_teller: dict[str, object] = {}
"""What its start was, while there is one."""


def tell_elsewhere(toggles: list[Toggle]) -> None:
    """In a thread of ours, as this one may be anywhere, and hold any lock. Nothing is waited for."""
    go_on_elsewhere(Telling(lambda: toggles))


def go_on_elsewhere(telling: Telling) -> None:
    """The same, with what has perhaps begun already."""
    lib.fork_notice_urgent = 1  # a child goes on, too
    _told_elsewhere.append(telling)
    _start_teller()


def _start_teller() -> None:
    mark = object()
    if _teller.setdefault("start", mark) is not mark:
        return
    try:
        if not sys.is_finalizing():
            start_own_thread(_tell_in_own_thread, ())
            return
    except RuntimeError:
        pass  # there can be no more threads
    _tell_elsewhere()


def _tell_in_own_thread() -> None:
    lib.own_thread_enters()
    try:
        _tell_elsewhere()
    finally:
        if _told_elsewhere:  # a function has raised what ends the thread
            _start_teller()


def _tell_elsewhere() -> None:
    mark = _teller["start"]
    while _teller.setdefault("start", mark) is mark:
        try:
            while _told_elsewhere:
                _told_elsewhere[0].run()
                _told_elsewhere.popleft()
        finally:
            _teller.clear()
        if not _told_elsewhere:  # or else they came when this was about to end
            return


def _forked() -> None:
    """What a thread of the parent had yet to tell, a thread of the child's tells."""
    if tells_here():
        return  # the function that is being called has forked: this thread goes on
    _teller.clear()
    if _told_elsewhere:
        _start_teller()


def tells_here() -> bool:
    """Return whether a Telling is at work in this thread."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code is not Telling.run.__code__:
        frame = frame.f_back
    return frame is not None


forks.in_child(_forked)


def _call(function: Callable[[Toggle], object], toggle: Toggle) -> None:
    try:
        seen(function, toggle)
    except Exception as error:
        # The last of an endless row has no stack left to report it on. And where each reported it and went on, two
        # callbacks would take for ever. Looked up on the stack: a thread-local count would be that of all greenlets.
        if isinstance(error, RecursionError):
            frame = sys._getframe().f_back
            while frame is not None:
                if frame.f_code is _call.__code__:
                    raise
                frame = frame.f_back
        lib.call_site_unraisable(id(error), id(function))
