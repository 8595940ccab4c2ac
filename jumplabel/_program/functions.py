"""What a function is and is called. Looks, and changes nothing."""

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
    """Of types.coroutine."""
    codes = [getattr(body, "__code__", None) for body in _bodies(function)]
    return any(getattr(code, "co_flags", 0) & ITERABLE_COROUTINE for code in codes)


_FLAVOURS = {
    COROUTINE: "a coroutine function",
    ASYNC_GENERATOR: "an async generator function",
    GENERATOR: "a generator function",
}


def flavour(function: Any) -> str:
    """What the function is, where calling it gives no plain result; of a plain one, what it is wrapped around."""
    return own_flavour(inside(unwrapped(inside(function), stop=_decides)))


def check_can_be_off(whose: str, function: Any) -> None:
    """Raises DecorationError where nobody can tell what callers want instead of its results."""
    around = flavour(function)
    if around and not own_flavour(inside(function)):
        raise DecorationError(
            f"{whose}: {full_name(function)} is a plain function around {around}, and may return anything; decorate "
            "the function inside it"
        )


def with_code(made: Any, function: Any) -> Any:
    """Let ``inspect`` say of it what it says of the function: it looks into a partial object, but not into ours."""
    decides = inside(function)
    if isinstance(function, partial) and own_flavour(decides):
        for name in ("__name__", "__code__", "__defaults__", "__kwdefaults__"):
            if hasattr(decides, name):
                vars(made).setdefault(name, getattr(decides, name))
    return made


def check_same_flavour(whose: str, function: Any, other: Any) -> None:
    """Raises DecorationError where one of them cannot take the other's place."""
    if flavour(function) != flavour(other):
        one, another = (f"{full_name(each)} is {flavour(each) or 'a plain callable'}" for each in (function, other))
        raise DecorationError(f"{whose}: {one}, and {another}; no caller could use the results of both")


def _decides(function: Any) -> bool:
    return bool(own_flavour(inside(function))) or _makes_context_managers(function)


def inside(function: Any) -> Any:
    """The callable that decides what a call returns."""
    while isinstance(function, StaticCallable | CallSite | partial | MethodType):
        if isinstance(function, StaticCallable | CallSite):
            function = function.__wrapped__
        else:
            function = function.func if isinstance(function, partial) else function.__func__
    return function


def own_flavour(function: Any) -> str:
    """Without a look at what it is wrapped around."""
    bodies = _bodies(function)
    for flag, flavour in _FLAVOURS.items():
        if any(has_code_flag(body, flag) for body in bodies):
            return flavour
    return _FLAVOURS[COROUTINE] if _is_marked(function) or any(map(is_marked_coroutine, bodies)) else ""


def _bodies(function: Any) -> list[Any]:
    """What a call runs: of an object, its type's __call__."""
    return [function] if is_routine(function) else [function, type_call(function)]


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


def full_name(function: Any) -> str:
    module = getattr(function, "__module__", None) or type(function).__module__
    qualname = getattr(function, "__qualname__", None) or type(function).__qualname__
    return f"{module}.{qualname}"


def owner(function: Any) -> str:
    code = getattr(unwrapped(function), "__code__", None)
    return printable(f"{full_name(function)}:{code.co_firstlineno}" if code else full_name(function))
