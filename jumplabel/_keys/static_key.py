"""What a key knows: its name, its users, and how to bring its sites up to date.

The state itself lives in the engine (csrc/engine/static_key.h), behind the one mutex that patching takes too; what is
here is its Python face. The semantics are those of the Linux kernel's static keys,
Documentation/staging/static-keys.rst.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import finalize

from jumplabel._engine import ffi, lib
from jumplabel._keys import key_names, key_places, lingering, registry
from jumplabel._keys.batches import collecting, current_batch
from jumplabel._keys.key_places import Place
from jumplabel._keys.overrides import Override
from jumplabel._keys.registry import key, keys
from jumplabel._keys.toggles import callbacks
from jumplabel._keys.transactions import apply, fail
from jumplabel._program import looks
from jumplabel._program.engine_objects import published
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401
from jumplabel.errors import StaticKeyError

if TYPE_CHECKING:
    from jumplabel._keys.jump_entries import JumpEntry

__all__ = ["FollowingKey", "StaticKey", "address", "key", "keys"]

# Each look into ``lib`` is a call.
_ENABLE, _DISABLE, _INC, _DEC, _FLUSH = lib.KEY_ENABLE, lib.KEY_DISABLE, lib.KEY_INC, lib.KEY_DEC, lib.KEY_FLUSH

_toggle: Callable[[int, int], int]
(_toggle,) = published(lib.key_toggle_function)


class StaticKey:
    """A switch whose state is written into the code that it decides about.

    name      what ``jumplabel.key()`` finds it by; unique among the living keys of the process
    default   whether the key starts on, with one user
    deferred  for how many seconds it lingers, still on, after ``dec`` has taken its last user away; 0: not at all
    doc       what it is good for, shown to operators by ``python -m jumplabel keys PID``

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

    **The same place may make its key again**: a module that is reloaded, a notebook's cell that is run once more, a
    loop. It gets the key that is there, with its users, its state and its sites, and gives it the new ``deferred`` and
    ``doc``; ``default`` counts for a new key only. A place is an instruction of one code object; of code that was made
    anew, the module's ``__name__``, the qualified name of the function or class, and the file. (A place in a factory is
    the same for all its callers.) A subclass with an ``__init__`` of its own makes each of its keys once. Other places
    ask ``StaticKey.get``.

    Raises StaticKeyError for a name that another place has taken, and for one that is no name: empty, not a string, no
    UTF-8, with a NUL, longer than 4000 bytes in JSON; a pattern as ``*``, ``shop.*`` and ``!shop``; with a blank at
    either end, or nothing beside a comma. (Others may look like patterns, and are found by themselves.) For a time that
    is not a number of seconds from 0 on; and for a ``doc`` that is no string.
    """

    __slots__ = ("__weakref__", "_address", "_default", "_deferred", "_doc", "_key", "_name", "_place")

    if not TYPE_CHECKING:

        def __new__(cls, *arguments: Any, **options: Any) -> "StaticKey":
            if cls.__init__ is not StaticKey.__init__ or not (arguments or options):  # it may be named later
                return super().__new__(cls)
            return cls._make_again(*arguments, **options)

    def __init__(self, name: str, default: bool = False, deferred: float = 0, doc: str | None = None) -> None:
        if not hasattr(self, "_key"):
            with registry.lock:
                self._become(name, default, deferred, doc, key_places.caller())
        elif name != self._name:
            raise StaticKeyError(f"{self!r} is a key already; make another one for {name!r}")

    @classmethod
    def get(
        cls, name: str, default: bool | None = None, deferred: float | None = None, doc: str | None = None
    ) -> "StaticKey":
        """Return the key of this name; make it, as ``StaticKey`` does, where there is none.

        name      as of ``StaticKey``
        default   and the others: as of ``StaticKey``; None goes with any key

        Any thread may call this: of several that make it at once, one does. Raises StaticKeyError for what StaticKey
        refuses, where the key that is there was made with another ``default`` or ``deferred``, and where it is not of
        this class.
        """
        key_names.check(name)
        options = {"default": default, "deferred": deferred, "doc": doc}
        given = {option: value for option, value in options.items() if value is not None}
        with registry.lock:
            found = registry.by_name.get(name)
            if found is None:
                return cls(name, **given)  # type: ignore[arg-type]
            if not isinstance(found, cls):
                raise StaticKeyError(f"{found!r} is there already, and is no {cls.__name__}")
            for option, has in ("default", found._default), ("deferred", found._deferred):
                if given.get(option, has) != has:
                    raise StaticKeyError(
                        f"{found!r} is there already, made with {option}={has!r}, not {given[option]!r}; "
                        f"both places need the same, or StaticKey.get({name!r}) without it"
                    )
            if found._doc is None:
                found._doc = _checked_doc(name, doc)
            return found

    @classmethod
    def _make_again(cls, name: str, default: bool = False, deferred: float = 0, doc: str | None = None) -> "StaticKey":
        """The key that the calling place has made before, with these options; else a new one."""
        with registry.lock:
            found = registry.by_name.get(name) if isinstance(name, str) else None
            place = key_places.caller() if found is not None else None
            if found is None or place is None or not found._is_made_by(place, cls):
                made = object.__new__(cls)
                made._become(name, default, deferred, doc, place or key_places.caller())
                return made
            _check_default(name, default)
            nanoseconds, doc = _nanoseconds(name, deferred), _checked_doc(name, doc)
            _defer(found._key, nanoseconds)
            found._default, found._deferred, found._doc, found._place = default, float(deferred), doc, place
            return found

    def _is_made_by(self, place: Place, cls: type) -> bool:
        if self._place is None or not place.is_again(self._place):
            return False
        if type(self) is not cls and _full_name(type(self)) == _full_name(cls):
            try:
                self.__class__ = cls  # the module that was run again has made the class anew, too
            except TypeError:
                return False
        return type(self) is cls

    def _become(self, name: str, default: bool, deferred: float, doc: str | None, place: Place | None) -> None:
        """Become a key. The caller holds the registry's lock.

        place  that makes it; None for a key of our own
        """
        encoded = key_names.check(name)
        _check_default(name, default)
        nanoseconds, doc = _nanoseconds(name, deferred), _checked_doc(name, doc)
        found = registry.by_name.get(name)
        if found is not None:
            raise StaticKeyError(_taken(found, place))
        key = lib.static_key_new(encoded, _starts_on(self, name) or default)
        if not key:
            raise MemoryError
        if nanoseconds:
            _defer(key, nanoseconds)
        # Not ffi.gc(): the collector finalizes what that returns before others in the same garbage, whose __del__ or
        # suspended ``with`` block still use the key. It does not know a plain pointer, which goes when the key lets go.
        finalizer = finalize(key, lib.static_key_drop, ffi.cast("struct static_key *", key))
        finalizer.atexit = False  # type: ignore[misc]  # typeshed takes the property for a missing slot
        self._name = name
        self._default = default
        self._deferred = float(deferred)
        self._doc = doc
        self._place = place
        self._key = key
        self._address = int(ffi.cast("uintptr_t", key))
        if registry.by_name.setdefault(name, self) is not self:  # a signal handler's, which came in between
            raise StaticKeyError(_taken(registry.by_name[name], place))
        if not self._key.enabled and _starts_on(self, name):  # of a Starting that was made meanwhile
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
    def doc(self) -> str | None:
        """What the key is good for, as its maker says."""
        return self._doc

    @property
    def entries(self) -> tuple["JumpEntry", ...]:
        """The key's living sites, in the order of their addresses."""
        from jumplabel._keys.jump_entries import read_entries  # its classes take some milliseconds to make

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

    def override(self, enabled: bool) -> Override:
        """Hold the key on or off for a ``with`` block, in every thread; for tests and experiments.

        Users are still counted inside the block, and what they want takes effect when it ends. Overrides may nest
        and overlap: the newest decides. Not for use within ``batch()``, which would never show it. What this returns
        may be used again, also within its own block.

        It is a decorator, too. It holds the key for each run of a function; of a coroutine function until that is
        done; of a generator or async generator from its first step to its end. Of a class it holds it for each method
        whose name begins with "test", as ``unittest.mock.patch`` does; not for ``setUp``.

        Raises StaticKeyError for anything but True or False, and within a batch; PatchError where the sites cannot be
        rewritten. Where that happens at the end of the block, the next toggle of the key makes up for it. A process
        forked within the block keeps the override, unless it is the forking thread's own. As a decorator: raises
        DecorationError for what it cannot hold the key for: a class without tests, a property, a plain function around
        a coroutine, generator or async generator function.
        """
        if not isinstance(enabled, bool):
            raise StaticKeyError(f"{self!r}: override takes True or False, not {enabled!r}")
        return Override(self, enabled)

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


