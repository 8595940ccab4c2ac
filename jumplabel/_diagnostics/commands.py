"""The commands ``python -m jumplabel info``, ``dis``, ``demo`` and ``stress``: their options, and what they do."""

import argparse
from dataclasses import asdict
from importlib import import_module
from typing import Any, NoReturn

from jumplabel._diagnostics.process_info import info, start
from jumplabel._keys.jump_entries import jump_table
from jumplabel._keys.registry import keys
from jumplabel._process.closed_pipe import tell


def add_info(commands: Any) -> None:
    """Add the parser of ``info`` to argparse's subparsers."""
    command = commands.add_parser("info", help="what this process runs on, and its jump table")
    command.description = "Ready this process for native sites and print info(), then every site of the given modules."
    command.add_argument("modules", nargs="*", metavar="module", help="imported first, so that it makes its sites")
    command.set_defaults(run=show_info)


def add_dis(commands: Any) -> None:
    """Add the parser of ``dis`` to argparse's subparsers."""
    command = commands.add_parser("dis", help="a trampoline's bytes and instructions, or a function's")
    command.description = (
        "Import a module and show one of its sites as it is now: the trampoline of a static_gate, static_switch, "
        "native_branch, StaticCall or Tracepoint, and its target; or the bytecode of a function with static_branches."
    )
    command.add_argument("site", metavar="module:name", help="such as shop.parser:parse or shop.cart:Cart.add")
    command.set_defaults(run=show_site)


def add_demo(commands: Any) -> None:
    """Add the parser of ``demo`` to argparse's subparsers."""
    command = commands.add_parser("demo", help="toggle a key while threads call what depends on it")
    command.description = "Toggle a key without pause while threads call a static_switch, and check every result."
    command.add_argument("--seconds", type=float, default=5, metavar="N", help="how long to run (default: 5)")
    command.add_argument("--threads", type=int, default=2, metavar="N", help="how many threads call (default: 2)")
    command.set_defaults(run=run_demo)


def add_stress(commands: Any) -> None:
    """Add the parser of ``stress`` to argparse's subparsers."""
    command = commands.add_parser("stress", help="everything at once that is hard on a patcher, on this machine")
    command.description = (
        "Toggle keys from threads, signal handlers, C and forked children while all of them call, block signals, come, "
        "go, and have system calls refused; check every result. Ends with 0 where nothing went wrong."
    )
    command.add_argument("--seconds", type=float, default=30, metavar="N", help="how long to run (default: 30)")
    command.set_defaults(run=run_stress)


def fail(message: str) -> NoReturn:
    """End the command with a message, and with status 2."""
    tell(f"jumplabel: {message}")
    raise SystemExit(2)


# ---- info ----


def show_info(arguments: argparse.Namespace) -> int:
    start()
    for name in arguments.modules:
        _load(name)
    facts = asdict(info())
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {_shown(value)}")
    print()
    _print_jump_table(bool(arguments.modules))
    return 0


def _print_jump_table(has_modules: bool) -> None:
    table = jump_table()
    if not table:
        print("no sites" if has_modules else "no sites: name the modules that make them")
        return
    print(f"{'address':<18}  {'kind':<16}  {'state'}  key, owner")
    for entry in table:
        state = "on" if entry.state else "off"
        print(f"{entry.address:#018x}  {entry.what:<16}  {state:<5}  {entry.key}, {entry.owner}")
    described = [(key.name, key.doc) for key in keys() if key.doc]
    if described:
        print()
    for name, doc in described:
        print(f"{name}: {' '.join(doc.split())}")


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)


# ---- dis ----


def show_site(arguments: argparse.Namespace) -> int:
    from jumplabel._diagnostics import disassemble

    module, colon, name = arguments.site.partition(":")
    if not (module and colon and name):
        fail(f"{arguments.site!r} is not of the form module:name, such as shop.cart:Cart.add")
    loaded = _load(module)
    try:
        site = disassemble.find(loaded, name)
    except (LookupError, TypeError) as error:
        fail(str(error))
    print(*disassemble.lines_of(site), sep="\n")
    return 0


def _load(name: str) -> Any:
    """Import a module, and end the command if there is no such module."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        fail(f"there is no module {name!r} on the path; run this where 'import {name}' works")
    except (TypeError, ValueError):
        if name and not name.startswith("."):
            raise
        fail(f"{name!r} is no absolute name of a module")


# ---- demo and stress ----


def run_demo(arguments: argparse.Namespace) -> int:
    from jumplabel._diagnostics import demo

    if not arguments.seconds > 0 or arguments.threads < 1:
        fail("demo needs some --seconds and at least one of --threads")
    try:
        wrong = demo.run(arguments.seconds, arguments.threads, _print_now)
    except KeyboardInterrupt:
        return 130
    return 1 if wrong else 0


def run_stress(arguments: argparse.Namespace) -> int:
    from jumplabel._diagnostics import stress

    if not arguments.seconds > 0:
        fail("stress needs some --seconds")
    try:
        errors = stress.run(arguments.seconds, _print_now)
    except KeyboardInterrupt:
        return 130
    return 1 if errors else 0


def _print_now(line: str) -> None:
    print(line, flush=True)
