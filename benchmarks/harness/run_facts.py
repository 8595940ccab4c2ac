"""The facts of a measurement: machine, interpreter, compared packages, commands. pyperf's JSON keeps them as metadata.

pyperf itself describes the machine, the kernel and the interpreter. ``collect()`` adds what pyperf cannot know.
"""

import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import Any, NamedTuple

from jumplabel._diagnostics.process_info import info, start
from jumplabel.errors import JumpLabelError

FREE_THREADED, JIT = VARIANTS = ("free-threaded", "JIT on")
NOT_COMPARED = ("matplotlib", "tqdm")
"""Distributions of the extra ``bench`` that only draw charts and show progress."""
SCRIPT = "jumplabel_script"  # written by benchmarks/rows.py: the script that measured a row
SETTINGS = ("PYTHON_GIL", "PYTHON_JIT", "PYTHONDEVMODE", "PYTHONMALLOC", "PYTHONOPTIMIZE")  # and JUMPLABEL_*
SAME = ("hostname", "cpu_model_name", "cpu_count", "platform", "python_version", "python_compiler", "jumplabel_tag")
"""The metadata in which two measurements must agree to be parts of one."""
SAME_RUNS = (*SAME, "aslr", "python_executable", "python_implementation")
"""The metadata in which the runs of one row must agree, for pyperf."""


class ResultsError(JumpLabelError, ValueError):
    """A file of results is unreadable, or from another machine or interpreter."""


class Run(NamedTuple):
    """One command, and the time of its measurement."""

    command: str
    began: str
    ended: str
    loads: tuple[float, float]
    """The lowest and the highest load average of the machine."""


class Facts(NamedTuple):
    tag: str
    """The interpreter in the names of files: ``3.11``, ``3.14-jit``, ``3.14t``."""
    version: tuple[int, ...]
    interpreter: str
    machine: str
    kernel: str
    jumplabel: str
    compared: str
    settings: str
    runs: list[Run]

    @property
    def title(self) -> str:
        """The interpreter's version and variants, such as ``CPython 3.14.0, JIT on``."""
        return ", ".join(
            part for part in self.interpreter.split(", ") if part.startswith("CPython") or part in VARIANTS
        )

    def short(self) -> str:
        """Return interpreter, machine and kernel for the small print of charts."""
        return " · ".join(filter(None, (self.title, self.machine.partition(", ")[0], self.kernel)))


def collect(command: Sequence[str]) -> dict[str, str]:
    """Return the facts that pyperf cannot know, as metadata for all measured rows.

    command  the arguments after ``python -m jumplabel``
    """
    start()
    facts = info()
    sites = "native trampolines" if facts.native else f"plain branches ({facts.refusal})"
    settings = [f"{name}={value}" for name, value in sorted(os.environ.items()) if _is_setting(name) and value]
    found = {
        "jumplabel_tag": _tag(),
        "jumplabel_version": _version("jumplabel"),
        "jumplabel_sites": f"{sites}, sync method: {facts.sync_method or 'none'}, {facts.syncs_per_batch} a batch",
        "jumplabel_compared": ", ".join(f"{name} {_version(name)}" for name in _extra()),
        "jumplabel_command": shlex.join(("python", "-m", "jumplabel", *command)),
        "jumplabel_settings": shlex.join(settings),
    }
    return {name: re.sub(r"\s+", " ", value) for name, value in found.items() if value}  # pyperf refuses line breaks


def _is_setting(name: str) -> bool:
    return name.startswith("JUMPLABEL_") or name in SETTINGS


def _tag() -> str:
    free_threaded = "t" if "t" in getattr(sys, "abiflags", "") else ""
    jit = getattr(sys, "_jit", None)  # since 3.14
    return (
        f"{sys.version_info.major}.{sys.version_info.minor}{free_threaded}{'-jit' if jit and jit.is_enabled() else ''}"
    )


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def _extra() -> Iterator[str]:
    """Yield the distributions of the extra ``bench`` that the report names as compared."""
    try:
        requirements = metadata.requires("jumplabel") or []
    except metadata.PackageNotFoundError:
        return
    for requirement in requirements:
        name = re.match(r"[\w.-]+", requirement)
        if name and re.search(r"""extra\s*==\s*["']bench["']""", requirement) and name[0] not in NOT_COMPARED:
            yield name[0]


