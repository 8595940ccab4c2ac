"""The callables that are made in C (callable.c, call_site.c), and how a call site is led to a target."""

from typing import TYPE_CHECKING, Any, Self, TypeVar

from jumplabel._engine import ffi, lib
from jumplabel.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401
from jumplabel.published import published
from jumplabel.toggles import callbacks, new_report, tell
from jumplabel.transactions import patch_error

T = TypeVar("T", bound=type)


StaticCallable: Any
(StaticCallable,) = published(lib.callable_type)

if TYPE_CHECKING:

    class _Site:
        """What call_site.c gives both types."""

        __kind__: str
        __name__: str
        __qualname__: str
        __static_keys__: tuple[Any, ...]
        __state__: int
        __wrapped__: Any

        def __new__(
            cls,
            kind: str,
            keys: tuple[Any, ...],
            addresses: tuple[int, ...],
            off: Any,
            off_is: str,
            owner: str,
            of: Any,
        ) -> Self: ...
        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
        def __lead__(
            self, state: int, target: Any, follows: bool, expected: Any = ..., report: int = ..., /
        ) -> int: ...
        def __target__(self, state: int, /) -> Any: ...
        def __site__(self) -> int: ...

    class CallSite(_Site): ...

    class ObjectSite(_Site):
        """It is no method in a class."""

else:
    CallSite, ObjectSite = published(lib.call_site_types)


def sealed(kind: T) -> T:
    """A class decorator: a subclass of theirs that adds methods is called as quickly as they are, and cannot change."""
    lib.call_site_seal(id(kind))
    return kind


def lead(site: Any, state: int, target: Any, follows: bool = False) -> None:
    """From now on calls in this state go to the target; None: they go the off way.

    When it returns, no call that starts later goes to the old target. A state that is not the present one needs no
    patch. With ``follows`` the site's first key is on while there is a target. Raises PatchError.
    """
    error = site.__lead__(state, target, follows)
    if error:
        raise patch_error(error, repr(site))


def swap(site: Any, state: int, expected: Any, target: Any) -> bool:
    """``lead()`` with ``follows``, if ``__target__(state)`` is what is expected. Whether it was."""
    report = new_report(1) if callbacks else ffi.NULL
    try:
        error = site.__lead__(state, target, True, expected, int(ffi.cast("uintptr_t", report)))
    finally:
        if report:
            tell(report, site.__static_keys__)
    if error == lib.CALL_CHANGED:
        return False
    if error:
        raise patch_error(error, repr(site))
    return True
