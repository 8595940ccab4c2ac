"""Rows of curves: one for each place along an axis, for both protocols.

A new process measures each row with the settings that the package reads at import. A row's name ends in
``: PLACE, 2 syncs``, from which benchmarks/harness/growth.py makes the curves. ``--most PLACE`` and ``--fast`` end the
axis earlier.
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
"""Runs a number of loops. Returns their seconds (or bytes): processor time, where the loops wait for nothing."""


class OutOfReach(SystemExit):
    """Ends the process of a row whose place this machine cannot measure. The row is left out."""

    def __init__(self, why: str) -> None:
        super().__init__(_OUT_OF_REACH)
        print(f"left out: {why}", file=sys.stderr)


class CurveRows(Rows):
    """Rows for places along an axis.

    places  in rising order
    fast    the last place with ``--fast``
    """

    values = 5
    processes = 1

    def __init__(self, places: Iterable[int], fast: int) -> None:
        # rows.py passes existing variables to workers, so these must exist now. Each worker gets its own values.
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
        """Add the rows of a curve, one for each place and number of synchronizations.

        make         makes and checks the function to time. Only the process that times the row calls it
        loops        returns the loops of a value, unless ``--loops`` gives them. Making many sites allows few loops
        inner_loops  operations in a loop
        poke         the value of JUMPLABEL_POKE
        once         measure one value only: these are bytes, which do not vary
        syncs        numbers of synchronizations in a batch. Each has a curve
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
            # pyperf numbers the rows by this for its workers, and does not count a row that ended early.
            self.runner._worker_task += 1
        args.loops, args.values, args.warmups = kept
