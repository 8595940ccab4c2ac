"""From a function to a site: the decorators, and the one path that they share."""

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from functools import partial, update_wrapper
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from jumplabel._keys.static_key import StaticKey, address
from jumplabel._program.functions import check_can_be_off, check_same_flavour, full_name, owner, with_code
from jumplabel._program.site_types import StaticCallable
from jumplabel._sites.off_results import off_value
from jumplabel.errors import DecorationError

P = ParamSpec("P")
R = TypeVar("R")
D = TypeVar("D")
D_co = TypeVar("D_co", covariant=True)
Y = TypeVar("Y")
S = TypeVar("S")


class _Gate(Protocol[D_co]):
    """What the decorator makes of each sort of function. An ``Iterator`` may be a plain function's result, too."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Y, S, R]], /) -> Callable[P, Coroutine[Y, S, R | D_co]]: ...
    @overload
    def __call__(self, function: Callable[P, Generator[Y, S, R]], /) -> Callable[P, Generator[Y, S, R | D_co]]: ...
    @overload
    def __call__(self, function: Callable[P, AsyncGenerator[Y, S]], /) -> Callable[P, AsyncGenerator[Y, S]]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Callable[P, R | D_co]: ...


@overload
def static_gate(key: StaticKey) -> _Gate[None]: ...
@overload
def static_gate(key: StaticKey, default: D) -> _Gate[D]: ...
def static_gate(key: StaticKey, default: Any = None) -> Any:
    """A decorator: calls reach the function only while the key is on.

    key      the key that decides
    default  what a call returns while the key is off, the same object every time

    While it is off a call runs neither Python nor any C function of ours, whatever its arguments: they are evaluated
    by the caller, but not checked against the signature.

    Where the function's callers do not use what it returns but run it, they get a new object that runs no Python:

    a coroutine function        a coroutine: ``await`` gives ``default``
    a generator function        a generator: it yields nothing, and ``yield from`` gives ``default``
    an async generator function an async generator: it yields nothing

    They behave as a function's would whose body is ``return default``, but have neither code nor frame (``cr_frame``),
    as coroutines written in C, and nobody warns of a coroutine that was never awaited. What a caller got while the key
    was off stays empty when it is switched on, and the other way round. ``contextlib.contextmanager`` over such a gate
    raises RuntimeError ("generator didn't yield") while it is off; put the gate over it instead, with a ``default``
    that is a context manager, such as ``contextlib.nullcontext()``.

    The result stands for the function everywhere: as a method, under ``classmethod`` and ``staticmethod`` (in either
    order), for ``inspect``, ``pickle`` and weak references; ``__wrapped__`` is the function. It may be made and called
    in any thread.

    Raises DecorationError for what is not a key; not a callable; a class, a property; a plain function around a
    coroutine, generator or async generator function (by its ``__wrapped__``), of which nobody can tell what it returns;
    a function that is a gate already.
    """
    _check_key("static_gate", key)

    def decorate(function: Any) -> Any:
        return _site("gate", key, function, off=default, on=function, check=partial(check_can_be_off, "static_gate"))

    return decorate


def static_switch(key: StaticKey, to: Callable[P, R]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator: calls go to the function while the key is off, and to another one while it is on.

    key  the key that decides
    to   what is called, with the same arguments, while the key is on

    For methods, ``to`` takes the same first argument as the method. The result stands for the decorated function as
    ``static_gate`` describes.

    Raises DecorationError for what is not a key; not a callable; a class, a property; a function that is a switch
    already; and where one of the two is a coroutine, generator or async generator function and the other is not the
    same, as no caller could use both results.
    """
    _check_key("static_switch", key)
    if isinstance(to, classmethod | staticmethod):
        to = to.__func__
    if not callable(to):
        raise DecorationError(f"static_switch(key, to=...) needs a callable to switch to, not {to!r}")

    def check(function: Any) -> None:
        check_same_flavour("static_switch", function, to)

    def decorate(function: Any) -> Any:
        return _site("switch", key, function, off=function, on=to, check=check)

    return decorate


def _site(kind: str, key: StaticKey, function: Any, off: Any, on: Any, check: Callable[[Any], None]) -> Any:
    """The one way to a native site: everything is checked first, then the callable is made with its trampoline."""
    if isinstance(function, classmethod | staticmethod):
        inner = function.__func__
        off, on = (inner if target is function else target for target in (off, on))
        return type(function)(_site(kind, key, inner, off, on, check))
    if isinstance(function, type):
        raise DecorationError(
            f"static_{kind}: {full_name(function)} is a class; decorate its methods, or what makes it"
        )
    if not callable(function):
        hint = "; decorate the function inside it" if hasattr(function, "__get__") else ""
        raise DecorationError(f"static_{kind} decorates a function, not {function!r}{hint}")
    below = function
    while isinstance(below, StaticCallable):
        if below.__kind__ == kind:
            raise DecorationError(f"{full_name(function)} is a static_{kind} already: {below!r}; use one key for both")
        below = below.__wrapped__
    check(function)
    off, calls_off = off_value(function, off) if kind == "gate" else (off, True)
    made = StaticCallable(kind, key, address(key), off, on, owner(function), calls_off)
    return with_code(update_wrapper(made, function), function)


def _check_key(decorator: str, key: object) -> None:
    if not isinstance(key, StaticKey):
        hint = f"; write @{decorator}(key)" if callable(key) else ""
        raise DecorationError(f"{decorator} needs a StaticKey first, not {key!r}{hint}")
