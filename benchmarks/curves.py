"""What the scripts of curves share: a row for each place along an axis, for both protocols.

A row is measured in one process, which is given the settings that the package reads when it is imported. Its name ends
in ``: PLACE, 2 syncs``; benchmarks/harness/growth.py makes the curves of such names.
``--most PLACE`` ends the axis earlier, and so does ``--fast``.
"""

import argparse
import functools
import os
import sys
from collections.abc import Callable, Iterable

from rows import Rows

from jumplabel._diagnostics.process_info import info

SYNCS = (2, 3)
_OUT_OF_REACH = 77
TimeFunction = Callable[[int], float]
"""So many loops; the seconds (or the bytes) that they took. Processor time, where nothing is to be waited for."""


class OutOfReach(SystemExit):
    """Ends the process that measures a row: there is no such place for this machine. The row is left out."""

    def __init__(self, why: str) -> None:
        super().__init__(_OUT_OF_REACH)
        print(f"left out: {why}", file=sys.stderr)


class CurveRows(Rows):
    """places  along the axis, rising; those above ``fast`` are left out with ``--fast``"""

    values = 5
    processes = 1

    def __init__(self, places: Iterable[int], fast: int) -> None:
        # With these there, workers get what they are set to when the worker is started.
        for name in ("JUMPLABEL_SYNCS", "JUMPLABEL_POKE"):
            os.environ.setdefault(name, "")
        super().__init__()
        if self.args.fast:
            self.args.processes = self.processes
            self.args.most = min(fast, self.args.most or fast)
        self.places = [place for place in places if self.args.most is None or place <= self.args.most]

    def add_options(self, parser: argparse.ArgumentParser) -> list[str]:
        parser.add_argument("--most", metavar="PLACE", type=int, help="leave out what is further along the axis")
        return [*super().add_options(parser), "most"]

    def curve(
        self,
        name: str,
        make: Callable[[int], TimeFunction],
        loops: Callable[[int], int] = lambda place: 1,
        inner_loops: int = 1,
        poke: str = "",
        once: bool = False,
        syncs: tuple[int, ...] = SYNCS,
    ) -> None:
        """Rows of one name, from place to place.

        make         makes what is to be timed, and looks whether it does what it should; called in the process that
                     times it, and nowhere else
        loops        how many a value has, unless ``--loops`` says so: who makes a million sites does it once only
        inner_loops  of a loop
        poke         JUMPLABEL_POKE
        once         these are bytes, which are the same each time
        syncs        of a batch: a curve for each
        """
        for n in syncs:
            for place in self.places:
                row = f"{name}: {place}, {n} syncs"
                if self.wants(row):
                    os.environ.update(JUMPLABEL_SYNCS=str(n), JUMPLABEL_POKE=poke)
                    self._row(row, self._of(make, place, n, poke), loops(place), inner_loops, once)

    def _of(self, make: Callable[[int], TimeFunction], place: int, syncs: int, poke: str) -> TimeFunction:
        @functools.cache
        def made() -> TimeFunction:
            if (info().syncs_per_batch, info().poke) != (syncs, poke or "auto"):
                raise RuntimeError(f"this row needs a process of its own, with JUMPLABEL_SYNCS={syncs}")
            return make(place)

        return lambda loops: made()(loops)

    def _row(self, name: str, time: TimeFunction, loops: int, inner_loops: int, once: bool) -> None:
        args = self.args
        kept = args.loops, args.values, args.warmups
        args.loops = args.loops or loops
        if once:
            args.loops, args.values, args.warmups = 1, 1, 0
        unit = {"unit": "byte"} if once else None
        try:
            self.runner.bench_time_func(name, time, inner_loops=inner_loops, metadata=unit)
        except RuntimeError as error:
            if not str(error).endswith(f" exit code {_OUT_OF_REACH}"):
                raise
            self.runner._worker_task += 1  # by which it tells the next process its row; it has not come to that
        args.loops, args.values, args.warmups = kept
