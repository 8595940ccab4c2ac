"""Measure what ``static_branches`` costs, once for each function.

The package remembers the result for a code object. So every function gets code of its own before it is decorated,
except for closures, which share their code. Other decorators of the same function are measured beside it. A C built-in
that keeps the function is the lower bound.
"""

import dis
import functools
import json
import logging
import time
from collections.abc import Callable
from types import FunctionType
from typing import Any

from rows import Rows

from jumplabel import StaticKey, static_branches, static_gate

INSTRUCTIONS = 200

PART = """
        if CHECK:
            logger.log(logging.INFO, "request %s", request)
        fields = json.loads(request)
        total = total + int(fields["count"]) * weight(fields)
        replies.append(total)
"""

key = StaticKey("benchmarks.decorating")
names: dict[str, Any] = {"key": key, "FLAG": False, "json": json, "logging": logging}
kept: list[FunctionType] = []  # closures share their code while one of them lives


def outer(check: str) -> Callable[[], FunctionType]:
    """Return a function that makes closures of at least so many instructions, with some tests in them."""
    source = "def outer():\n    def inner(request, total, replies):"
    instructions = 0
    while instructions < INSTRUCTIONS:
        source += PART.replace("CHECK", check)
        exec(source + "    return inner\n", names)
        instructions = sum(1 for _ in dis.get_instructions(names["outer"]().__code__))
    made: Callable[[], FunctionType] = names["outer"]
    return made


def fresh(function: FunctionType) -> FunctionType:
    return FunctionType(function.__code__.replace(), function.__globals__)


def decorating(make: Callable[[], FunctionType], has_sites: bool) -> Callable[[int], float]:
    before = len(key.entries)
    kept.append(static_branches(make()))
    if (len(key.entries) > before) != has_sites:
        raise AssertionError(f"{key!r} had {before} sites before")
    return timed(static_branches, make)


def timed(decorator: Callable[[Any], Any], make: Callable[[], FunctionType]) -> Callable[[int], float]:
    def time_decorations(loops: int) -> float:
        seconds = 0.0
        for _ in range(loops):
            function = make()
            began = time.perf_counter()
            decorator(function)
            seconds += time.perf_counter() - began
        return seconds

    return time_decorations


# ---- other decorators ----


def wraps(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def wrapt_decorator() -> Callable[[Any], Any]:
    import wrapt

    @wrapt.decorator(enabled=lambda: True)
    def decorator(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        return wrapped(*args, **kwargs)

    return decorator


OTHERS: dict[str, Callable[[], Callable[[Any], Any]]] = {
    "decorate, static_gate": lambda: static_gate(StaticKey("benchmarks.decorating.gate", default=True)),
    "decorate, functools.wraps": lambda: wraps,
    "decorate, wrapt": wrapt_decorator,
    "decorate, partial": lambda: functools.partial,
}
REQUEST, REPLIES = '{"count": 3}', [3]


def others(rows: Rows) -> None:
    source = outer("FLAG")
    names["weight"] = len
    for name in filter(rows.wants, OTHERS):
        decorator = OTHERS[name]()
        replies: list[int] = []
        decorator(fresh(source()))(REQUEST, 0, replies)
        if replies[:1] != REPLIES:
            raise AssertionError(f"{name}: {replies}")
        rows.runner.bench_time_func(name, timed(decorator, lambda: fresh(source())))


if __name__ == "__main__":
    rows = Rows()
    tested, untested = outer("key"), outer("FLAG")
    for name, make, has_sites in (
        ("decorate, tests of a key", lambda: fresh(tested()), True),
        ("decorate, no key named", lambda: fresh(untested()), False),
        ("decorate, closure again", tested, True),
    ):
        if rows.wants(name):
            rows.runner.bench_time_func(name, decorating(make, has_sites))
    others(rows)
