"""Runs the pyperf scripts in ``benchmarks/``, row by row, in turns.

Every row of every script takes its turn, round after round, one process each: what slows the machine down for a while
slows all rows down alike, and their ratios stay.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from jumplabel.errors import JumpLabelError

from .progress import Progress


class ScriptError(JumpLabelError):
    """A script failed: ``status`` is what it ended with; what it wrote to stderr is there already."""

    def __init__(self, script: str, status: int, output: str) -> None:
        super().__init__(f"{script} failed with status {status}")
        self.status = status
        self.output = output


class Plan(NamedTuple):
    scripts: Sequence[str]
    rounds: int
    options: Sequence[str]
    """For pyperf."""
    curves: Sequence[str]
    """Scripts that take long, and whose rows are looked at together: measured in the first round only."""
    curve_options: Sequence[str]
    """For these, besides."""


def measure(pyperf: Any, folder: Path, plan: Plan, stream: TextIO | None) -> Any:
    """The pyperf.BenchmarkSuite of all rows that the scripts have.

    folder  the scripts'
    stream  where progress is shown; None: nowhere
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
        # The first round finds out which rows there are, and how many loops each needs; the others keep to that.
        loops: dict[tuple[str, str], int] = {}
        expected: dict[str, float] = {}
        scripts = [*self.plan.scripts, *self.plan.curves]
        self.progress.round(scripts)
        for script in self.plan.scripts:
            seconds = self._step(script, script)
            rows = {(script, row.get_name()): row.get_runs()[-1].get_loops() for row in self._load(script)}
            loops.update(rows)
            expected.update({_step_name(*row): seconds / len(rows) for row in rows})
        for script in self.plan.curves:
            self._step(script, script, *self.plan.curve_options)
        for _ in range(1, self.plan.rounds if loops else 1):
            self.progress.round([_step_name(*row) for row in loops], expected)
            for (script, name), n in loops.items():
                self._step(_step_name(script, name), script, "--only", name, "--loops", str(n))
        suite = self._load(scripts[0])
        for script in scripts[1:]:
            suite.add_runs(self._load(script))
        return suite

    def _step(self, step: str, script: str, *more: str) -> float:
        """Time a script, or a row of it; the seconds that it took."""
        self.progress.begin(step)
        command = [
            sys.executable,
            str(self.folder / script),
            "--processes",
            "1",
            "--append",
            str(self.results / script),
        ]
        done = subprocess.run([*command, *self.plan.options, *more], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise ScriptError(script, done.returncode, done.stdout)
        return self.progress.end(step)

    def _load(self, script: str) -> Any:
        return self.pyperf.BenchmarkSuite.load(str(self.results / script))


def _step_name(script: str, row: str) -> str:
    return f"{row} ({script})"
