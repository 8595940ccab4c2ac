"""``StaticKey``. A key knows its name, its users, and how to bring its sites up to date.

The state lives in the engine (csrc/engine/static_key.h), behind the one mutex that patching takes, too. This class is
its Python face. The semantics are those of the Linux kernel's static keys, Documentation/staging/static-keys.rst.
"""

import math
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import finalize

from jumplabel._engine import ffi, lib
from jumplabel._keys import key_names, key_places, registry
from jumplabel._keys.batches import collecting, current_batch
from jumplabel._keys.jump_entries import JumpEntry, read_entries
from jumplabel._keys.key_places import Place
from jumplabel._keys.overrides import Override
from jumplabel._keys.registry import key, keys
from jumplabel._keys.transactions import take
from jumplabel._program import looks
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401
from jumplabel.errors import StaticKeyError

__all__ = ["FollowingKey", "StaticKey", "address", "key", "keys"]

# Found once: a toggle looks for them each time, and each look into ``lib`` is a call.
_collecting = collecting.get
_ENABLE, _DISABLE, _INC, _DEC, _FLUSH = lib.KEY_ENABLE, lib.KEY_DISABLE, lib.KEY_INC, lib.KEY_DEC, lib.KEY_FLUSH


class StaticKey:
    """A switch whose state is written into the code that it decides about.

    name      for ``jumplabel.key()`` to find the key; unique among the living keys of the process
    default   whether the key starts on, with one user
    deferred  how many seconds the key lingers, still on, after ``dec`` has removed its last user; 0: not at all
    doc       what the key is good for, shown to operators by ``python -m jumplabel keys PID``

    A key is on while it has users: its count is above zero. ``enable`` and ``disable`` are for one owner that sets the
    key, ``inc`` and ``dec`` for several users that each want it on for a while. ``bool(key)`` is its state.

    Every method may be called from any thread. When a toggle returns, every call and every pass that starts later
    sees the new state, on every thread. Several sites do not flip at one instant. Within ``batch()`` a toggle takes
    effect when the batch ends. A toggle that cannot be carried out raises PatchError and changes nothing.

    A deferred key that often loses its last user and gets another one is switched off at most once in ``deferred``
    seconds: when it had no user for so long. A user that comes before that finds the key on. Only ``dec`` is deferred:
    ``disable`` and ``flush`` take effect at once. All this is as in Linux include/linux/jump_label_ratelimit.h. While
    some key lingers the process has one more thread, which switches off the keys that are due. It reports a PatchError
    through ``sys.unraisablehook``, and tries again after ``deferred`` seconds, one at least. The child of a fork has a
    thread of its own. Where no thread can be had, as at the end of the interpreter, keys go off at once.

    **The same place may make its key again**: a module that is reloaded, a notebook's cell that is run once more, a
    loop. It gets the key that is there, with its users, its state and its sites. The key gets the new ``deferred`` and
    ``doc``; ``default`` counts for a new key only. A place is an instruction of one code object. In code that is made
    anew, it is the module's ``__name__``, the qualified name of the function or class, and the file. A place in a
    factory is the same for all callers of the factory. A subclass with an ``__init__`` of its own makes each of its
    keys once. Other places ask ``StaticKey.get``.

    Raises StaticKeyError for a name that another place has taken, and for a string that is no name: it is empty, is not
    UTF-8, has a NUL, or is longer than 4000 bytes in JSON; it is a pattern such as ``*``, ``shop.*`` and ``!shop``; it
    has a blank at either end, or nothing beside a comma. Other names may look like patterns, and find themselves.
    Raises it also where ``name`` or ``doc`` is no string, ``default`` no bool, and ``deferred`` no finite number of
    seconds from 0 on.
    """

    __slots__ = ("__weakref__", "_address", "_default", "_deferred", "_doc", "_key", "_name", "_place")

    if not TYPE_CHECKING:

        def __new__(cls, *arguments: Any, **options: Any) -> "StaticKey":
            if cls.__init__ is not StaticKey.__init__ or not (arguments or options):  # __init__ may get the name later
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

        name                    as in ``StaticKey``
        default, deferred, doc  as in ``StaticKey``; None goes with any key

        Any thread may call this. Where several threads make the key at once, they get the same one. Raises
        StaticKeyError for all that StaticKey refuses, where the key that is there was made with another ``default`` or
        ``deferred``, and where it is not of this class.
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
        """Return the key that the calling place has made before, with these options; otherwise a new key."""
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
        """Return whether this place has made the key before, of this class.

        A key of a class that its module has made anew becomes one of the new class.
        """
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

        place  the place that makes it; None for a key of our own
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
        # Not ffi.gc(): the collector may free its result before other objects of the same cycle, whose __del__ or
        # suspended ``with`` block still uses the key. The collector does not see a plain pointer, which lives as long
        # as the key refers to it.
        finalizer = finalize(key, lib.static_key_drop, ffi.cast("struct static_key *", key))
        finalizer.atexit = False  # type: ignore[misc]  # typeshed takes the property for a missing slot
        self._name = name
        self._default = default
        self._deferred = float(deferred)
        self._doc = doc
        self._place = place
        self._key = key
        self._address = int(ffi.cast("uintptr_t", key))
        if registry.by_name.setdefault(name, self) is not self:  # a signal handler has made one in between
            raise StaticKeyError(_taken(registry.by_name[name], place))
        if not self._key.enabled and _starts_on(self, name):  # by a Starting that was made meanwhile
            self.enable()

    @property
    def name(self) -> str:
        """The key's name, unique among the living keys."""
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
        """How many seconds the key lingers, on, after its last user has gone; 0.0: it does not linger."""
        return self._deferred

    @property
    def doc(self) -> str | None:
        """What the key is good for, as its maker says; None: the maker does not say."""
        return self._doc

    @property
    def entries(self) -> tuple[JumpEntry, ...]:
        """The key's living sites, in the order of their addresses."""
        return read_entries(self._key)

    def enable(self) -> None:
        """Turn the key on, with one user. A key that has users stays as it is."""
        _step(self, _ENABLE)

    def disable(self) -> None:
        """Turn the key off, a deferred key at once, too. A key that is off stays as it is.

        Raises StaticKeyError where the key has several users: it would go off under the others.
        """
        _step(self, _DISABLE)

    def inc(self) -> None:
        """Add a user. The first one turns the key on."""
        _step(self, _INC)

    def dec(self) -> None:
        """Remove a user. The last user turns the key off; a deferred key lingers instead.

        Raises StaticKeyError where the key has no user. A key that lingers has none.
        """
        _step(self, _DEC)

    def flush(self) -> None:
        """If the key lingers, turn it off now. Any other key stays as it is."""
        _step(self, _FLUSH)

    def override(self, enabled: bool) -> Override:
        """Hold the key on or off for a ``with`` block, in every thread; for tests and experiments.

        enabled  True holds the key on, False off

        Users are still counted inside the block. Their count takes effect when the block ends. Overrides may nest
        and overlap: the newest decides. The result may be used again, also within its own block. ``batch()`` refuses
        an override, which would never be seen there.

        The result is a decorator, too. It holds the key for each run of a function: of a coroutine function until the
        coroutine is done, of a generator or async generator from its first step to its end. In a class it decorates
        each method whose name begins with "test", as ``unittest.mock.patch`` does, and not ``setUp``.

        Any thread may call this. A process that is forked within the block keeps the override, unless it is the forking
        thread's own. Raises StaticKeyError for anything but True or False, and within a batch. Raises PatchError where
        the sites cannot be rewritten. Where that happens at the end of the block, the next toggle of the key makes up
        for it. The decorator raises DecorationError for a class without tests, a property, and a plain function around
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
    """A key that follows something else. It refuses each toggle with a StaticKeyError that says what to do instead."""

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
    """Return the address of the engine's key, which lives as long as it has sites."""
    return key._address


