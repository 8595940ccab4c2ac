"""The command line: python -m jumplabel {info,run,compile,dis,keys,enable,disable,watch,level,demo,stress,bench}."""

import argparse
import os
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import jumplabel
from jumplabel._diagnostics.process_info import info, start
from jumplabel._instrument import startup
from jumplabel._keys.jump_entries import jump_table
from jumplabel._keys.patterns import Patterns
from jumplabel._keys.registry import keys
from jumplabel._process.closed_pipe import ends_quietly, tell
from jumplabel._remote import operator_commands
from jumplabel.errors import PatternError


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m jumplabel", description="Static keys: what there is, and what it costs."
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    command = commands.add_parser("info", help="what this process runs on, and its jump table")
    command.description = "Ready this process for native sites and print info(), then every site of the given modules."
    command.add_argument("modules", nargs="*", metavar="module", help="imported first, so that it makes its sites")
    command.set_defaults(run=_info)

    command = commands.add_parser("run", help="a program, with its logging and keys instrumented, or its assertions")
    command.usage = f"{command.prog} [options] (script | -m module | -c code) [argument ...]"
    command.description = (
        "Run a Python program as python would, with the modules that it imports instrumented, and itself. Without any "
        "of --logging, --asserts, --asserts-off and --keys: logging and keys. The Python processes that it starts are "
        "instrumented, too: JUMPLABEL_INSTRUMENT and JUMPLABEL_ENABLE are set for them."
    )
    command.allow_abbrev = False
    _add_what(command)
    command.add_argument(
        "--modules", action="append", default=[], metavar="PATTERN", help="such as 'shop,shop.*' (default: '*'); again"
    )
    command.add_argument(
        "--enable", action="append", default=[], metavar="PATTERN", help="keys that start on: 'asserts.shop.*'; again"
    )
    command.set_defaults(run=_run, parser=command)

    command = commands.add_parser("compile", help="what the import hook makes at a first start, made ahead of it")
    command.description = (
        "Compile modules with their sites, and keep the code where install(), run and JUMPLABEL_INSTRUMENT find it: "
        "beside the interpreter's own, in __pycache__. Nothing is imported. The options are those that the program is "
        "run with, and so are the interpreter's (-O). Ends with 0 where all that matches is compiled."
    )
    command.add_argument("patterns", nargs="+", metavar="PATTERN", help="of modules, such as 'shop,shop.*'")
    _add_what(command)
    command.add_argument(
        "--path", action="append", default=[], metavar="FOLDER", help="search there first, as in PYTHONPATH; again"
    )
    command.add_argument("-f", "--force", action="store_true", help="also what is compiled already")
    command.add_argument("-q", "--quiet", action="count", default=0, help="only tell of errors; -qq: tell nothing")
    command.add_argument(
        "--invalidation-mode", choices=["timestamp", "checked-hash", "unchecked-hash"], help="as that of compileall"
    )
    command.set_defaults(run=_compile, parser=command)

    command = commands.add_parser("dis", help="a trampoline's bytes and instructions, or a function's")
    command.description = (
        "Import a module and show what is in it as it is now: the trampoline of a static_gate, static_switch, "
        "native_branch, StaticCall or Tracepoint, and where it leads; or the bytecode of a function with "
        "static_branches."
    )
    command.add_argument("site", metavar="module:name", help="such as shop.parser:parse or shop.cart:Cart.add")
    command.set_defaults(run=_dis)

    operator_commands.add(commands)

    command = commands.add_parser("demo", help="toggle a key while threads call what depends on it")
    command.description = "Toggle a key without pause while threads call a static_switch, and check every result."
    command.add_argument("--seconds", type=float, default=5, metavar="N", help="how long to run (default: 5)")
    command.add_argument("--threads", type=int, default=2, metavar="N", help="how many threads call (default: 2)")
    command.set_defaults(run=_demo)

    command = commands.add_parser("stress", help="everything at once that is hard on a patcher, on this machine")
    command.description = (
        "Toggle keys from threads, signal handlers, C and forked children while all of them call, block signals, come, "
        "go, and have system calls refused; check every result. Ends with 0 where nothing went wrong."
    )
    command.add_argument("--seconds", type=float, default=30, metavar="N", help="how long to run (default: 30)")
    command.set_defaults(run=_stress)

    command = commands.add_parser("bench", help="what sites cost, against what people write today", allow_abbrev=False)
    command.description = "Run the pyperf benchmarks and print their ratios, in Markdown."
    command.epilog = "Other options are pyperf's, such as --values, --affinity or --min-time."
    command.add_argument("--only", action="append", metavar="SCRIPT", help="of these, such as gate.py; again")
    command.add_argument("--curves", action="store_true", help="also how costs grow, which takes long")
    command.add_argument("-p", "--processes", type=int, metavar="N", help="rounds: processes a row (default: 15)")
    command.add_argument("--fast", action="store_true", help="rough answers, in a third of the rounds")
    command.add_argument("--rigorous", action="store_true", help="twice the rounds")
    command.add_argument("-l", "--loops", type=int, metavar="N", help="loops a value (default: calibrated)")
    command.add_argument("-o", "--output", metavar="FILE", help="write pyperf's JSON to a new file")
    command.add_argument("--append", metavar="FILE", help="append pyperf's JSON to a file")
    command.add_argument(
        "--results",
        metavar="FOLDER",
        help="keep pyperf's JSON there, and make RESULTS.md and charts of all that is kept",
    )
    command.add_argument("--report", metavar="FILE", help="of this JSON of pyperf's, and measure nothing")
    command.add_argument("--compare", metavar="FILE", help="with this JSON of pyperf's, by pyperf compare_to")
    command.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")
    command.set_defaults(run=_bench)

    ours, program = _split(sys.argv[1:])
    with ends_quietly():
        arguments, others = parser.parse_known_args(ours)
        if others and arguments.run is not _bench:
            parser.error(f"unrecognized arguments: {' '.join(others)}")
    arguments.program = program
    arguments.others = others
    arguments.command_line = ours
    if arguments.run is _run:  # a program, whose output and end are its own
        return _run(arguments)
    with ends_quietly():
        return int(arguments.run(arguments))


