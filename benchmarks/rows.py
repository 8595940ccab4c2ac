"""Rows that the benchmark scripts share: each has a name, and a function that makes the callable to time."""

import argparse
import functools
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import pyperf

ARGUMENT = object()  # stands for an event or a request
DUPLICATES = 100  # calls in one pass of the loop, so the loop's own cost is negligible


class Call(NamedTuple):
    """A row's callable, and what is checked before it is timed."""

    call: Callable[[Any], Any]
    result: Any
    reaches: Callable[[Any], Any] | None
    """The Python function that must run last. None: no Python function may run."""
    argument: object = ARGUMENT


def passed_on(x: object) -> object:
    """Return the argument. This is the function under every decorator, and the one called directly."""
    return x


class Rows:
    """The rows of one script, timed by pyperf as they are added.

    ``--only NAME`` times one row. So ``python -m jumplabel bench`` can take turns between all rows of all scripts, and
    a drift of the machine hits all alike.
    """

    values: int | None = None
    processes: int | None = None
    """Replace pyperf's defaults. None: keep them."""

    def __init__(self) -> None:
        def to_worker(command: list[str], args: Any) -> None:
            for name in self.passed_on:
                if getattr(args, name) is not None:
                    command.extend((f"--{name}", str(getattr(args, name))))

        self.runner = pyperf.Runner(self.values, self.processes, add_cmdline_args=to_worker)
        self.runner.metadata["jumplabel_script"] = Path(sys.argv[0]).name  # says which question a row answers
        self.passed_on = self.add_options(self.runner.argparser)
        self.args = self.runner.parse_args()
        # pyperf clears the environment of workers. Keep the variables that configure the engine and the interpreter.
        kept = [name for name in os.environ if name.startswith(("JUMPLABEL_", "PYTHON")) or name == "LD_LIBRARY_PATH"]
        self.args.inherit_environ = [*(self.args.inherit_environ or ()), *kept]

    def add_options(self, parser: argparse.ArgumentParser) -> list[str]:
        """Add options, and return the names of those that pyperf's workers need, too."""
        parser.add_argument("--only", metavar="NAME", help="run this row only")
        return ["only"]

    def wants(self, name: str) -> bool:
        return self.args.only in (None, name)

    def shares(self, name: str, make: Callable[[], Callable[[int], float]]) -> None:
        """Add a row of shares: seconds for each second that a reference takes.

        make  returns a function that returns the sum of so many shares. Only the process that times the row calls it
        """
        made = functools.cache(make)
        # One loop for each value, because a share does not grow with loops: pyperf's calibration would not end.
        self._one_loop(name, lambda values: made()(values), self.args.warmups)

    def starts(self, name: str, make: Callable[[], Callable[[], float]]) -> None:
        """Add a row of the seconds that something takes once, in a new process.

        make  returns a function that returns these seconds. Only the process that times the row calls it
        """
        made = functools.cache(make)
        self._one_loop(name, lambda times: sum(made()() for _ in range(times)), 0)

    def _one_loop(self, name: str, time_func: Callable[[int], float], warmups: int | None) -> None:
        before = self.args.loops, self.args.warmups
        self.args.loops, self.args.warmups = 1, warmups
        self.runner.bench_time_func(name, time_func)
        self.args.loops, self.args.warmups = before

    def calls(self, rows: Iterable[tuple[str, Callable[[], Call]]]) -> None:
        """Time ``call(argument)``, where ``call`` is a global, as functions are, and ``argument`` a local."""
        for name, make in rows:
            if self.wants(name):
                row = make()
                if not self.args.worker:  # a worker must time functions that were never profiled
                    check(name, row)
                self.runner.timeit(
                    name,
                    "call(argument)",
                    setup="argument = ARGUMENT",
                    globals={"call": row.call, "ARGUMENT": row.argument},
                    duplicate=DUPLICATES,
                )


def check(name: str, row: Call) -> None:
    ran = []

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            ran.append(frame.f_code)

    sys.setprofile(profile)
    try:
        result = row.call(row.argument)
    finally:
        sys.setprofile(None)
    last = row.reaches and row.reaches.__code__
    if result != row.result or (ran[-1] if ran else None) is not last:
        raise AssertionError(f"{name}: returned {result!r}, ran {ran}; expected {row}")
