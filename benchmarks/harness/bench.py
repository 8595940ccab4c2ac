"""``python -m jumplabel bench``: measure, or load a measurement; then report, compare and store it.

Measuring takes long, so every check comes before it.
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
    """Options exclude each other, or name something that does not exist."""


def run(arguments: argparse.Namespace) -> int:
    """Run ``python -m jumplabel bench``, and return its exit status.

    Raises ModuleNotFoundError for a module of the extra ``bench``, UsageError, run_facts.ResultsError for stored
    results that are unreadable or from another machine, measuring.ScriptError for a failed script, and OSError for a
    file that could not be written in the end.
    """
    _check_options(arguments)
    pyperf, *_ = [import_module(name) for name in (EXTRA[:1] if arguments.report else EXTRA)]
    if arguments.results:
        import_module(CHARTS)
    _check_places(arguments)
    old = run_facts.load(pyperf, arguments.compare) if arguments.compare else None
    suite = run_facts.load(pyperf, arguments.report) if arguments.report else None
    _check_stored(pyperf, arguments, suite)
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
    """Return ``benchmarks/``: a folder of the installed package, or beside the package in a checkout."""
    return Path(__file__).parent.parent


def _check_options(arguments: argparse.Namespace) -> None:
    options = {"--only": arguments.only, "--curves": arguments.curves, "--fast": arguments.fast}
    options |= {"--rigorous": arguments.rigorous, "--processes": arguments.processes, "--loops": arguments.loops}
    given = [name for name, value in options.items() if value] + arguments.others
    if arguments.report and given:
        raise UsageError(f"--report measures nothing: leave out {' '.join(given)}")
    _scripts(arguments)


def _scripts(arguments: argparse.Namespace) -> list[str]:
    """Return the scripts to run. Raises UsageError for unknown ones."""
    curves = sorted(file.name for file in scripts_folder().glob(CURVES))
    if not arguments.only:
        return [*SCRIPTS, *(curves if arguments.curves else [])]
    known = [*SCRIPTS, *curves]
    only = [name if name.endswith(".py") else f"{name}.py" for name in arguments.only]
    unknown = [name for name in only if name not in known]
    if unknown:
        raise UsageError(f"there is no script {', '.join(unknown)}; there are {', '.join(known)}")
    return list(dict.fromkeys(only))


def _check_places(arguments: argparse.Namespace) -> None:
    if arguments.output and Path(arguments.output).exists():
        raise FileExistsError(f"{arguments.output} exists already; use --append, or another name")
    for file in filter(None, (arguments.output, arguments.append)):
        if not Path(file).absolute().parent.is_dir():
            raise NotADirectoryError(f"{file} would be in a folder that does not exist")
    if arguments.results and not Path(arguments.results).is_dir():
        raise NotADirectoryError(f"{arguments.results} is no folder; make it first")


def _check_stored(pyperf: Any, arguments: argparse.Namespace, suite: Any) -> None:
    """Check that stored results can be read, and joined with the new ones."""
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
    """Measure. pyperf's option for processes sets the number of rounds; pyperf gets all other options."""
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
        curve_options=["--fast"] if arguments.fast else [],  # fewer places of each curve
    )
    facts = run_facts.collect(arguments.command_line)
    suite = measuring.measure(pyperf, scripts_folder(), plan, None if arguments.quiet else sys.stderr)
    for row in suite:
        row.update_metadata(facts)
    return suite


def _compare(old: Any, name: str, suite: Any) -> int:
    """Run pyperf's comparison, and return its exit status.

    It reads temporary files, because the old file may have been overwritten by the new results.
    """
    with tempfile.TemporaryDirectory(prefix="jumplabel-bench-") as folder:
        before, now = Path(folder, f"{name if name != 'now' else 'before'}.json"), Path(folder, "now.json")
        old.dump(str(before))
        suite.dump(str(now))
        print("\n### Compared\n", flush=True)
        command = [sys.executable, "-m", "pyperf", "compare_to", "--table", "--table-format", "md"]
        return subprocess.run([*command, str(before), str(now)]).returncode
