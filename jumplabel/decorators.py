"""From a function to a site: the decorators, and the one path that they share."""

import inspect
from collections.abc import Callable
from functools import update_wrapper
from typing import Any, ParamSpec, TypeVar, overload

from jumplabel._engine import ffi, lib
from jumplabel.errors import DecorationError
from jumplabel.keys import StaticKey

P = ParamSpec("P")
R = TypeVar("R")
D = TypeVar("D")


def _published_type() -> Any:
    published: list[Any] = []
    if lib.callable_type(id(published)):
        raise MemoryError
    return published[0]


StaticCallable = _published_type()


@overload
def static_gate(key: StaticKey) -> Callable[[Callable[P, R]], Callable[P, R | None]]: ...
@overload
def static_gate(key: StaticKey, default: D) -> Callable[[Callable[P, R]], Callable[P, R | D]]: ...
def static_gate(key: StaticKey, default: Any = None) -> Callable[[Any], Any]:
    """A decorator: calls reach the function only while the key is on.

    key      the key that decides
    default  what a call returns while the key is off, the same object every time

    While it is off a call runs neither Python nor any C function of ours, whatever its arguments: they are evaluated
    by the caller, but not checked against the signature.

    The result stands for the function everywhere: as a method, under ``classmethod`` and ``staticmethod`` (in either
    order), for ``inspect``, ``pickle`` and weak references; ``__wrapped__`` is the function. It may be made and called
    in any thread.

    Raises DecorationError for what is not a key; not a callable; a class, a property; a coroutine, generator or async
    generator function, whose callers could not use ``default``; a function that is a gate already.
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
    made = StaticCallable(kind, key, int(ffi.cast("uintptr_t", key._key)), off, on, _owner(function))
    return update_wrapper(made, function)


def _check_key(decorator: str, key: object) -> None:
    if not isinstance(key, StaticKey):
        hint = f"; write @{decorator}(key)" if callable(key) else ""
        raise DecorationError(f"{decorator} needs a StaticKey first, not {key!r}{hint}")


def _check_gated(function: Any) -> None:
    flavour = _flavour(function)
    if flavour:
        raise DecorationError(
            f"static_gate: {_name(function)} is {flavour}; while the key is off its callers would get the plain "
            "default. Gate a plain function that it calls instead"
        )


_FLAVOURS = {
    inspect.iscoroutinefunction: "a coroutine function",
    inspect.isasyncgenfunction: "an async generator function",
    inspect.isgeneratorfunction: "a generator function",
}


def _flavour(function: Any) -> str:
    """What the function is, where calling it gives no plain result; of an object, what its type's __call__ is."""
    candidates = [function, inspect.unwrap(function)]
    if not inspect.isroutine(function):
        candidates.append(inspect.getattr_static(type(function), "__call__", None))
    for test, flavour in _FLAVOURS.items():
        if any(test(candidate) for candidate in candidates):
            return flavour
    return ""


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