def facts_of(suite: Any) -> Facts:
    """Return the facts of a pyperf.BenchmarkSuite. Unknown facts, in suites of other programs, are empty."""
    common = {name: str(value) for name, value in suite.get_metadata().items()}
    python = common.get("python_version", "")
    number = re.match(r"(\d+)\.(\d+)", python)
    tag = common.get("jumplabel_tag") or (number[0] if number else "unknown")
    cpus = common.get("cpu_count", "")
    return Facts(
        tag=tag,
        version=tuple(map(int, number.groups())) if number else sys.version_info[:2],
        interpreter=_interpreter(common, python, tag),
        machine=", ".join(
            filter(None, (common.get("cpu_model_name"), cpus and f"{cpus} CPUs", common.get("cpu_config")))
        ),
        kernel=_kernel(common.get("platform", "")),
        jumplabel=", ".join(filter(None, (common.get("jumplabel_version"), common.get("jumplabel_sites")))),
        compared=common.get("jumplabel_compared", ""),
        settings=common.get("jumplabel_settings", ""),
        runs=_runs(suite),
    )


def _interpreter(common: dict[str, str], python: str, tag: str) -> str:
    optimized = "--enable-optimizations" in common.get("python_config_args", "")
    parts = [
        f"CPython {python.partition(' ')[0] or 'of an unknown version'}",
        FREE_THREADED if tag.partition("-")[0].endswith("t") else "",
        JIT if tag.endswith("-jit") else "",
        # Debian optimizes its build without this option.
        "PGO (--enable-optimizations)"
        if optimized
        else "no --enable-optimizations, PGO only if its distributor did it",
        common.get("python_compiler", ""),
    ]
    return ", ".join(filter(None, parts))


def _kernel(described: str) -> str:
    """Return the kernel, such as ``Linux 6.18.44 x86_64``, from the text of platform.platform()."""
    match = re.match(r"(\w+)-([\w.+~-]+?)-(x86_64|aarch64|i686)\b", described)
    return f"{match[1]} {match[2]} {match[3]}" if match else described


def _runs(suite: Any) -> list[Run]:
    found: dict[str, list[dict[str, Any]]] = {}
    for benchmark in suite:
        for run in benchmark.get_runs():
            about = run.get_metadata()
            found.setdefault(str(about.get("jumplabel_command", "")), []).append(about)
    runs = []
    for command, abouts in found.items():
        dates = sorted(str(about["date"])[:16] for about in abouts if "date" in about) or [""]
        loads = [float(about["load_avg_1min"]) for about in abouts if "load_avg_1min" in about] or [0.0]
        runs.append(Run(command or "scripts by themselves", dates[0], dates[-1], (min(loads), max(loads))))
    return sorted(runs, key=lambda run: run.began)


def lines(facts: Facts) -> Iterator[str]:
    """Yield the facts as a list in Markdown."""
    for what, value in (
        ("interpreter", facts.interpreter),
        ("machine", facts.machine),
        ("kernel", facts.kernel),
        ("jumplabel", facts.jumplabel),
        ("compared with", facts.compared),
        ("settings", facts.settings),
    ):
        if value:
            yield f"- {what}: {value}"
    for run in facts.runs:
        until = run.ended if run.ended[:10] != run.began[:10] else run.ended[11:]
        load = " to ".join(dict.fromkeys(f"{one:.1f}" for one in run.loads))
        yield f"- measured: `{run.command}`, {run.began} to {until}, load average {load}"


def scripts_of(suite: Any) -> dict[str, set[str]]:
    """Return the scripts that measured each row, by the row's name."""
    return {
        benchmark.get_name(): {
            str(about[SCRIPT]) for run in benchmark.get_runs() for about in [run.get_metadata()] if SCRIPT in about
        }
        for benchmark in suite
    }


# ---- files ----


def load(pyperf: Any, file: str) -> Any:
    """Return the suite in a file of pyperf's JSON. Raises ResultsError."""
    try:
        return pyperf.BenchmarkSuite.load(file)
    except OSError as error:
        raise ResultsError(f"{file} cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError, AttributeError, EOFError) as error:
        raise ResultsError(f"{file} is not JSON of pyperf's: {type(error).__name__}: {error}") from error


def here(pyperf: Any) -> dict[str, str]:
    """Return the metadata that a run on this machine and interpreter would have."""
    collected = pyperf.Run([1.0], metadata={"name": "here", "jumplabel_tag": _tag()}).get_metadata()
    return {name: str(value) for name, value in collected.items()}


def about(suite: Any) -> dict[str, str]:
    """Return the metadata that all runs of a suite share."""
    return {name: str(value) for name, value in suite.get_metadata().items()}


def must_agree(file: str, stored: Any, now: dict[str, str], names: Sequence[str] = SAME) -> None:
    """Raise ResultsError if a stored suite and a measurement cannot be parts of one."""
    before = about(stored)
    for name in names:
        if name in before and name in now and before[name] != now[name]:
            raise ResultsError(
                f"{file} was measured elsewhere: its {name} is {before[name]}, here it is {now[name]}; "
                "move it away, or choose another name or folder"
            )
