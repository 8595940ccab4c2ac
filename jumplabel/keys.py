"""What a key knows: its name, its users, and how to bring its sites up to date.

The state itself lives in the engine (csrc/engine/static_key.h), behind the one mutex that patching takes too; what is
here is its Python face. The semantics are those of the Linux kernel's static keys,
Documentation/staging/static-keys.rst.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import WeakValueDictionary, finalize

from jumplabel import lingering
from jumplabel._engine import ffi, lib
from jumplabel.batches import batch, collecting, current_batch
from jumplabel.errors import StaticKeyError
from jumplabel.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401
from jumplabel.patterns import Patterns
from jumplabel.published import published
from jumplabel.toggles import callbacks, new_report, tell
from jumplabel.transactions import apply, check, fail
from jumplabel.unpatched import ProcessLock

if TYPE_CHECKING:
    from jumplabel.table import JumpEntry

# Each look into ``lib`` is a call.
_ENABLE, _DISABLE, _INC, _DEC, _FLUSH = lib.KEY_ENABLE, lib.KEY_DISABLE, lib.KEY_INC, lib.KEY_DEC, lib.KEY_FLUSH

_toggle: Callable[[int, int], int]
(_toggle,) = published(lib.key_toggle_function)


class StaticKey:
    """A switch whose state is written into the code that it decides about.

    name      what ``jumplabel.key()`` finds it by; unique among the living keys of the process
    default   whether the key starts on, with one user
    deferred  for how many seconds it lingers, still on, after ``dec`` has taken its last user away; 0: not at all

    A key is on while it has users: its count is above zero. ``enable`` and ``disable`` are for one owner who sets it,
    ``inc`` and ``dec`` for several who each want it on for a while. ``bool(key)`` is its state.

    A deferred key that is dropped and taken again often is switched off at most once in that time: when nobody has used
    it for ``deferred`` seconds in a row. Whoever takes it before that finds it on. That is what Linux
    include/linux/jump_label_ratelimit.h is for. There, too, only ``dec`` is deferred: ``disable`` takes effect at once,
    and so does ``flush``. While some key lingers the process has one more thread, which switches off what is due. It
    reports a PatchError through ``sys.unraisablehook``, and tries again after as many seconds, one at least. The child
    of a fork has its own. Where no thread can be had, as at the end of the interpreter, keys go off at once.

    Every method may be called from any thread. When a toggle returns, every call and every pass that starts later
    sees the new state, on every thread; several sites do not flip at one instant. Within ``batch()`` a toggle takes
    effect when the batch ends. A toggle that cannot be carried out raises PatchError and changes nothing.

    Raises StaticKeyError for a name that is empty, not a string, contains a NUL, or is taken, and for a time that is
    not a number of seconds from 0 on.
    """

    __slots__ = ("__weakref__", "_address", "_deferred", "_key", "_name")

    def __init__(self, name: str, default: bool = False, deferred: float = 0) -> None:
        if hasattr(self, "_key"):
            raise StaticKeyError(f"{self!r} is a key already; make another one for {name!r}")
        if not isinstance(name, str) or not name or "\0" in name:
            raise StaticKeyError(f"a StaticKey needs a name, a string such as 'shop.tracing', not {name!r}")
        if not isinstance(default, bool):
            raise StaticKeyError(f"StaticKey {name!r}: default is True or False, not {default!r}")
        nanoseconds = _nanoseconds(name, deferred)
        try:
            encoded = name.encode()
        except UnicodeEncodeError as error:
            raise StaticKeyError(f"StaticKey {name!r}: a name must be encodable as UTF-8") from error
        key = lib.static_key_new(encoded, _starts_on(self, name) or default)
        if not key:
            raise MemoryError
        if nanoseconds:
            lib.static_key_defer(key, nanoseconds)
            lib.fork_notice_urgent = 1  # a child needs a thread of its own, as soon as it can have one
        # Not ffi.gc(): the collector finalizes what that returns before others in the same garbage, whose __del__ or
        # suspended ``with`` block still use the key. It does not know a plain pointer, which goes when the key lets go.
        finalizer = finalize(key, lib.static_key_drop, ffi.cast("struct static_key *", key))
        finalizer.atexit = False  # type: ignore[misc]  # typeshed takes the property for a missing slot
        self._name = name
        self._deferred = float(deferred)
        self._key = key
        self._address = int(ffi.cast("uintptr_t", key))
        with _registry_lock:
            if name in _registry:
                raise StaticKeyError(f"there is a StaticKey {name!r} already: get it with jumplabel.key({name!r})")
            _registry[name] = self
            missed = not self._key.enabled and _starts_on(self, name)  # of a Starting that was made meanwhile
        if missed:
            self.enable()

    @property
    def name(self) -> str:
        return self._name

    @property
    def enabled(self) -> bool:
        """Whether the key is on: its count is above zero, or it lingers, unless an override says otherwise."""
        return bool(self._key.enabled)

    def __bool__(self) -> bool:
        return bool(self._key.enabled)

    @property
    def count(self) -> int:
        """The number of users."""
        return int(self._key.count)

    @property
    def deferred(self) -> float:
        """For how many seconds the key lingers, on, when its last user has gone; 0.0: it does not."""
        return self._deferred

    @property
    def entries(self) -> tuple["JumpEntry", ...]:
        """The key's living sites, in the order of their addresses."""
        from jumplabel.table import read_entries  # its classes take some milliseconds to make

        return read_entries(self._key)

    def enable(self) -> None:
        """Turn the key on, with one user; a key that is on already stays as it is."""
        _step(self, _ENABLE)

    def disable(self) -> None:
        """Turn the key off, at once if it is a deferred one, too; a key that is off already stays as it is.

        Raises StaticKeyError where it has several users: it would go off under the others.
        """
        _step(self, _DISABLE)

    def inc(self) -> None:
        """Add a user. The first one turns the key on."""
        _step(self, _INC)

    def dec(self) -> None:
        """Remove a user. The last one turns the key off, or leaves it to linger if it is a deferred one.

        Raises StaticKeyError where there is none, as there is of a key that lingers.
        """
        _step(self, _DEC)

    def flush(self) -> None:
        """If the key lingers, turn it off now. Any other key stays as it is."""
        _step(self, _FLUSH)

    @contextmanager
    def override(self, enabled: bool) -> Iterator["StaticKey"]:
        """Hold the key on or off for a ``with`` block, in every thread; for tests and experiments.

        Users are still counted inside the block, and what they want takes effect when it ends. Overrides may nest
        and overlap: the newest decides. Not for use within ``batch()``, which would never show it.

        Raises StaticKeyError for anything but True or False, and within a batch; PatchError where the sites cannot be
        rewritten. Where that happens at the end of the block, the next toggle of the key makes up for it. A process
        forked within the block keeps the override, unless it is the forking thread's own.
        """
        if not isinstance(enabled, bool):
            raise StaticKeyError(f"{self!r}: override takes True or False, not {enabled!r}")
        if current_batch() is not None:
            raise StaticKeyError(f"{self!r}: an override within a batch would never be seen; put the batch inside it")
        override = ffi.new("struct key_override **")
        report = new_report(1) if callbacks else ffi.NULL
        try:
            # Within the try: a signal handler may raise right behind the call.
            try:
                error = lib.static_key_override(self._key, enabled, override, report)
            finally:
                if report:
                    tell(report, [self])
            check(error, self)
            yield self
        finally:
            try:
                if callbacks and not report:
                    report = new_report(1)
            finally:
                # The engine looks whether there is one: there may be no memory for us to do so, or for a report.
                try:
                    error = lib.static_key_lift(self._key, override, report)
                finally:
                    if report:
                        tell(report, [self])
            check(error, self)

    def __repr__(self) -> str:
        state = ("on" if self else "off") + (", lingers" if self._key.until else "")
        counts = f"{_counted(self.count, 'user')}, {_counted(_n_sites(self._key), 'site')}"
        return f"<StaticKey {self._name!r} {state}, {counts}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return key, (self._name,)


