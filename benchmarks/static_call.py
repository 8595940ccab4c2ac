"""Measure what a call costs whose target can be swapped, beside the ways in which people swap functions today.

Each row calls its target after one swap: by rebinding a global, setting an attribute or an entry of a dictionary,
through a wrapper that looks the target up, and by a StaticCall's update(). A call of a C built-in is the lower bound
for a call without a target.
"""

import functools
from collections.abc import Callable
from typing import Any

from rows import ARGUMENT, DUPLICATES, Call, Rows, check, passed_on

from jumplabel import StaticCall


def replaced(x: object) -> object:
    """Every row's target before the swap."""
    raise AssertionError


class Holder:
    target: Callable[[Any], Any] = staticmethod(replaced)


def static_call() -> Call:
    call = StaticCall(replaced)
    call.update(passed_on)
    return Call(call, ARGUMENT, passed_on)


def static_call_off() -> Call:
    call = StaticCall(replaced)
    call.update(None)
    return Call(call, None, None)


def wrapper() -> Call:
    holder = Holder()
    holder.target = passed_on

    @functools.wraps(replaced)
    def call(*args: Any, **kwargs: Any) -> Any:
        return holder.target(*args, **kwargs)

    return Call(call, ARGUMENT, passed_on)


def swapped_global() -> dict[str, Any]:
    names: dict[str, Any] = {"target": replaced}
    names["target"] = passed_on
    return names


def swapped_attribute() -> dict[str, Any]:
    holder = Holder()
    holder.target = passed_on
    return {"holder": holder}


def swapped_entry() -> dict[str, Any]:
    table = {"target": replaced}
    table["target"] = passed_on
    return {"table": table}


# Rows that are an expression instead of one callable in a variable.
EXPRESSIONS: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
    "rebound global": ("target(argument)", swapped_global),
    "attribute": ("holder.target(argument)", swapped_attribute),
    "dictionary": ('table["target"](argument)', swapped_entry),
}


def expressions(rows: Rows) -> None:
    for name, (expression, make) in EXPRESSIONS.items():
        if not rows.wants(f"call through {name}"):
            continue
        names = make()
        if not rows.args.worker:
            call = eval(f"lambda argument: {expression}", names)
            check(name, Call(call, ARGUMENT, passed_on))
        rows.runner.timeit(
            f"call through {name}",
            expression,
            setup="argument = ARGUMENT",
            globals={**names, "ARGUMENT": ARGUMENT},
            duplicate=DUPLICATES,
        )


if __name__ == "__main__":
    rows = Rows()
    expressions(rows)
    rows.calls(
        [
            ("call through StaticCall", static_call),
            ("call through StaticCall off", static_call_off),
            ("call through wrapper", wrapper),
            ("call through C built-in", lambda: Call({}.get, None, None)),
        ]
    )
