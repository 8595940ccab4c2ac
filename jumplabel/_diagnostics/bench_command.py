"""The command ``python -m jumplabel bench``: its options, and the way to the harness in ``benchmarks/``."""

import argparse
from importlib import import_module
from pathlib import Path
from typing import Any

from jumplabel._diagnostics.commands import fail
from jumplabel._process.closed_pipe import tell


def add(commands: Any) -> None:
    """Add the parser of ``bench`` to argparse's subparsers."""
    command = commands.add_parser("bench", help="what sites cost, against what people write today", allow_abbrev=False)
    command.description = "Run the pyperf benchmarks and print their ratios, in Markdown."
    command.epilog = "Other options are pyperf's, such as --values, --affinity or --min-time."
    command.add_argument("--only", action="append", metavar="SCRIPT", help="such as gate.py; may be repeated")
    command.add_argument("--curves", action="store_true", help="also how costs grow, which takes long")
    command.add_argument("-p", "--processes", type=int, metavar="N", help="rounds: processes a row (default: 15)")
    command.add_argument("--fast", action="store_true", help="rough answers, in a third of the rounds")
    command.add_argument("--rigorous", action="store_true", help="twice the rounds")
    command.add_argument("-l", "--loops", type=int, metavar="N", help="loops a value (default: calibrated)")
    command.add_argument("-o", "--output", metavar="FILE", help="write pyperf's JSON to a new file")
    command.add_argument("--append", metavar="FILE", help="append pyperf's JSON to a file")
    command.add_argument(
        "--results", metavar="FOLDER", help="store pyperf's JSON there, and remake RESULTS.md and the charts from it"
    )
    command.add_argument("--report", metavar="FILE", help="report this JSON of pyperf's, and measure nothing")
    command.add_argument("--compare", metavar="FILE", help="with this JSON of pyperf's, by pyperf compare_to")
    command.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the benchmarks, and return the exit status."""
    bench, measuring, run_facts = (harness(name) for name in ("bench", "measuring", "run_facts"))
    try:
        return int(bench.run(arguments))
    except ModuleNotFoundError as error:
        if error.name not in (*bench.EXTRA, bench.CHARTS):
            raise
        fail(f"{error.name} is missing: pip install 'jumplabel[bench]' brings what bench needs")
    except measuring.ScriptError as error:
        tell(error.output.rstrip())
        fail(str(error))
    except (bench.UsageError, run_facts.ResultsError, FileExistsError, NotADirectoryError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        return 130


def harness(name: str) -> Any:
    """Import a module of the harness.

    An installed package holds the harness as ``jumplabel.benchmarks``. In a checkout ``benchmarks`` is a folder beside
    the package, so the package's path gets the folder above.
    """
    path = import_module("jumplabel").__path__
    checkout = str(Path(path[0]).parent)
    if checkout not in path:
        path.append(checkout)
    return import_module(f"jumplabel.benchmarks.harness.{name}")