class FollowingKey(StaticKey):
    """A key that goes by something else, and refuses to be toggled: StaticKeyError says what to do instead."""

    __slots__ = ()

    def _refuse(self) -> NoReturn:
        raise NotImplementedError

    def enable(self) -> NoReturn:
        self._refuse()

    def disable(self) -> NoReturn:
        self._refuse()

    def inc(self) -> NoReturn:
        self._refuse()

    def dec(self) -> NoReturn:
        self._refuse()


def address(key: StaticKey) -> int:
    """Of the engine's key, which lives as long as it has sites."""
    return key._address


def _nanoseconds(name: str, deferred: float) -> int:
    """For the engine, which knows some hundred years."""
    try:
        if isinstance(deferred, int | float) and not isinstance(deferred, bool) and 0 <= deferred < math.inf:
            return math.ceil(min(float(deferred) * 1e9, 2.0**62))
    except OverflowError:
        pass
    raise StaticKeyError(
        f"StaticKey {name!r}: deferred is for how many seconds the key lingers after its last user, a finite number "
        f"such as 0.5, or 0 for a key that goes off at once; not {deferred!r}"
    )


finalize(StaticKey, int).detach()  # the first one imports a module, which a program's own call may not

_registry: WeakValueDictionary[str, StaticKey] = WeakValueDictionary()
_registry_lock = ProcessLock()