def _nanoseconds(name: str, deferred: float) -> int:
    """Return the time in nanoseconds, at most the 146 years that the engine can count. Raises StaticKeyError."""
    try:
        if isinstance(deferred, int | float) and not isinstance(deferred, bool) and 0 <= deferred < math.inf:
            return math.ceil(min(float(deferred) * 1e9, 2.0**62))
    except OverflowError:
        pass
    raise StaticKeyError(
        f"StaticKey {name!r}: deferred is for how many seconds the key lingers after its last user, a finite number "
        f"such as 0.5, or 0 for a key that goes off at once; not {deferred!r}"
    )


finalize(StaticKey, int).detach()  # the first finalizer imports a module, and a program's own call may not import


def _defer(engine_key: Any, nanoseconds: int) -> None:
    lib.static_key_defer(engine_key, nanoseconds)
    if nanoseconds:
        lib.fork_notice_urgent = 1  # a child needs a thread of its own, as soon as it can have one


def _check_default(name: str, default: object) -> None:
    if not isinstance(default, bool):
        raise StaticKeyError(f"StaticKey {name!r}: default is True or False, not {default!r}")


def _checked_doc(name: str, doc: object) -> str | None:
    """Return the text without the indentation of a docstring; None where it has no text. Raises StaticKeyError."""
    if doc is None:
        return None
    if not isinstance(doc, str):
        raise StaticKeyError(f"StaticKey {name!r}: doc says what the key is good for, a string, not {doc!r}")
    if "\n" in doc:
        # Not inspect.cleandoc(): the caller holds the registry's lock, and an import may wait for that lock.
        first, *others = doc.expandtabs().split("\n")
        margin = min((len(line) - len(line.lstrip(" ")) for line in others if line.strip(" ")), default=0)
        doc = "\n".join([first, *(line[margin:] for line in others)])
    return doc.strip() or None


def _full_name(kind: type) -> tuple[str, str]:
    return looks.module_of(kind), looks.qualname_of(kind)


def _taken(found: StaticKey, place: Place | None) -> str:
    """Return the message that there can be no second key of this name, and what to do."""
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
    # Ask all of them: each notes which of its patterns were used.
    return any([starting.matches(key, name) for starting in registry.starting])


def _step(key: StaticKey, operation: int) -> None:
    """Take a step now, or leave it to the batch in whose block this runs."""
    if _collecting() is not None:
        current = current_batch()
        if current is not None:
            current.steps.append((key, operation))
            return
    take(key, operation)


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
