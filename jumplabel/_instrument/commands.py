"""The commands ``python -m jumplabel run`` and ``compile``: their options, and what they do."""

import argparse
import os
import sys
from typing import Any

from jumplabel._instrument import startup
from jumplabel._keys.patterns import Patterns
from jumplabel._process.closed_pipe import tell
from jumplabel.errors import PatternError


def add_run(commands: Any) -> None:
    """Add the parser of ``run`` to argparse's subparsers."""
    command = commands.add_parser("run", help="a program, with its logging and keys instrumented, or its assertions")
    command.usage = f"{command.prog} [options] (script | -m module | -c code) [argument ...]"
    command.description = (
        "Run a Python program as python would, and instrument it and the modules that it imports. Without --logging, "
        "--asserts, --asserts-off and --keys: logging and keys. JUMPLABEL_INSTRUMENT and JUMPLABEL_ENABLE are set for "
        "the Python processes that it starts, so these are instrumented, too."
    )
    command.allow_abbrev = False
    _add_what(command)
    command.add_argument(
        "--modules",
        action="append",
        default=[],
        metavar="PATTERN",
        help="such as 'shop,shop.*' (default: '*'); may be repeated",
    )
    command.add_argument(
        "--enable",
        action="append",
        default=[],
        metavar="PATTERN",
        help="keys that start on: 'asserts.shop.*'; may be repeated",
    )
    command.set_defaults(run=run_program, parser=command)


def add_compile(commands: Any) -> None:
    """Add the parser of ``compile`` to argparse's subparsers."""
    command = commands.add_parser("compile", help="fill the import hook's cache before a first start")
    command.description = (
        "Compile modules with their sites, and keep the code where install(), run and JUMPLABEL_INSTRUMENT find it: "
        "beside the interpreter's own, in __pycache__. Nothing is imported. Give the options that the program will be "
        "run with, and the interpreter's (-O). Ends with 0 where all that matches is compiled."
    )
    command.add_argument("patterns", nargs="+", metavar="PATTERN", help="of modules, such as 'shop,shop.*'")
    _add_what(command)
    command.add_argument(
        "--path",
        action="append",
        default=[],
        metavar="FOLDER",
        help="search there first, as in PYTHONPATH; may be repeated",
    )
    command.add_argument("-f", "--force", action="store_true", help="also compile what is compiled already")
    command.add_argument("-q", "--quiet", action="count", default=0, help="print errors only; -qq: print nothing")
    command.add_argument(
        "--invalidation-mode", choices=["timestamp", "checked-hash", "unchecked-hash"], help="as that of compileall"
    )
    command.set_defaults(run=compile_modules, parser=command)


def split_program(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Split our arguments from those of a program that ``run`` starts.

    argparse would take options and ``--`` from the program's.
    """
    if arguments[:1] == ["run"]:
        place = 1
        while place < len(arguments):
            argument = arguments[place]
            if not argument.startswith("-") or argument == "-" or argument[:2] in ("-m", "-c"):
                return arguments[:place], arguments[place:]
            place += 2 if argument in ("--modules", "--enable") else 1
    return arguments, []


def run_program(arguments: argparse.Namespace) -> int:
    """Run a program. Raises whatever it raises, SystemExit among that."""
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


def compile_modules(arguments: argparse.Namespace) -> int:
    """Compile modules into the import hook's cache, and return the exit status."""
    from jumplabel._instrument import compile_modules

    try:
        group = startup.ModuleGroup(_what(arguments), tuple(arguments.patterns))
    except PatternError as error:
        arguments.parser.error(str(error))
    options = group.options
    if not (options.logging or options.asserts):
        arguments.parser.error("--keys alone needs no compiling: tests of keys become sites when the module is there")
    sys.path[:0] = map(os.path.abspath, arguments.path)
    return compile_modules.run(
        Patterns(group.patterns), options, arguments.invalidation_mode, arguments.force, arguments.quiet
    )


def _add_what(command: argparse.ArgumentParser) -> None:
    """Add the options that say what is instrumented in a module."""
    command.add_argument("--logging", action="store_true", help="calls of loggers: free while their level is off")
    command.add_argument(
        "--asserts", action="store_true", help="assertions, under the keys asserts.MODULE, which start on"
    )
    command.add_argument("--asserts-off", action="store_true", help="assertions, under keys that start off")
    command.add_argument("--keys", action="store_true", help="tests of keys, as @static_branches does")
    command.add_argument("--only-pure", action="store_true", help="only logging whose arguments call nothing")


def _what(arguments: argparse.Namespace) -> frozenset[str]:
    return frozenset(name for name in startup.WHAT if getattr(arguments, name.replace("-", "_")))
