"""Run the pyperf scripts in ``benchmarks/``, row by row, in turns.

Every row of every script takes its turn, round after round, in a process of its own. A slow spell of the machine slows
all rows alike, so their ratios stay.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple, TextIO

from jumplabel.errors import JumpLabelError

from .progress import Progress


class ScriptError(JumpLabelError):
    """A script failed.

    status  its exit status
    output  its standard output. Its standard error has been shown already.
    """

    def __init__(self, script: str, status: int, output: str) -> None:
        super().__init__(f"{script} failed with status {status}")
        self.status = status
        self.output = output


class Plan(NamedTuple):
    scripts: Sequence[str]
    rounds: int
    options: Sequence[str]
    """pyperf's options for all scripts."""
    curves: Sequence[str]
    """Slow scripts whose rows are compared with one another only. The first round measures them, no other."""
    curve_options: Sequence[str]
    """More options for the curves."""


def measure(pyperf: Any, folder: Path, plan: Plan, stream: TextIO | None) -> Any:
    """Measure all rows of the scripts, and return them as a pyperf.BenchmarkSuite.

    folder  the folder of the scripts
    stream  receives the progress. None: show nothing
    """
    progress = Progress(stream, plan.rounds if plan.scripts else 1)
    try:
        with tempfile.TemporaryDirectory(prefix="jumplabel-bench-") as results:
            return _Rounds(pyperf, folder, plan, Path(results), progress).run()
    finally:
        progress.close()


class _Rounds:
    def __init__(self, pyperf: Any, folder: Path, plan: Plan, results: Path, progress: Progress) -> None:
        self.pyperf = pyperf
        self.folder = folder
        self.plan = plan
        self.results = results
        self.progress = progress

    def run(self) -> Any:
        # The first round finds the rows, and the loops that each needs. The later rounds keep to these.
        loops: dict[tuple[str, str], int] = {}
        expected: dict[str, float] = {}
        scripts = [*self.plan.scripts, *self.plan.curves]
        self.progress.round(dict.fromkeys(scripts, 1.0))
        for script in self.plan.scripts:
            seconds = self._step(script, script)
            rows = {(script, row.get_name()): row.get_runs()[-1].get_loops() for row in self._load(script)}
            loops.update(rows)
            expected.update({_step_name(*row): seconds / len(rows) for row in rows})
        for script in self.plan.curves:
            self._step(script, script, *self.plan.curve_options)
        for _ in range(1, self.plan.rounds if loops else 1):
            self.progress.round(expected)
            for (script, name), n in loops.items():
                self._step(_step_name(script, name), script, "--only", name, "--loops", str(n))
        suite = self._load(scripts[0])
        for script in scripts[1:]:
            suite.add_runs(self._load(script))
        return suite

    def _step(self, step: str, script: str, *more: str) -> float:
        """Measure a script or a row of it, and return the seconds that this took."""
        self.progress.begin(step)
        began = monotonic()
        command = [sys.executable, str(self.folder / script), "--processes", "1"]
        command += ["--append", str(self.results / script), *self.plan.options, *more]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise ScriptError(script, done.returncode, done.stdout)
        self.progress.end(step)
        return monotonic() - began

    def _load(self, script: str) -> Any:
        return self.pyperf.BenchmarkSuite.load(str(self.results / script))


def _step_name(script: str, row: str) -> str:
    return f"{row} ({script})"