def _defer(engine_key: Any, nanoseconds: int) -> None:
    lib.static_key_defer(engine_key, nanoseconds)
    if nanoseconds:
        lib.fork_notice_urgent = 1  # a child needs a thread of its own, as soon as it can have one


def _check_default(name: str, default: object) -> None:
    if not isinstance(default, bool):
        raise StaticKeyError(f"StaticKey {name!r}: default is True or False, not {default!r}")


def _checked_doc(name: str, doc: object) -> str | None:
    """Without the indentation of a docstring; None where there is nothing in it."""
    if doc is None:
        return None
    if not isinstance(doc, str):
        raise StaticKeyError(f"StaticKey {name!r}: doc says what the key is good for, a string, not {doc!r}")
    if "\n" in doc:
        # Not inspect.cleandoc(): the caller holds the registry's lock, for which an import may wait.
        first, *others = doc.expandtabs().split("\n")
        margin = min((len(line) - len(line.lstrip(" ")) for line in others if line.strip(" ")), default=0)
        doc = "\n".join([first, *(line[margin:] for line in others)])
    return doc.strip() or None


def _full_name(kind: type) -> tuple[str, str]:
    return looks.module_of(kind), looks.qualname_of(kind)


def _taken(found: StaticKey, place: Place | None) -> str:
    """Why there can be no second key of its name, and what to do."""
    name, other = found._name, found._place
    message = f"there is a StaticKey {name!r} already: get it with jumplabel.key({name!r}), or StaticKey.get({name!r})"
    if other is None or place is None:
        return message
    if place.is_imported_twice(other):
        return (
            f"{message}. Is {place.file} run twice? As {other.module!r} it has made the key, and now it makes it as "
            f"{place.module!r}: a script that other modules import, or a module on two paths, is run once for each "
            "name. Put the key into a module that is imported by one name"
        )
    return f"{message}. It was made in {other.qualname} of {other.module!r}, {other.file}"


def _starts_on(key: StaticKey, name: str) -> bool:
    # All of them are asked, for each knows what it was used for.
    return any([starting.matches(key, name) for starting in registry.starting])


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
