"""``StaticKeyArray``: several keys under one prefix. Their tests are sites, as those of single keys are."""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import WeakValueDictionary

from jumplabel._keys.static_key import StaticKey
from jumplabel.errors import StaticKeyError


class _FixedError(StaticKeyError, AttributeError):
    """Raised where an array would change. As an AttributeError it is what any read-only attribute raises."""


class StaticKeyArray:
    """Keys that belong together: ``features = StaticKeyArray("shop", ["search", "cart"])``.

    prefix    begins the keys' names: ``shop.search`` and ``shop.cart``, for ``jumplabel.key()`` and the jump table
    names     the keys in the array: names that can follow a dot in Python and do not begin with an underscore. A dict
              gives each key its ``doc``: ``{"search": "the new search", "cart": None}``
    default   whether the keys start on, each with one user
    deferred  how many seconds each key lingers after its last user has gone, as in ``StaticKey``

    ``features.search`` and ``features["search"]`` are the key. A test of either is a site in a function under
    ``@static_branches`` that finds the array as a global, a closure variable, or an attribute of a module or a class.
    An array of a subclass has no sites. Iterating gives the keys in the order of ``names``. ``len(features)`` and
    ``"search" in features`` work, too. The array cannot be changed, and keeps its keys alive. It is pickled by its
    prefix and names, and equal only to itself. Any thread may make and use it.

    The same place may make its array again, as it may make its key again (see ``StaticKey``). It gets a new array of
    the keys that are there, with their users and sites.

    After DEFINE_STATIC_KEY_ARRAY_FALSE() of Linux include/linux/jump_label.h.

    Raises StaticKeyError for all that StaticKey refuses, such as a name that is taken. Raises it also for names that
    cannot be attributes, are given twice, or are used by the class itself, and where there is no name. Then none of the
    keys is made.
    """

    # These are in the instance's dict, beside the keys under their own names, which have no underscore in front.
    _prefix: str
    _keys: dict[str, StaticKey]

    def __init__(
        self,
        prefix: str,
        names: Iterable[str] | Mapping[str, str | None],
        default: bool = False,
        deferred: float = 0,
    ) -> None:
        if vars(self):
            raise StaticKeyError(f"{self!r} is an array already; make another one for {prefix!r}")
        if not isinstance(prefix, str) or not prefix:
            raise StaticKeyError(
                f"a StaticKeyArray needs a prefix for its names, a string such as 'shop', not {prefix!r}"
            )
        docs = names if isinstance(names, Mapping) else {}
        keys = dict.fromkeys(_checked(type(self), prefix, names))
        made: dict[str, StaticKey] = {}
        try:
            for name in keys:
                made[name] = StaticKey(f"{prefix}.{name}", default, deferred, docs.get(name))
        except BaseException:
            made.clear()  # the traceback keeps the dict alive
            raise
        vars(self).update(made, _prefix=prefix, _keys=made)
        _arrays[prefix, tuple(made)] = self

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> StaticKey: ...

    @property
    def prefix(self) -> str:
        """What the keys' names begin with, before a dot."""
        return self._prefix

    def __getitem__(self, name: str) -> StaticKey:
        try:
            return self._keys[name]
        except KeyError:
            raise StaticKeyError(f"{self!r} has no key {name!r}") from None

    def __iter__(self) -> Iterator[StaticKey]:
        return iter(self._keys.values())

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, name: object) -> bool:
        """Return whether the array has a key of this name, or has this key."""
        return name in self._keys if isinstance(name, str) else name in self._keys.values()

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise _FixedError(f"{self!r} cannot be changed: {name!r} cannot be set; toggle its keys, or make another array")

    def __delattr__(self, name: str) -> NoReturn:
        raise _FixedError(f"{self!r} cannot be changed: {name!r} cannot be deleted")

    def __repr__(self) -> str:
        return f"<StaticKeyArray {self._prefix!r}: {', '.join(self._keys)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return StaticKeyArray._find, (self._prefix, tuple(self._keys))

    @classmethod
    def _find(cls, prefix: str, names: tuple[str, ...]) -> "StaticKeyArray":
        """Return the living array of these keys. A pickle names this method, so it needs no private module."""
        found = _arrays.get((prefix, names))
        if found is None:
            raise StaticKeyError(
                f"there is no StaticKeyArray {prefix!r} of {', '.join(names)}: it is made by the module that defines "
                "it, which may not be imported yet"
            )
        return found


_arrays: WeakValueDictionary[tuple[str, tuple[str, ...]], StaticKeyArray] = WeakValueDictionary()


def _checked(kind: type, prefix: str, names: Iterable[str]) -> list[str]:
    what = f"StaticKeyArray {prefix!r}"
    if isinstance(names, str):
        raise StaticKeyError(f"{what}: names is a list of names, such as [{names!r}], not the string {names!r}")
    if not isinstance(names, Iterable):
        raise StaticKeyError(f"{what}: names is a list of names, not {names!r}")
    checked: list[str] = []
    for name in names:
        if not isinstance(name, str):
            raise StaticKeyError(f"{what}: a name is a string, not {name!r}")
        # The compiler brings identifiers into this form, so an attribute in another form is never found.
        if not name.isidentifier() or iskeyword(name) or unicodedata.normalize("NFKC", name) != name:
            raise StaticKeyError(f"{what}: {name!r} cannot be written behind a dot in Python; choose another name")
        if name.startswith("_"):
            raise StaticKeyError(f"{what}: {name!r} begins with an underscore; choose another name")
        if any(name in vars(base) for base in kind.__mro__):
            raise StaticKeyError(f"{what}: {name!r} is an attribute of every {kind.__name__}; choose another name")
        if name in checked:
            raise StaticKeyError(f"{what}: {name!r} is given twice")
        checked.append(name)
    if not checked:
        raise StaticKeyError(f"{what}: it needs at least one name")
    return checked
