"""Measure what a switch costs, off and on, beside the decorators that people write today and a direct call."""

import functools
from typing import Any

import wrapt
from rows import ARGUMENT, Call, Rows, passed_on

from jumplabel import StaticKey, static_switch

FLAG = False


def other(x: object) -> object:
    """Every row's target when on."""
    return x


def _call(call: Any, on: bool) -> Call:
    return Call(call, ARGUMENT, other if on else passed_on)


def switch(on: bool) -> Call:
    key = StaticKey("benchmarks.switch", default=on)
    return _call(static_switch(key, to=other)(passed_on), on)


def wraps(on: bool) -> Call:
    global FLAG
    FLAG = on

    def decorator(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if FLAG:
                return other(*args, **kwargs)
            return function(*args, **kwargs)

        return wrapper

    return _call(decorator(passed_on), on)


def wrapt_enabled(on: bool) -> Call:
    global FLAG
    FLAG = on

    # A callable is the only form of enabled= that can change at run time. wrapt calls it at every call.
    @wrapt.decorator(enabled=lambda: FLAG)
    def decorator(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        return other(*args, **kwargs)

    return _call(decorator(passed_on), on)


if __name__ == "__main__":
    Rows().calls(
        [
            ("switch off", lambda: switch(on=False)),
            ("wraps wrapper off", lambda: wraps(on=False)),
            ("wrapt off", lambda: wrapt_enabled(on=False)),
            ("switch on", lambda: switch(on=True)),
            ("wraps wrapper on", lambda: wraps(on=True)),
            ("wrapt on", lambda: wrapt_enabled(on=True)),
            ("partial", lambda: _call(functools.partial(passed_on), on=False)),
            ("direct call", lambda: _call(passed_on, on=False)),
        ]
    )
