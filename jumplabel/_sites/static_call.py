"""``StaticCall``: a call whose target is a jump in machine code, which ``update()`` rewrites."""

from collections.abc import Callable
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from jumplabel._engine import ffi, lib
from jumplabel._program.exported import exported
from jumplabel._program.functions import check_can_be_off, check_same_flavour, full_name, owner, with_code
from jumplabel._program.site_types import CallSite, sealed
from jumplabel._sites.call_sites import lead
from jumplabel._sites.off_results import off_result
from jumplabel.errors import DecorationError

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")

ON = 1
"""The state of a call with a target: its one key is on. Only the call knows that key."""


@sealed
@exported
class StaticCall(CallSite, Generic[P, R]):
    """A function whose implementation can be replaced while it is being called.

    function  the first target. The object stands for it: its name, signature, ``__wrapped__``

    **A new target that wraps the present one must take it from ``func`` before update()**: if it called the StaticCall,
    the call would come back to itself.

    A call runs one jump to the present target. ``update`` rewrites that jump, as the Linux kernel's static calls do
    (include/linux/static_call.h). Use it as a decorator or directly, for functions and methods; under ``classmethod``
    and ``staticmethod``, not over them. Arguments are passed on as they are, keywords and all.

    Any thread may make, call and update it. Raises DecorationError for an object that cannot be called, and for a
    ``classmethod``, ``staticmethod`` or property.
    """

    __slots__ = ()

    def __new__(cls, function: Callable[P, R]) -> "StaticCall[P, R]":
        _check(function)
        off, is_called = off_result(function, None)
        off_is = "callable" if is_called else "result"
        key = lib.static_key_new(full_name(function).encode(errors="backslashreplace"), False)
        if not key:
            raise MemoryError
        try:
            address = int(ffi.cast("uintptr_t", key))
            made: StaticCall[P, R] = super().__new__(
                cls, "call", (), (address,), off, off_is, owner(function), function
            )
        finally:
            lib.static_key_drop(key)  # from now on the site alone keeps it
        with_code(update_wrapper(made, function), function)
        lead(made, ON, function, follows=True)
        return made

    def update(self, function: Callable[P, R] | None) -> None:
        """Have later calls go to another function.

        function  the new target. None: calls return None without entering Python. ``static_gate`` says what calls of a
                  coroutine, generator or async generator function return then

        When it returns, every call that starts later goes to the new target, on every thread. Running calls go on in
        the old target. An update is no part of a ``batch()``: it takes effect at once.

        Any thread may call it, also from within the function. Raises DecorationError for a target that cannot be
        called, or cannot take the first target's place. A coroutine function takes only the place of another coroutine
        function, and None does not take that of a plain function around one; the same holds for generators. Raises
        PatchError where the site cannot be rewritten. After an error, calls go where they went before.
        """
        if function is None:
            check_can_be_off("StaticCall.update(None)", self.__wrapped__)
        else:
            _check(function)
            check_same_flavour("StaticCall.update", function, self.__wrapped__)
        lead(self, ON, function, follows=True)

    @property
    def func(self) -> Callable[P, R] | None:
        """The present target; None while calls return None."""
        target: Callable[P, R] | None = self.__target__(ON)
        return target

    def __repr__(self) -> str:
        return f"<StaticCall {full_name(self)} to {self.func!r}>"

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...

        @overload
        def __get__(self, instance: None, owner: type) -> "StaticCall[P, R]": ...
        @overload
        def __get__(
            self: "StaticCall[Concatenate[Any, Q], R]", instance: object, owner: type | None = None
        ) -> Callable[Q, R]: ...
        def __get__(self, instance: Any, owner: Any = None) -> Any: ...


def _check(function: Any) -> None:
    if isinstance(function, classmethod | staticmethod):
        kind = type(function).__name__
        raise DecorationError(f"StaticCall calls functions, not {function!r}; put @{kind} around the StaticCall")
    if not callable(function):
        raise DecorationError(f"StaticCall needs a callable, not {function!r}")
