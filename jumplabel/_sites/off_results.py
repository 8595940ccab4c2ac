"""Off-state results: what a call of a function returns while the function is switched off."""

from typing import Any

from jumplabel._engine import lib
from jumplabel._program.engine_objects import published
from jumplabel._program.functions import inside, is_awaitable_generator_function, own_flavour

_Maker, _Coroutine, _Generator, _AwaitableGenerator, _AsyncGenerator, _Iterator, _Step = published(lib.off_result_types)

_OFF_TYPES = {
    "a coroutine function": _Coroutine,
    "an async generator function": _AsyncGenerator,
    "a generator function": _Generator,
}


def off_result(function: Any, default: Any) -> tuple[Any, bool]:
    """Return the off-state result of a function, and whether it must be called to get the result.

    default  what a call returns, or what an awaited coroutine or a finished generator gives
    """
    function = inside(function)
    makes = _OFF_TYPES.get(own_flavour(function))
    if not makes:
        return default, False
    if makes is _Generator and is_awaitable_generator_function(function):
        makes = _AwaitableGenerator
    names = [getattr(function, name, None) for name in ("__name__", "__qualname__")]
    names = [name if isinstance(name, str) else type(function).__qualname__ for name in names]
    return _Maker(makes, _Iterator if makes is _Coroutine else _Step, default, *names), True
