"""The types of callables that C makes: csrc/cpython/callable.c and call_site.c."""

from typing import TYPE_CHECKING, Any, Self, TypeVar

from jumplabel._engine import lib
from jumplabel._program.engine_objects import published

T = TypeVar("T", bound=type)


StaticCallable: Any
(StaticCallable,) = published(lib.callable_type)

if TYPE_CHECKING:

    class _Site:
        """What csrc/cpython/call_site.c gives both types."""

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
        """A site that does not become a method as an attribute of a class."""

else:
    CallSite, ObjectSite = published(lib.call_site_types)


def sealed(kind: T) -> T:
    """Seal a subclass of these types: its objects are called as quickly as theirs, and its attributes cannot be set.

    A class decorator. The subclass may add methods only.
    """
    lib.call_site_seal(id(kind))
    return kind
