"""python -m jumplabel {keys,enable,disable,watch} PID: what they print, and what they end with."""

import argparse
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from typing import Any

from jumplabel.errors import PatternError, RemoteError
from jumplabel.patterns import Patterns
from jumplabel.remote import ask, descendants
from jumplabel.requests import LONGEST, Answer, line

_AT_ONCE = 16
_AHEAD = 1000
"""Toggles that may wait to be printed."""


def add(commands: Any) -> None:
    """To the parsers of __main__.py."""
    for name, many, what in (
        ("keys", "*", "the keys of a running process"),
        ("enable", "+", "switch keys of a running process on"),
        ("disable", "+", "switch keys of a running process off"),
        ("watch", "*", "print the toggles of a running process as they happen"),
    ):
        command = commands.add_parser(name, help=what)
        command.description = (
            f"{what[0].upper()}{what[1:]}: over the socket that it has opened (jumplabel.serve(), JUMPLABEL_SERVE=1), "
            "or, where it and this are the same Python from 3.14 on, with nothing prepared."
        )
        command.add_argument("--tree", action="store_true", help="the process and all its descendants")
        command.add_argument(
            "--timeout",
            type=_seconds,
            default=10.0,
            metavar="N",
            help="seconds to reach it, and to have its answer (default: 10)",
        )
        command.add_argument("pid", type=int, metavar="PID")
        command.add_argument(
            "patterns", nargs=many, metavar="PATTERN", help="of keys, such as 'shop.*' or '!shop.cart'"
        )
        command.set_defaults(run=run, command=name)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < threading.TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds to wait")
    return seconds


def run(arguments: argparse.Namespace) -> int:
    """1 where a process was not reached, a key refused, or no key matched."""
    patterns = arguments.patterns or ["*"]
    try:
        Patterns(patterns)
        if arguments.pid <= 0:
            raise RemoteError(f"{arguments.pid} is no process")
        if len(line({"command": arguments.command, "patterns": patterns})) > LONGEST:
            raise RemoteError(f"the patterns are too long for a request of {LONGEST} bytes; ask in several")
    except (PatternError, RemoteError) as error:
        print(f"jumplabel: {error}", file=sys.stderr)
        return 2
    pids = descendants(arguments.pid) if arguments.tree else [arguments.pid]
    try:
        if arguments.command == "watch":
            return _watch(pids, patterns, arguments)
        return _list(pids, patterns, arguments)
    except BrokenPipeError:  # whoever read it has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # it is flushed at the end
        return 1


def _list(pids: list[int], patterns: list[str], arguments: argparse.Namespace) -> int:
    def of(pid: int) -> list[Answer] | RemoteError:
        try:
            return list(ask(pid, arguments.command, patterns, arguments.timeout))
        except RemoteError as error:
            return error

    status, found = 0, 0
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for pid, answers in zip(pids, pool.map(of, pids), strict=True):
            if isinstance(answers, RemoteError):
                status = _not_reached(pid, answers)
                continue
            if arguments.command == "keys" and answers and not found:
                print(f"{'pid':>7}  " * arguments.tree + "state  users  sites  key")
            found += len(answers)
            for answer in answers:
                print(f"{pid:>7}  " * arguments.tree + _LINES[arguments.command](answer), flush=True)
                if answer.get("outcome") == "refused":
                    status = 1
    if not found and not status and arguments.patterns:
        print(f"jumplabel: no key matches {', '.join(patterns)}", file=sys.stderr)
        status = 1
    return status


def _not_reached(pid: int, error: RemoteError) -> int:
    print(f"jumplabel: process {pid}: {_escaped(str(error))}", file=sys.stderr, flush=True)
    return 1


def _state(answer: Answer) -> str:
    state = "on" if answer["on"] else "off"
    return f"{state:<5}  {answer['users']:>5}  {answer['sites']:>5}  {_printable(answer['key'])}"


def _outcome(answer: Answer) -> str:
    why = f": {_escaped(answer['why'])}" if "why" in answer else ""
    return f"{_escaped(answer['outcome']):<7}  {_printable(answer['key'])}{why}"


def _toggle(answer: Answer) -> str:
    if "lost" in answer:
        return f"... {answer['lost']} toggles more than could be told"
    try:
        at = f"{time.strftime('%H:%M:%S', time.localtime(answer['time']))}.{int(answer['time'] % 1 * 1e6):06}"
    except (ValueError, OverflowError, OSError):  # its time is none
        at = f"{answer['time']:<15}"
    old, new = ("on" if state else "off" for state in (answer["old"], answer["new"]))
    sites = f"{answer['sites']} site" + "s" * (answer["sites"] != 1)
    return f"{at}  {_printable(answer['key'])}  {old} -> {new}  {sites}"


_LINES: dict[str, Callable[[Answer], str]] = {"keys": _state, "enable": _outcome, "disable": _outcome}


def _printable(name: str) -> str:
    """A key's name may hold anything, such as what a terminal obeys."""
    return name if name.isprintable() else ascii(name)


def _escaped(text: str) -> str:
    """What the other side says, or what contains that, may hold anything, too."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _watch(pids: list[int], patterns: list[str], arguments: argparse.Namespace) -> int:
    """Until all of them have ended, or Ctrl-C. A thread for each; this one prints."""
    told: Queue[tuple[int, Answer | RemoteError | None]] = Queue(_AHEAD)

    def watch(pid: int) -> None:
        try:
            for answer in ask(pid, "watch", patterns, arguments.timeout):
                told.put((pid, answer))
            told.put((pid, None))
        except RemoteError as error:
            told.put((pid, error))

    status, watching = 0, len(pids)
    for pid in pids:
        threading.Thread(target=watch, args=(pid,), daemon=True).start()
    try:
        while watching:
            pid, answer = told.get()
            if answer is None:
                watching -= 1
                print(f"jumplabel: process {pid} has ended, or watches no more", file=sys.stderr, flush=True)
            elif isinstance(answer, RemoteError):
                watching -= 1
                status = _not_reached(pid, answer)
            elif "watching" in answer:
                print(f"jumplabel: watching process {pid}", file=sys.stderr, flush=True)
            else:
                print(f"{pid:>7}  " * arguments.tree + _toggle(answer), flush=True)
    except KeyboardInterrupt:
        pass
    return status
