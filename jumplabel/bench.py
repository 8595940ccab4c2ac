"""Run the pyperf scripts in ``benchmarks/`` and print what they found as one table of ratios.

Every row of every script takes its turn, round after round, one process each: what slows the machine down for a while
slows all rows down alike, and their ratios stay.
"""

import argparse
import os
import platform
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from jumplabel.table import info, start

EXTRA = ("pyperf", "wrapt")
SCRIPTS = ("gate.py", "switch.py", "toggle.py")
ROUNDS, FAST_ROUNDS = 15, 5
FAST_VALUES = 2

# What the tables call a row, and its names in the scripts: off and on, or one that knows no state.
CALLS = {
    "static_gate": ("gate off", "gate on"),
    "static_switch": ("switch off", "switch on"),
    "early return": ("early return off", "early return on"),
    "wraps wrapper": ("wraps wrapper off", "wraps wrapper on"),
    "wrapt enabled=": ("wrapt off", "wrapt on"),
    "partial": ("partial", "partial"),
    "C built-in": ("C built-in", "C built-in"),
    "direct call": ("direct call", "direct call"),
}
REFERENCES = ("early return", "wraps wrapper", "wrapt enabled=", "partial", "C built-in", "direct call")

TOGGLES = {1: "toggle, sites: 1", 100: "toggle, sites: 100", 10_000: "toggle, sites: 10000"}
MOST_SITES = max(TOGGLES)
BARE_SYNCS = "two bare syncs"

TARGETS = [
    ("gate off", "early return off", 0.6),
    ("gate off", "C built-in", 0.9),
    ("switch off", "wraps wrapper off", 0.4),
    ("switch off", "wrapt off", 0.4),
    ("switch off", "partial", 0.9),
    ("gate on", "partial", 0.9),
    ("switch on", "partial", 0.9),
    ("toggle, sites: 1", "two bare syncs", 3),
]
# {}.get computes the hash of its argument, but for a string, which has it stored: shown, so that nobody is misled.
WITHOUT_TARGET = [("gate off", "C built-in of a str")]

NS_A_SITE = 100


def run(arguments: argparse.Namespace) -> int:
    """``python -m jumplabel bench``.

    Raises ModuleNotFoundError for an EXTRA; FileExistsError and NotADirectoryError for files that could not be written
    in the end.
    """
    pyperf, _ = [import_module(name) for name in EXTRA]
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


# ---- measuring ----


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


# ---- the report ----


def report(medians: dict[str, float]) -> Iterator[str]:
    yield from _environment()
    yield ""
    yield "Ratios of medians: the row's time over the column's, both off or both on; below 1 the row is faster."
    yield ""
    yield from _calls(medians)
    yield ""
    yield from _toggles(medians)
    yield ""
    yield from _targets(medians)


def _environment() -> Iterator[str]:
    start()
    facts = info()
    arguments = sysconfig.get_config_var("CONFIG_ARGS") or ""
    pgo = "--enable-optimizations" in arguments
    optimized = (
        "PGO (--enable-optimizations)" if pgo else "no --enable-optimizations, PGO only if its distributor did it"
    )
    yield f"interpreter  {platform.python_implementation()} {platform.python_version()}, {optimized}"
    yield f"kernel       {platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} CPUs"
    native = "native trampolines" if facts.native else f"plain branches ({facts.refusal})"
    yield f"jumplabel    {native}, sync method: {facts.sync_method or 'none'}, {facts.syncs_per_batch} syncs a batch"


def _calls(medians: dict[str, float]) -> Iterator[str]:
    first, width = max(map(len, CALLS)), max(map(len, REFERENCES))
    yield f"{'':<{first}}" + "".join(f"  {'/ ' + name:>{width + 1}}" for name in REFERENCES)
    yield f"{'':<{first}}" + f"  {'off    on':>{width + 1}}" * len(REFERENCES)
    for what, names in CALLS.items():
        cells = ""
        for reference in REFERENCES:
            off, on = (medians[a] / medians[b] for a, b in zip(names, CALLS[reference], strict=True))
            cells += f"  {'=' if what == reference else f'{off:.2f}  {on:.2f}':>{width + 1}}"
        yield f"{what:<{first}}{cells}"


def _toggles(medians: dict[str, float]) -> Iterator[str]:
    yield f"one toggle / {BARE_SYNCS}     whole  a site"
    for sites, name in TOGGLES.items():
        ratio = medians[name] / medians[BARE_SYNCS]
        yield f"  of a key with {sites:>6,} sites  {ratio:>8.2f}  {ratio / sites:>6.3f}"


def _targets(medians: dict[str, float]) -> Iterator[str]:
    yield "targets"
    for row, reference, most in TARGETS:
        ratio = medians[row] / medians[reference]
        mark = "pass" if ratio <= most else "FAIL"
        yield f"  {row:<16} / {reference:<19}  {ratio:.2f}  wanted: at most {most:.2f}  {mark}"
    for row, reference in WITHOUT_TARGET:
        yield f"  {row:<16} / {reference:<19}  {medians[row] / medians[reference]:.2f}"
    ns = medians[TOGGLES[MOST_SITES]] / MOST_SITES * 1e9
    mark = "pass" if ns <= NS_A_SITE else "FAIL"
    yield f"  one of {MOST_SITES:,} sites in a toggle: {ns:.0f} ns  wanted: at most {NS_A_SITE} ns  {mark}"
