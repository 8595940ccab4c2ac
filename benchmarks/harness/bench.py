"""``python -m jumplabel bench``: measure, or take what was measured before, and report, compare and keep it.

Measuring takes long, so whatever can be refused is refused before.
"""

import argparse
import subprocess
import sys
import tempfile
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from typing import Any

from jumplabel.errors import JumpLabelError

from . import measuring, reporting, results_folder, run_facts

EXTRA = (
    "pyperf",
    "blinker",
    "loguru",
    "openfeature",
    "opentelemetry",
    "opentelemetry.sdk",
    "structlog",
    "tqdm",
    "wrapt",
)
SCRIPTS = (
    *("gate.py", "switch.py", "branch.py", "snapshot.py", "static_call.py", "tracepoint.py", "native_branch.py"),
    *("span.py", "toggle.py", "decorating.py", "importing.py", "log.py"),
)
CURVES = "curve_*.py"
CHARTS = "matplotlib"
ROUNDS, FAST_ROUNDS = 15, 5
FAST_VALUES = 2


class UsageError(JumpLabelError, ValueError):
    """The options do not go together, or name what is not there."""


def run(arguments: argparse.Namespace) -> int:
    """``python -m jumplabel bench``; the status to end with.

    Raises ModuleNotFoundError for what the extra ``bench`` brings; OSError for files that could not be written in the
    end; UsageError; run_facts.ResultsError for stored results that are none, or not of this machine;
    measuring.ScriptError for a script that failed.
    """
    _look_at_options(arguments)
    pyperf, *_ = [import_module(name) for name in (EXTRA[:1] if arguments.report else EXTRA)]
    if arguments.results:
        import_module(CHARTS)
    _look_at_places(arguments)
    old = run_facts.load(pyperf, arguments.compare) if arguments.compare else None
    suite = run_facts.load(pyperf, arguments.report) if arguments.report else None
    _look_at_stored(pyperf, arguments, suite)
    if suite is None:
        suite = _measure(pyperf, arguments)

    if arguments.output:
        suite.dump(arguments.output)
    if arguments.append:
        pyperf.add_runs(arguments.append, suite)
    stored = arguments.results and results_folder.keep(pyperf, Path(arguments.results), suite)
    print(*reporting.report_lines(suite), sep="\n", flush=True)
    if arguments.results:
        page = results_folder.write(pyperf, Path(arguments.results))
        if not arguments.quiet:
            print(f"{stored} and {page} are written", file=sys.stderr)
    return _compare(old, Path(arguments.compare).stem, suite) if old else 0


def scripts_folder() -> Path:
    """``benchmarks/``: within the installed package, or beside it in a checkout."""
    return Path(__file__).parent.parent


def _look_at_options(arguments: argparse.Namespace) -> None:
    options = {"--only": arguments.only, "--curves": arguments.curves, "--fast": arguments.fast}
    options |= {"--rigorous": arguments.rigorous, "--processes": arguments.processes, "--loops": arguments.loops}
    given = [name for name, value in options.items() if value] + arguments.others
    if arguments.report and given:
        raise UsageError(f"--report measures nothing: leave out {' '.join(given)}")
    _scripts(arguments)


def _scripts(arguments: argparse.Namespace) -> list[str]:
    """What is to be measured."""
    curves = sorted(file.name for file in scripts_folder().glob(CURVES))
    if not arguments.only:
        return [*SCRIPTS, *(curves if arguments.curves else [])]
    there = [*SCRIPTS, *curves]
    only = [name if name.endswith(".py") else f"{name}.py" for name in arguments.only]
    unknown = [name for name in only if name not in there]
    if unknown:
        raise UsageError(f"there is no script {', '.join(unknown)}; there are {', '.join(there)}")
    return list(dict.fromkeys(only))


def _look_at_places(arguments: argparse.Namespace) -> None:
    if arguments.output and Path(arguments.output).exists():
        raise FileExistsError(f"{arguments.output} exists already; use --append, or another name")
    for file in filter(None, (arguments.output, arguments.append)):
        if not Path(file).absolute().parent.is_dir():
            raise NotADirectoryError(f"{file} would be in a folder that does not exist")
    if arguments.results and not Path(arguments.results).is_dir():
        raise NotADirectoryError(f"{arguments.results} is no folder; make it first")


def _look_at_stored(pyperf: Any, arguments: argparse.Namespace, suite: Any) -> None:
    """What was stored before can be read, and be joined with what will be."""
    appends = arguments.append and Path(arguments.append).exists()
    if not appends and not arguments.results:
        return
    now = run_facts.about(suite) if suite else run_facts.here(pyperf)
    if appends:
        stored = run_facts.load(pyperf, arguments.append)
        run_facts.must_agree(arguments.append, stored, now, run_facts.SAME_RUNS)
    if arguments.results:
        tag = run_facts.facts_of(suite).tag if suite else now["jumplabel_tag"]
        results_folder.check(pyperf, Path(arguments.results), now, tag)


def _measure(pyperf: Any, arguments: argparse.Namespace) -> Any:
    """pyperf's own number of processes becomes the number of rounds; the rest is for pyperf."""
    rounds = arguments.processes or (FAST_ROUNDS if arguments.fast else ROUNDS * (2 if arguments.rigorous else 1))
    options = [f"--values={FAST_VALUES}"] if arguments.fast else []
    if arguments.loops:
        options.append(f"--loops={arguments.loops}")
    scripts = _scripts(arguments)
    curves = [name for name in scripts if fnmatch(name, CURVES)]
    plan = measuring.Plan(
        scripts=[name for name in scripts if name not in curves],
        rounds=rounds,
        options=[*options, *arguments.others],
        curves=curves,
        curve_options=["--fast"] if arguments.fast else [],  # they end earlier
    )
    facts = run_facts.collect(arguments.command_line)
    suite = measuring.measure(pyperf, scripts_folder(), plan, None if arguments.quiet else sys.stderr)
    for row in suite:
        row.update_metadata(facts)
    return suite


def _compare(old: Any, name: str, suite: Any) -> int:
    """pyperf's own comparison; its status. From files of our own: the old one may have been written anew meanwhile."""
    with tempfile.TemporaryDirectory(prefix="jumplabel-bench-") as folder:
        before, now = Path(folder, f"{name if name != 'now' else 'before'}.json"), Path(folder, "now.json")
        old.dump(str(before))
        suite.dump(str(now))
        print("\n### Compared\n", flush=True)
        command = [sys.executable, "-m", "pyperf", "compare_to", "--table", "--table-format", "md"]
        return subprocess.run([*command, str(before), str(now)]).returncode
