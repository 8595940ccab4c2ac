"""What the benchmarks share: a row is a name and what makes the callable that is timed under it."""

import argparse
import functools
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import pyperf

ARGUMENT = object()  # as an event or a request would be
DUPLICATES = 100  # calls in one pass of the loop, so that the loop itself weighs nothing


class Call(NamedTuple):
    """A row's callable, and what must be so before it is timed."""

    call: Callable[[Any], Any]
    result: Any
    reaches: Callable[[Any], Any] | None
    """The Python function that runs last; None: no Python runs."""
    argument: object = ARGUMENT


def passed_on(x: object) -> object:
    """The function under every decorator and the one called directly."""
    return x


class Rows:
    """The rows of one script, timed by pyperf as they are added.

    ``--only NAME`` times a single one. That is how ``python -m jumplabel bench`` takes turns between all rows of all
    scripts, so that a drift of the machine hits them alike.
    """

    values: int | None = None
    processes: int | None = None
    """Where a script wants others than pyperf would take."""

    def __init__(self) -> None:
        def to_worker(command: list[str], args: Any) -> None:
            for name in self.passed_on:
                if getattr(args, name) is not None:
                    command.extend((f"--{name}", str(getattr(args, name))))

        self.runner = pyperf.Runner(self.values, self.processes, add_cmdline_args=to_worker)
        self.runner.metadata["jumplabel_script"] = Path(sys.argv[0]).name  # which question its rows answer
        self.passed_on = self.add_options(self.runner.argparser)
        self.args = self.runner.parse_args()
        # pyperf clears the environment; what selects the engine's and the interpreter's ways must get through.
        kept = [name for name in os.environ if name.startswith(("JUMPLABEL_", "PYTHON")) or name == "LD_LIBRARY_PATH"]
        self.args.inherit_environ = [*(self.args.inherit_environ or ()), *kept]

    def add_options(self, parser: argparse.ArgumentParser) -> list[str]:
        """Their names, as pyperf's processes are given them, too."""
        parser.add_argument("--only", metavar="NAME", help="run this row only")
        return ["only"]

    def wants(self, name: str) -> bool:
        return self.args.only in (None, name)

    def shares(self, name: str, make: Callable[[], Callable[[int], float]]) -> None:
        """A row for shares: of each second that something else takes.

        make  what gives the sum of so many of them; called in the process that times this row, and nowhere else
        """
        made = functools.cache(make)
        # One loop a value: pyperf would look in vain for a number of them that takes long enough.
        self._one_loop(name, lambda values: made()(values), self.args.warmups)

    def starts(self, name: str, make: Callable[[], Callable[[], float]]) -> None:
        """A row for the seconds that something takes in a new process, once.

        make  what gives them; called in the process that times this row, and nowhere else
        """
        made = functools.cache(make)
        self._one_loop(name, lambda times: sum(made()() for _ in range(times)), 0)

    def _one_loop(self, name: str, time_func: Callable[[int], float], warmups: int | None) -> None:
        before = self.args.loops, self.args.warmups
        self.args.loops, self.args.warmups = 1, warmups
        self.runner.bench_time_func(name, time_func)
        self.args.loops, self.args.warmups = before

    def calls(self, rows: Iterable[tuple[str, Callable[[], Call]]]) -> None:
        """Time ``call(argument)``: a global name, as functions have, and a local one, as arguments have."""
        for name, make in rows:
            if self.wants(name):
                row = make()
                if not self.args.worker:  # which is to time functions that nobody has profiled
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
