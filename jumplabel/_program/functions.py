"""What kind of function a callable is, and what it is called. Only ``with_code`` changes anything."""

import contextlib
import sys
from functools import partial
from types import MethodType
from typing import Any, cast

from jumplabel._program.function_kinds import (
    ASYNC_GENERATOR,
    COROUTINE,
    GENERATOR,
    ITERABLE_COROUTINE,
    has_code_flag,
    is_marked_coroutine,
    is_routine,
    type_call,
    unwrapped,
)
from jumplabel._program.printing import printable
from jumplabel._program.site_types import CallSite, StaticCallable
from jumplabel.errors import DecorationError


def is_awaitable_generator_function(function: Any) -> bool:
    """Return whether it is a generator function that ``types.coroutine`` has made awaitable."""
    codes = [getattr(body, "__code__", None) for body in _bodies(function)]
    return any(getattr(code, "co_flags", 0) & ITERABLE_COROUTINE for code in codes)


_FLAVOURS = {
    COROUTINE: "a coroutine function",
    ASYNC_GENERATOR: "an async generator function",
    GENERATOR: "a generator function",
}


def flavour(function: Any) -> str:
    """Return what kind of function it is: ``"a coroutine function"``, say; ``""`` for one with plain results.

    For a plain function around another one, return the kind of the other one.
    """
    return own_flavour(inside(unwrapped(inside(function), stop=_ends_the_search)))


def check_can_be_off(whose: str, function: Any) -> None:
    """Check that it is known what the function's callers get while it is off. Raises DecorationError.

    whose  the decorator, for the message
    """
    around = flavour(function)
    if around and not own_flavour(inside(function)):
        raise DecorationError(
            f"{whose}: {full_name(function)} is a plain function around {around}, and may return anything; decorate "
            "the function inside it"
        )


def with_code(made: Any, function: Any) -> Any:
    """Let ``inspect`` say of an object that we made what it says of the function. Returns the object.

    ``inspect`` looks into a partial object, but not into ours.
    """
    decides = inside(function)
    if isinstance(function, partial) and own_flavour(decides):
        for name in ("__name__", "__code__", "__defaults__", "__kwdefaults__"):
            if hasattr(decides, name):
                vars(made).setdefault(name, getattr(decides, name))
    return made


def check_same_flavour(whose: str, function: Any, other: Any) -> None:
    """Check that one of two functions can take the other's place. Raises DecorationError.

    whose  the decorator, for the message
    """
    if flavour(function) != flavour(other):
        one, another = (f"{full_name(each)} is {flavour(each) or 'a plain callable'}" for each in (function, other))
        raise DecorationError(f"{whose}: {one}, and {another}; no caller could use the results of both")


def _ends_the_search(function: Any) -> bool:
    return bool(own_flavour(inside(function))) or _makes_context_managers(function)


def inside(function: Any) -> Any:
    """Return the callable that decides what a call returns: the one within sites, partial objects and methods."""
    while isinstance(function, StaticCallable | CallSite | partial | MethodType):
        if isinstance(function, StaticCallable | CallSite):
            function = function.__wrapped__
        else:
            function = function.func if isinstance(function, partial) else function.__func__
    return function


def own_flavour(function: Any) -> str:
    """Return what kind of function it is by itself, whatever it is wrapped around: see ``flavour``."""
    bodies = _bodies(function)
    for flag, flavour in _FLAVOURS.items():
        if any(has_code_flag(body, flag) for body in bodies):
            return flavour
    return _FLAVOURS[COROUTINE] if _is_marked(function) or any(map(is_marked_coroutine, bodies)) else ""


def _bodies(function: Any) -> list[Any]:
    """Return what a call may run: the function; for another object, also its type's ``__call__``."""
    return [function] if is_routine(function) else [function, type_call(function)]


_CONTEXT_MANAGERS = [
    make(cast(Any, int)).__code__ for make in (contextlib.contextmanager, contextlib.asynccontextmanager)
]


def _makes_context_managers(function: Any) -> bool:
    """Return whether it is a plain function around a generator function that returns a context manager."""
    code = getattr(function, "__code__", None)
    return any(code is each for each in _CONTEXT_MANAGERS)


def _is_marked(function: Any) -> bool:
    """Return whether the function has the mark that ``asyncio.iscoroutinefunction()`` looks for.

    Without asyncio imported there is no mark.
    """
    mark = getattr(sys.modules.get("asyncio.coroutines"), "_is_coroutine", None)
    return mark is not None and getattr(function, "_is_coroutine", None) is mark


def full_name(function: Any) -> str:
    """Return ``module.qualname``; that of its type for an object without a name."""
    module = getattr(function, "__module__", None) or type(function).__module__
    qualname = getattr(function, "__qualname__", None) or type(function).__qualname__
    return f"{module}.{qualname}"


def owner(function: Any) -> str:
    """Return the function's name for the jump table: ``module.qualname:line``."""
    code = getattr(unwrapped(function), "__code__", None)
    return printable(f"{full_name(function)}:{code.co_firstlineno}" if code else full_name(function))
