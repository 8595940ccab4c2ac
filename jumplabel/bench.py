"""Run the pyperf scripts in ``benchmarks/`` and print what they found as tables of ratios (bench_report.py).

Every row of every script takes its turn, round after round, one process each: what slows the machine down for a while
slows all rows down alike, and their ratios stay.
"""

import argparse
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from jumplabel.bench_report import report

EXTRA = ("pyperf", "blinker", "loguru", "openfeature", "opentelemetry", "opentelemetry.sdk", "structlog", "wrapt")
SCRIPTS = (
    *("gate.py", "switch.py", "branch.py", "snapshot.py", "static_call.py", "tracepoint.py", "native_branch.py"),
    *("span.py", "toggle.py", "decorating.py", "importing.py", "log.py"),
)
ROUNDS, FAST_ROUNDS = 15, 5
FAST_VALUES = 2


def run(arguments: argparse.Namespace) -> int:
    """``python -m jumplabel bench``.

    Raises ModuleNotFoundError for an EXTRA; FileExistsError and NotADirectoryError for files that could not be written
    in the end.
    """
    pyperf, *_ = [import_module(name) for name in EXTRA]
    if arguments.output and Path(arguments.output).exists():
        raise FileExistsError(f"{arguments.output} exists already; use --append, or another name")
    for file in (arguments.output, arguments.append):
        if file and not Path(file).absolute().parent.is_dir():
            raise NotADirectoryError(f"{file} would be in a folder that does not exist")
    with tempfile.TemporaryDirectory(prefix="jumplabel-bench-") as folder:
        suite = _measure(pyperf, arguments, Path(folder))
    if arguments.output:
        suite.dump(arguments.output)
    if arguments.append:
        pyperf.add_runs(arguments.append, suite)
    medians = {benchmark.get_name(): benchmark.median() for benchmark in suite}
    print(*report(medians), sep="\n")
    return 0


def scripts_folder() -> Path:
    """``benchmarks/``: within the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    for folder in (package / "benchmarks", package.parent / "benchmarks"):
        if (folder / SCRIPTS[0]).exists():
            return folder
    raise FileNotFoundError(f"the benchmarks are missing from {package}")


def _measure(pyperf: Any, arguments: argparse.Namespace, folder: Path) -> Any:
    rounds, options = _rounds_and_options(arguments)
    scripts = scripts_folder()

    def time_row(script: str, *more: str) -> None:
        command = [sys.executable, str(scripts / script), "--processes", "1", "--append", str(folder / script)]
        done = subprocess.run([*command, *options, *more], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.stderr.write(done.stdout)
            raise SystemExit(done.returncode)

    def load(script: str) -> Any:
        return pyperf.BenchmarkSuite.load(str(folder / script))

    def progress(text: str) -> None:
        if not arguments.quiet:
            print(text, file=sys.stderr, end="", flush=True)

    # The first round finds out how many loops each row needs; the others keep to them.
    progress(f"round 1 of {rounds}, which calibrates:")
    loops: dict[tuple[str, str], int] = {}
    for script in SCRIPTS:
        progress(f" {script}")
        time_row(script)
        loops.update({(script, row.get_name()): row.get_runs()[-1].get_loops() for row in load(script)})
    for number in range(2, rounds + 1):
        progress(f"\nround {number} of {rounds}: ")
        for (script, name), n in loops.items():
            progress(".")
            time_row(script, "--only", name, "--loops", str(n))
    progress("\n")

    suite = load(SCRIPTS[0])
    for script in SCRIPTS[1:]:
        suite.add_runs(load(script))
    return suite


def _rounds_and_options(arguments: argparse.Namespace) -> tuple[int, list[str]]:
    """pyperf's own number of processes becomes the number of rounds; the rest is for pyperf."""
    rounds = arguments.processes or (FAST_ROUNDS if arguments.fast else ROUNDS * (2 if arguments.rigorous else 1))
    options = [f"--values={FAST_VALUES}"] if arguments.fast else []
    if arguments.loops:
        options.append(f"--loops={arguments.loops}")
    return rounds, [*options, *arguments.others]