def _add_what(command: argparse.ArgumentParser) -> None:
    """What of a module is instrumented."""
    command.add_argument("--logging", action="store_true", help="calls of loggers: free while their level is off")
    command.add_argument(
        "--asserts", action="store_true", help="assertions, under the keys asserts.MODULE, which start on"
    )
    command.add_argument("--asserts-off", action="store_true", help="assertions, under keys that start off")
    command.add_argument("--keys", action="store_true", help="tests of keys, as @static_branches does")
    command.add_argument("--only-pure", action="store_true", help="only logging whose arguments call nothing")


def _what(arguments: argparse.Namespace) -> frozenset[str]:
    return frozenset(name for name in startup.WHAT if getattr(arguments, name.replace("-", "_")))


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """What is ours, and what belongs to a program that we run: argparse would take options and ``--`` out of it."""
    if arguments[:1] == ["run"]:
        place = 1
        while place < len(arguments):
            argument = arguments[place]
            if not argument.startswith("-") or argument == "-" or argument[:2] in ("-m", "-c"):
                return arguments[:place], arguments[place:]
            place += 2 if argument in ("--modules", "--enable") else 1
    return arguments, []


def _fail(message: str) -> NoReturn:
    tell(f"jumplabel: {message}")
    raise SystemExit(2)


def _load(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        _fail(f"there is no module {name!r} on the path; run this where 'import {name}' works")
    except (TypeError, ValueError):
        if name and not name.startswith("."):
            raise
        _fail(f"{name!r} is no absolute name of a module")


def _info(arguments: argparse.Namespace) -> int:
    start()
    for name in arguments.modules:
        _load(name)
    facts = asdict(info())
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {_shown(value)}")
    table = jump_table()
    print()
    if not table:
        print("no sites" if arguments.modules else "no sites: name the modules that make them")
        return 0
    print(f"{'address':<18}  {'kind':<16}  {'state'}  key, owner")
    for entry in table:
        print(
            f"{entry.address:#018x}  {entry.what:<16}  {'on' if entry.state else 'off':<5}  {entry.key}, {entry.owner}"
        )
    described = [(key.name, key.doc) for key in keys() if key.doc]
    if described:
        print()
    for name, doc in described:
        print(f"{name}: {' '.join(doc.split())}")
    return 0


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)


