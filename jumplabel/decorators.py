"""From a function to a site: the decorators, and the one path that they share."""

import contextlib
import inspect
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from functools import partial, update_wrapper
from types import MethodType
from typing import Any, ParamSpec, Protocol, TypeVar, cast, overload

from jumplabel._engine import ffi, lib
from jumplabel.errors import DecorationError
from jumplabel.keys import StaticKey

P = ParamSpec("P")
R = TypeVar("R")
D = TypeVar("D")
D_co = TypeVar("D_co", covariant=True)
Y = TypeVar("Y")
S = TypeVar("S")


def _published(publish: Callable[[int], int]) -> list[Any]:
    published: list[Any] = []
    if publish(id(published)):
        raise MemoryError
    return published


(StaticCallable,) = _published(lib.callable_type)
_Maker, _Coroutine, _Generator, _AwaitableGenerator, _AsyncGenerator, _Iterator, _Step = _published(lib.empty_types)


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
        return _site("gate", key, function, off=default, on=function, check=_check_gated)

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
        if _flavour(function) != _flavour(to):
            raise DecorationError(
                f"static_switch: {_name(function)} is {_flavour(function) or 'a plain callable'}, and {_name(to)} is "
                f"{_flavour(to) or 'a plain callable'}; no caller could use the results of both"
            )

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
        raise DecorationError(f"static_{kind}: {_name(function)} is a class; decorate its methods, or what makes it")
    if not callable(function):
        hint = "; decorate the function inside it" if hasattr(function, "__get__") else ""
        raise DecorationError(f"static_{kind} decorates a function, not {function!r}{hint}")
    below = function
    while isinstance(below, StaticCallable):
        if below.__kind__ == kind:
            raise DecorationError(f"{_name(function)} is a static_{kind} already: {below!r}; use one key for both")
        below = below.__wrapped__
    check(function)
    off, calls_off = _off_value(function, off) if kind == "gate" else (off, True)
    made = StaticCallable(kind, key, int(ffi.cast("uintptr_t", key._key)), off, on, _owner(function), calls_off)
    return _with_code(update_wrapper(made, function), function)


def _with_code(made: Any, function: Any) -> Any:
    """Let ``inspect`` say of it what it says of the function: it looks into a partial object, but not into ours."""
    inside = _inside(function)
    if isinstance(function, partial) and _own_flavour(inside):
        for name in ("__name__", "__code__", "__defaults__", "__kwdefaults__"):
            if hasattr(inside, name):
                vars(made).setdefault(name, getattr(inside, name))
    return made


def _check_key(decorator: str, key: object) -> None:
    if not isinstance(key, StaticKey):
        hint = f"; write @{decorator}(key)" if callable(key) else ""
        raise DecorationError(f"{decorator} needs a StaticKey first, not {key!r}{hint}")


def _check_gated(function: Any) -> None:
    flavour = _flavour(function)
    if flavour and not _own_flavour(_inside(function)):
        raise DecorationError(
            f"static_gate: {_name(function)} is a plain function around {flavour}, and may return anything; gate the "
            "function inside it"
        )


def _off_value(function: Any, default: Any) -> tuple[Any, bool]:
    """What stands for the function while it is switched off, and whether that is called for the result, or is it."""
    function = _inside(function)
    makes = _EMPTY.get(_own_flavour(function))
    if not makes:
        return default, False
    if makes is _Generator and any(_is_awaitable_generator_function(body) for body in _bodies(function)):
        makes = _AwaitableGenerator
    names = [getattr(function, name, None) for name in ("__name__", "__qualname__")]
    names = [name if isinstance(name, str) else type(function).__qualname__ for name in names]
    return _Maker(makes, _Iterator if makes is _Coroutine else _Step, default, *names), True


def _is_awaitable_generator_function(function: Any) -> bool:
    """Of types.coroutine."""
    return bool(getattr(getattr(function, "__code__", None), "co_flags", 0) & inspect.CO_ITERABLE_COROUTINE)


_FLAVOURS = {
    inspect.iscoroutinefunction: "a coroutine function",
    inspect.isasyncgenfunction: "an async generator function",
    inspect.isgeneratorfunction: "a generator function",
}

_EMPTY = {
    "a coroutine function": _Coroutine,
    "an async generator function": _AsyncGenerator,
    "a generator function": _Generator,
}


def _flavour(function: Any) -> str:
    """What the function is, where calling it gives no plain result; of a plain one, what it is wrapped around."""
    return _own_flavour(_inside(inspect.unwrap(_inside(function), stop=_decides)))


def _decides(function: Any) -> bool:
    return bool(_own_flavour(_inside(function))) or _makes_context_managers(function)


def _inside(function: Any) -> Any:
    """The callable that decides what a call returns."""
    while isinstance(function, StaticCallable | partial | MethodType):
        if isinstance(function, StaticCallable):
            function = function.__wrapped__
        else:
            function = function.func if isinstance(function, partial) else function.__func__
    return function


def _own_flavour(function: Any) -> str:
    """Without a look at what it is wrapped around."""
    for test, flavour in _FLAVOURS.items():
        if any(test(candidate) for candidate in _bodies(function)):
            return flavour
    return _FLAVOURS[inspect.iscoroutinefunction] if _is_marked(function) else ""


def _bodies(function: Any) -> list[Any]:
    """What a call runs: of an object, its type's __call__."""
    return [function] if inspect.isroutine(function) else [function, inspect.getattr_static(type(function), "__call__")]


_CONTEXT_MANAGERS = [
    make(cast(Any, int)).__code__ for make in (contextlib.contextmanager, contextlib.asynccontextmanager)
]


def _makes_context_managers(function: Any) -> bool:
    """A plain function around a generator function, of which everybody knows what it returns."""
    code = getattr(function, "__code__", None)
    return any(code is each for each in _CONTEXT_MANAGERS)


def _is_marked(function: Any) -> bool:
    """By the mark that asyncio.iscoroutinefunction() looks for; who has set it has imported asyncio."""
    mark = getattr(sys.modules.get("asyncio.coroutines"), "_is_coroutine", None)
    return mark is not None and getattr(function, "_is_coroutine", None) is mark


def _name(function: Any) -> str:
    module = getattr(function, "__module__", None) or type(function).__module__
    qualname = getattr(function, "__qualname__", None) or type(function).__qualname__
    return f"{module}.{qualname}"


def _owner(function: Any) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return printable(f"{_name(function)}:{code.co_firstlineno}" if code else _name(function))


def printable(owner: str) -> str:
    """Names may be any strings; the engine keeps a C string in UTF-8."""
    return owner.encode(errors="backslashreplace").decode().replace("\0", "\\x00")
