"""The types of the callables that are made in C: callable.c and call_site.c."""

from typing import TYPE_CHECKING, Any, Self, TypeVar

from jumplabel._engine import lib
from jumplabel._program.engine_objects import published

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