def living() -> list[StaticKey]:
    """All living keys, in no order, and without the lock: the thread of the deferred keys never waits for it."""
    return [key for reference in _registry.valuerefs() if (key := reference()) is not None]


def n_living() -> int:
    """How many keys there are, or a few more: of some that are gone this may not have been heard of."""
    return len(_registry)


lingering.living = living


def keys() -> list[StaticKey]:
    """All living keys, in the order of their names."""
    with _registry_lock:
        found = list(_registry.values())
    return sorted(found, key=lambda key: key.name)


def key(name: str) -> StaticKey:
    """The key of this name. Raises StaticKeyError where there is none."""
    with _registry_lock:
        found = _registry.get(name)
    if found is None:
        raise StaticKeyError(
            f"there is no StaticKey {name!r}: it is made by the module that defines it, which may not be imported yet; "
            "jumplabel.keys() lists those there are"
        )
    return found


class free_name:  # it is used as a function
    """The name; or "name (2)" and so on, if a living key has it. No other thread takes it within the block.

    It is no generator: what helps those calls builtins, which the program may have replaced.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = _registry_lock

    def __enter__(self) -> str:
        self._lock.__enter__()
        free, n = self._name, 1
        while isinstance(free, str) and free in _registry:
            n += 1
            free = f"{self._name} ({n})"
        return free

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class Starting:
    """Keys that start on, by their names: those that match the patterns, made already or later.

    Only those that can be enabled by anybody: not the key of a tracepoint, say, which follows that. It holds until the
    process ends. Raises PatchError where the sites of those made already cannot be rewritten; then it holds for none.
    """

    def __init__(self, patterns: Patterns) -> None:
        self._patterns = patterns
        self._used: set[str] = set()
        with _registry_lock:
            found = [key for key in list(_registry.values()) if self.matches(key, key.name)]
            _starting.append(self)
        try:
            with batch():
                for key in found:
                    key.enable()
        except BaseException:
            _starting.remove(self)
            raise

    def matches(self, key: StaticKey, name: str) -> bool:
        if type(key).enable is not StaticKey.enable or name not in self._patterns:
            return False
        self._used.update(part for part in self._patterns.patterns if fnmatchcase(name, part))
        return True

    @property
    def unused(self) -> list[str]:
        """The patterns that no key has matched so far."""
        return [part for part in self._patterns.patterns if not part.startswith("!") and part not in self._used]


_starting: list[Starting] = []


def starts_on(name: str) -> bool:
    """Whether a key of this name, made now with ``default=False``, starts on by a ``Starting``."""
    return any(name in starting._patterns for starting in _starting)


def _starts_on(key: StaticKey, name: str) -> bool:
    # All of them are asked, for each knows what it was used for.
    return any([starting.matches(key, name) for starting in _starting])


def _step(key: StaticKey, operation: int) -> None:
    if collecting.get() is not None:
        current = current_batch()
        if current is not None:
            current.steps.append((key, operation))
            return
    if callbacks:
        apply([(key, operation)])
        return
    try:
        error = _toggle(key._address, operation)
    finally:  # a signal handler may raise right behind the call
        if key._deferred and lib.static_keys_wake:
            try:
                lingering.wake()
            except Exception as trouble:
                lingering.without_a_thread(trouble)
    if error:
        fail(error, key)


def _n_sites(engine_key: Any) -> int:
    table = lib.jump_table_read(engine_key)
    if not table:
        raise MemoryError
    try:
        return int(table.n)
    finally:
        lib.free(table)


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
