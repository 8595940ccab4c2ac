"""Measure what a test of a static key adds to a function, off and on, beside the tests that people write today.

All rows are the same two functions, compiled anew for each row. Only the check differs. ``sys.monitoring`` needs no
check: when off, its callback has returned DISABLE for every line; when on, it counts the lines that hold the checks.
"""

import functools
import itertools
import logging
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from rows import Rows

from jumplabel import StaticKey, static_branches

CHECKS_A_PASS = 10  # so the loop's own cost is small
CHECKS_A_CALL = 3
PASSES_A_TURN, TURNS = 300, 1000
LEAST = 1e-6  # pyperf refuses values of zero and below

# The statements between the checks. The first is the cheapest, so it hides none of a check's cost.
STATEMENTS = {"loop": "done = None", "sum": "total += i"}


def loop_of(statement: str) -> str:
    """Return statements that CPython does not fuse with their neighbours, because a check would prevent the fusion."""
    lines = f"            CHECK\n            {statement}\n" * CHECKS_A_PASS
    return f"""
def make(closed):
    def loop(passes, local):
        hits = total = 0
        for i in range(passes):
{lines}
        return hits
    return loop
"""


FUNCTION = """
def price(count, each):
    return count * each

def make(closed):
    def handle(request, local):
        hits = 0
        CHECK
        fields = {}
        for field in request.split("&"):
            name, _, value = field.partition("=")
            fields[name] = value
        CHECK
        user = fields.get("user", "nobody").strip().lower()
        total = price(int(fields["count"]), float(fields["each"]))
        CHECK
        return f"{user} pays {total:.2f}", hits
    return handle
"""
REQUEST, REPLY = "user=Ada &count=3&each=1.5", "ada pays 4.50"

CHECKS = {
    "check deleted": "",
    "static branch": "key",
    "local flag": "local",
    "global flag": "FLAG",
    "attribute flag": "flags.tracing",
    "closure flag": "closed",
    "logger.isEnabledFor": "logger.isEnabledFor(DEBUG)",
    "sys.flags constant": "sys.flags.dev_mode",
}
if sys.version_info >= (3, 12):
    CHECKS["sys.monitoring"] = ""
# For the function only. In a loop people would not call these: they take thousands of times as long as a flag.
SERVICES = {
    "OpenFeature no-op": 'client.get_boolean_value("tracing", FLAG)',  # the answer is the default
    "OpenFeature in memory": 'client.get_boolean_value("tracing", False)',
}


class Flags:
    def __init__(self, tracing: bool) -> None:
        self.tracing = tracing


numbers = itertools.count()  # for the names of keys


def function(template: str, row: str, on: bool) -> Callable[[Any, bool], Any]:
    """Return the template's function with this row's check. Without a check its body is always there, or never."""
    lines_seen()  # forget those of an earlier row
    check, body = {**CHECKS, **SERVICES}[row], "hits += 1"
    if row == "sys.flags constant" and bool(sys.flags.dev_mode) != on:  # a constant of this process
        check = f"not {check}"
    if row == "check deleted":
        line = body if on else ""
    elif not check:
        line = ""
    else:
        line = f"if {check}: {body}"
    names: dict[str, Any] = {"FLAG": on, "flags": Flags(on), "sys": sys, "DEBUG": logging.DEBUG}
    names["key"] = key = StaticKey(f"benchmarks.branch.{next(numbers)}", default=on)
    names["logger"] = logger = logging.getLogger("benchmarks.branch")
    logger.setLevel(logging.DEBUG if on else logging.INFO)
    exec(template.replace("CHECK", line), names)
    if row in SERVICES:
        names["client"] = client(on if row == "OpenFeature in memory" else None)
    made: Callable[[Any, bool], Any] = names["make"](on)
    if row == "sys.monitoring":
        lines = template.splitlines()
        monitor(made, on, {i + 2 for i, line in enumerate(lines) if line.strip() == "CHECK"})
    if row == "static branch":
        static_branches(made, strict=True)
        if not key.entries:
            raise AssertionError("no site was made")
    return made


def client(on: bool | None) -> Any:
    """Return an OpenFeature client. Its provider holds the flag in memory; for None the client has no provider."""
    from openfeature import api
    from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

    if on is None:
        return api.get_client()
    flag = InMemoryFlag("on" if on else "off", {"off": False, "on": True})
    api.set_provider(InMemoryProvider({"tracing": flag}), domain="benchmarks")
    return api.get_client(domain="benchmarks")


# ---- sys.monitoring ----

TOOL = 4  # a free tool number: CPython names 0, 1, 2 and 5
seen = 0


def monitor(function: Any, on: bool, lines: set[int]) -> None:
    """Count these lines, or disable each when it is first reached. The last function's callback is called."""
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined]

    def count(_: object, line: int) -> object:
        global seen
        if not on or line not in lines:
            return monitoring.DISABLE
        seen += 1
        return None

    if monitoring.get_tool(TOOL) is None:
        monitoring.use_tool_id(TOOL, "benchmarks")
    monitoring.register_callback(TOOL, monitoring.events.LINE, count)
    monitoring.set_local_events(TOOL, function.__code__, monitoring.events.LINE)


def lines_seen() -> int:
    """Return the number of lines seen since the last call."""
    global seen
    n, seen = seen, 0
    return n


# ---- time ----


def share(template: str, row: str, on: bool) -> Callable[[int], float]:
    """Return the time that this check adds to a loop, in seconds for each second that a global flag adds.

    The three loops take turns of a few microseconds, so that whatever slows the machine down slows all of them down.
    """
    loops = [function(template, name, on) for name in ("check deleted", "global flag", row)]
    if any(run(7, on) + lines_seen() != (7 * CHECKS_A_PASS if on else 0) for run in loops):
        raise AssertionError(f"{row}: the loop's checks went the wrong way")

    def time_turn(run: Callable[[Any, bool], Any]) -> float:
        began = time.perf_counter()
        run(PASSES_A_TURN, on)
        return time.perf_counter() - began

    def time_shares(values: int) -> float:
        shares = []
        for _ in range(TURNS * values):
            deleted, flag, checked = map(time_turn, loops)
            if flag > deleted:  # otherwise another process interrupted the measurement
                shares.append((checked - deleted) / (flag - deleted))
        return values * max(statistics.median(shares), LEAST)

    return time_shares


def handling(row: str, on: bool) -> Callable[[int], float]:
    handle = function(FUNCTION, row, on)
    reply, hits = handle(REQUEST, on)
    hits += lines_seen()
    if (reply, hits) != (REPLY, CHECKS_A_CALL if on else 0):
        raise AssertionError(f"{row}: the function returned {reply!r}, and {hits} checks were on")

    def time_calls(calls: int) -> float:
        began = time.perf_counter()
        for _ in range(calls):
            handle(REQUEST, on)
        return time.perf_counter() - began

    return time_calls


if __name__ == "__main__":
    rows = Rows()
    for state in ("off", "on"):
        on = state == "on"
        for kind, statement in STATEMENTS.items():
            for row in CHECKS:
                measured_beside_others = row not in ("check deleted", "global flag")
                if rows.wants(f"{kind} {state}, {row}") and measured_beside_others:
                    rows.shares(f"{kind} {state}, {row}", functools.partial(share, loop_of(statement), row, on))
        for row in (*CHECKS, *SERVICES):
            if rows.wants(f"function {state}, {row}"):
                rows.runner.bench_time_func(f"function {state}, {row}", handling(row, on))
