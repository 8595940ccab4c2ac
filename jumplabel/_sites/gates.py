"""``@static_gate`` and ``@static_switch``, and the one path to a native site that they share."""

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from functools import partial, update_wrapper
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from jumplabel._keys.static_key import StaticKey, address
from jumplabel._program.functions import check_can_be_off, check_same_flavour, full_name, owner, with_code
from jumplabel._program.site_types import StaticCallable
from jumplabel._sites.off_results import off_result
from jumplabel.errors import DecorationError

P = ParamSpec("P")
R = TypeVar("R")
D = TypeVar("D")
D_co = TypeVar("D_co", covariant=True)
Y = TypeVar("Y")
S = TypeVar("S")


class _Gate(Protocol[D_co]):
    """The decorator's result for each sort of function. A plain function may return an ``Iterator``, too."""

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
    """Decorator: calls reach the function only while the key is on.

    key      the key that decides
    default  what a call returns while the key is off, the same object every time

    While the key is off, a call runs neither Python nor any C function of ours. The caller evaluates the arguments, and
    nothing checks them against the signature.

    A call of a coroutine or generator function must return an object that its caller can run. While the key is off,
    such a call returns a new object that runs no Python:

    a coroutine function        a coroutine: ``await`` gives ``default``
    a generator function        a generator: it yields nothing, and ``yield from`` gives ``default``
    an async generator function an async generator: it yields nothing

    These objects behave as those of a function whose body is ``return default``. As coroutines written in C, they have
    neither code nor frame (``cr_frame``), and the interpreter does not warn of a coroutine that was never awaited. An
    object that was made while the key was off stays empty when the key goes on, and the other way round.

    ``contextlib.contextmanager`` over such a gate raises RuntimeError ("generator didn't yield") while the key is off.
    Put the gate over it instead, with a ``default`` that is a context manager, such as ``contextlib.nullcontext()``.

    The result stands for the function everywhere: as a method, under ``classmethod`` and ``staticmethod`` (in either
    order), for ``inspect``, ``pickle`` and weak references; ``__wrapped__`` is the function. Any thread may make and
    call it.

    Raises DecorationError for a first argument that is not a key; for a function that is not callable, a class, a
    property, or a gate already; and for a plain function around a coroutine, generator or async generator function (by
    its ``__wrapped__``), as such a function may return anything.
    """
    _check_key("static_gate", key)

    def decorate(function: Any) -> Any:
        return _decorated(
            "gate", key, function, off=default, on=function, check=partial(check_can_be_off, "static_gate")
        )

    return decorate


def static_switch(key: StaticKey, to: Callable[P, R]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator: calls go to the function while the key is off, and to another function while it is on.

    key  the key that decides
    to   what is called, with the same arguments, while the key is on

    For methods, ``to`` takes the same first argument as the method. The result stands for the decorated function as
    ``static_gate`` describes. Any thread may make and call it.

    Raises DecorationError for a first argument that is not a key; for a function or a ``to`` that is not callable; for
    a function that is a class, a property, or a switch already; and where one of the two is a coroutine, generator or
    async generator function and the other is not of that sort, as no caller could use the results of both.
    """
    _check_key("static_switch", key)
    if isinstance(to, classmethod | staticmethod):
        to = to.__func__
    if not callable(to):
        raise DecorationError(f"static_switch(key, to=...) needs a callable to switch to, not {to!r}")

    def check(function: Any) -> None:
        check_same_flavour("static_switch", function, to)

    def decorate(function: Any) -> Any:
        return _decorated("switch", key, function, off=function, on=to, check=check)

    return decorate


def _decorated(kind: str, key: StaticKey, function: Any, off: Any, on: Any, check: Callable[[Any], None]) -> Any:
    """Check everything, and then make the callable with its trampoline. Every gate and switch is made here."""
    if isinstance(function, classmethod | staticmethod):
        inner = function.__func__
        off, on = (inner if target is function else target for target in (off, on))
        return type(function)(_decorated(kind, key, inner, off, on, check))
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
    off, calls_off = off_result(function, off) if kind == "gate" else (off, True)
    made = StaticCallable(kind, key, address(key), off, on, owner(function), calls_off)
    return with_code(update_wrapper(made, function), function)


def _check_key(decorator: str, key: object) -> None:
    if not isinstance(key, StaticKey):
        hint = f"; write @{decorator}(key)" if callable(key) else ""
        raise DecorationError(f"{decorator} needs a StaticKey first, not {key!r}{hint}")
