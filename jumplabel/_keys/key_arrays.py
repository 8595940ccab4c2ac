"""Several keys under one prefix, whose tests are sites as those of single keys are."""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import WeakValueDictionary

from jumplabel._keys.static_key import StaticKey
from jumplabel.errors import StaticKeyError


class _FixedError(StaticKeyError, AttributeError):
    """As AttributeError, what assigning to any read-only attribute raises."""


class StaticKeyArray:
    """Keys that belong together: ``features = StaticKeyArray("shop", ["search", "cart"])``.

    prefix    of the keys' names: ``shop.search`` and ``shop.cart``, for ``jumplabel.key()`` and the jump table
    names     of the keys in the array; what can follow a dot in Python, but does not begin with an underscore. A dict
              gives each its ``doc``: ``{"search": "the new search", "cart": None}``
    default   whether they start on, each with one user
    deferred  for how many seconds each lingers after its last user, as of ``StaticKey``

    ``features.search`` and ``features["search"]`` are the key. The test of either is a site in a function under
    ``@static_branches`` that finds the array as a global, a closure variable, or an attribute of a module or a class,
    unless it is of a subclass. Iterating gives the keys in the order of ``names``; ``len(features)``, and
    ``"search" in features``. The array cannot be changed, and keeps its keys alive. It is pickled by its prefix and
    names, and equal only to itself. Any thread may make and use it.

    The same place may make its array again, as it may a key (``StaticKey`` says when): it gets a new array of the keys
    that are there, with their users and sites.

    After DEFINE_STATIC_KEY_ARRAY_FALSE() of Linux include/linux/jump_label.h.

    Raises StaticKeyError, with none of the keys made: for what StaticKey refuses, names that are taken among it; for
    names that cannot be attributes, are given twice, or are used by the class itself; and for no names at all.
    """

    # In the instance's dictionary, beside the keys under their names: what begins with an underscore.
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
            made.clear()  # which the traceback keeps
            raise
        vars(self).update(made, _prefix=prefix, _keys=made)
        _arrays[prefix, tuple(made)] = self

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> StaticKey: ...

    @property
    def prefix(self) -> str:
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
        """Whether there is a key of this name in it; of a key, whether it is one of them."""
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
        # The compiler has identifiers in this form only: another one would never be found.
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