def _run(arguments: argparse.Namespace) -> int:
    from jumplabel._instrument import run

    program = arguments.program
    option = program[0][:2] if program and program[0].startswith("-") else ""
    if option and program[0][2:]:  # -mshop
        program[:1] = [option, program[0][2:]]
    if len(program) < (2 if option else 1):
        arguments.parser.error(f"{option or 'run'} needs a program: script, -m module or -c code")
    try:
        run.prepare(_what(arguments), arguments.modules or ["*"], arguments.enable)
    except PatternError as error:
        arguments.parser.error(str(error))
    try:
        if option == "-m":
            run.run_module(program[1], program[2:])
        elif option == "-c":
            run.run_string(program[1], program[2:])
        else:
            run.run_script(program[0], program[1:])
    except run.NoProgramError as error:
        tell(f"jumplabel: {error}")
        return error.status
    return 0


def _compile(arguments: argparse.Namespace) -> int:
    from jumplabel._instrument import compile_modules

    try:
        group = startup.Group(_what(arguments), tuple(arguments.patterns))
    except PatternError as error:
        arguments.parser.error(str(error))
    options = group.options
    if not (options.logging or options.asserts):
        arguments.parser.error("--keys alone needs no compiling: tests of keys become sites when the module is there")
    sys.path[:0] = map(os.path.abspath, arguments.path)
    return compile_modules.run(
        Patterns(group.patterns), options, arguments.invalidation_mode, arguments.force, arguments.quiet
    )


def _dis(arguments: argparse.Namespace) -> int:
    from jumplabel._diagnostics import disassemble

    module, colon, name = arguments.site.partition(":")
    if not (module and colon and name):
        _fail(f"{arguments.site!r} is not of the form module:name, such as shop.cart:Cart.add")
    loaded = _load(module)
    try:
        site = disassemble.find(loaded, name)
    except (LookupError, TypeError) as error:
        _fail(str(error))
    print(*disassemble.report(site), sep="\n")
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    from jumplabel._diagnostics import demo

    if not arguments.seconds > 0 or arguments.threads < 1:
        _fail("demo needs some --seconds and at least one of --threads")

    def show(line: str) -> None:
        print(line, flush=True)

    try:
        wrong = demo.run(arguments.seconds, arguments.threads, show)
    except KeyboardInterrupt:
        return 130
    return 1 if wrong else 0


def _stress(arguments: argparse.Namespace) -> int:
    from jumplabel._diagnostics import stress

    if not arguments.seconds > 0:
        _fail("stress needs some --seconds")
    try:
        errors = stress.run(arguments.seconds, lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        return 130
    return 1 if errors else 0


def _of_benchmarks(name: str) -> Any:
    """A module of the harness: of a package within the installed one; in a checkout it is beside it."""
    checkout = str(Path(jumplabel.__path__[0]).parent)
    if checkout not in jumplabel.__path__:
        jumplabel.__path__.append(checkout)
    return import_module(f"jumplabel.benchmarks.harness.{name}")


def _bench(arguments: argparse.Namespace) -> int:
    bench, facts, measure = (_of_benchmarks(name) for name in ("bench", "run_facts", "measuring"))
    try:
        return int(bench.run(arguments))
    except ModuleNotFoundError as error:
        if error.name not in (*bench.EXTRA, bench.CHARTS):
            raise
        _fail(f"{error.name} is missing: pip install 'jumplabel[bench]' brings what bench needs")
    except measure.ScriptError as error:
        tell(error.output.rstrip())
        _fail(str(error))
    except (bench.UsageError, facts.ResultsError, FileExistsError, NotADirectoryError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
