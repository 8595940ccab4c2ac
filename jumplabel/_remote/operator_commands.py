"""The commands ``python -m jumplabel {keys,enable,disable,watch,level} PID``: options, output and exit status."""

import argparse
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import Empty, Queue
from typing import Any

from jumplabel._process.closed_pipe import has_reader, tell
from jumplabel._remote.ask import ask
from jumplabel._remote.operator_requests import LONGEST, Answer, line, parse
from jumplabel._remote.process_tree import age, descendants, has_ended
from jumplabel.errors import PatternError, RemoteError

_AT_ONCE = 16
"""The number of processes that are asked at the same time."""
_AHEAD = 1000
"""The number of toggles that may wait to be printed."""
_LOOK = 0.5
"""Seconds without a toggle after which ``watch`` checks whether its output still has a reader."""
_YOUNG = 2.0
"""Seconds in which a new process of a tree is expected to open its socket."""
_WIDEST = 60
"""The widest column of keys, in characters."""


def add(commands: Any) -> None:
    """Add the parsers of these commands to argparse's subparsers."""
    for name, many, what in (
        ("keys", "*", "the keys of a running process"),
        ("enable", "+", "switch keys of a running process on"),
        ("disable", "+", "switch keys of a running process off"),
        ("watch", "*", "print the toggles of a running process as they happen"),
    ):
        command = _command(commands, name, what)
        command.add_argument(
            "patterns",
            nargs=many,
            default=[],  # without it argparse reports PATTERN as missing
            metavar="PATTERN",
            help="of keys, such as 'shop.*' or '!shop.cart'",
        )
    command = _command(commands, "level", "set the level of a logger of a running process")
    command.add_argument("logger", metavar="LOGGER", help="its name; root is the root logger")
    command.add_argument("level", type=_level, metavar="LEVEL", help="a name that the process knows, or a number")


def _command(commands: Any, name: str, what: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=what)
    command.description = (
        f"{what[0].upper()}{what[1:]}: over the socket that it serves (jumplabel.serve(), JUMPLABEL_SERVE=1). Without "
        "a socket this needs the same Python on both sides, 3.14 or later."
    )
    command.add_argument("--tree", action="store_true", help="the process and all its descendants")
    command.add_argument("--timeout", type=_seconds, default=10.0, metavar="N", help="seconds to wait (default: 10)")
    command.add_argument("pid", type=int, metavar="PID")
    command.set_defaults(run=run, command=name)
    return command


def _level(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdecimal() else text


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < threading.TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds to wait")
    return seconds


def run(arguments: argparse.Namespace) -> int:
    """Run one of the commands, and return the exit status.

    1: a process was not reached, a key or logger refused, or no key matched. 2: the request is wrong.
    """
    request: Answer = {"command": arguments.command}
    if arguments.command == "level":
        request |= {"logger": arguments.logger, "level": arguments.level}
    else:
        request |= {"patterns": arguments.patterns or ["*"]}
    try:
        parse(line(request))
        if arguments.pid <= 0:
            raise RemoteError(f"{arguments.pid} is no process")
        if len(line(request)) > LONGEST:
            raise RemoteError(f"that is too long for a request of {LONGEST} bytes; ask for less, or in several")
    except (PatternError, RemoteError) as error:
        tell(f"jumplabel: {error}")
        return 2
    pids = descendants(arguments.pid) if arguments.tree else [arguments.pid]
    if arguments.command == "watch":
        return _watch(pids, request, arguments)
    return _list(pids, request, arguments)


def _list(pids: list[int], request: Answer, arguments: argparse.Namespace) -> int:
    status, found = 0, 0
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for pid, answers in _asked(pids, request, arguments, pool):
            if isinstance(answers, RemoteError):
                status = _not_reached(pid, answers)
                continue
            show = _LINES[arguments.command]
            if arguments.command == "keys":
                width = _width(answers)
                show = partial(_state, width=width)
                if answers and not found:
                    head = "state  users  sites  key"
                    print(f"{'pid':>7}  " * arguments.tree + (f"{head:<{width + 21}}  doc" if width else head))
            found += sum("left_out" not in answer for answer in answers)
            for answer in answers:
                print(f"{pid:>7}  " * arguments.tree + show(answer), flush=True)
                if answer.get("outcome") == "refused":
                    status = 1
    if not found and not status and arguments.patterns:  # level always has an answer
        tell(f"jumplabel: no key matches {', '.join(arguments.patterns)}")
        status = 1
    return status


def _asked(
    pids: list[int], request: Answer, arguments: argparse.Namespace, pool: ThreadPoolExecutor
) -> Iterator[tuple[int, list[Answer] | RemoteError]]:
    """Yield each process with its answers, or with the reason why it was not reached.

    A process may fork after the tree was read and before it carries out the request. Then its child has the old state.
    So the children of the processes are looked up again afterwards, and asked, too.
    """

    def of(pid: int) -> list[Answer] | RemoteError:
        while True:
            try:
                return list(ask(pid, request, arguments.timeout))
            except RemoteError as error:
                if not arguments.tree or pid == arguments.pid:
                    return error
                try:
                    if has_ended(pid):  # so no state is left that could be the old one
                        return []
                    if age(pid) > _YOUNG:
                        return error
                except OSError:
                    return []
            time.sleep(0.02)

    asked: set[int] = set()
    while pids:
        yield from zip(pids, pool.map(of, pids), strict=True)
        asked.update(pids)
        pids = [pid for pid in descendants(*pids) if pid not in asked] if arguments.tree else []


def _not_reached(pid: int, error: RemoteError) -> int:
    tell(f"jumplabel: process {pid}: {_escaped(str(error))}")
    return 1


def _state(answer: Answer, width: int) -> str:
    state = "on" if answer["on"] else "off"
    doc = f"  {_escaped(answer['doc'])}" if "doc" in answer else ""
    name = _printable(answer["key"])
    return f"{state:<5}  {answer['users']:>5}  {answer['sites']:>5}  {name:<{width if doc else 0}}{doc}"


def _width(answers: list[Answer]) -> int:
    """Return the width of the column of names, or 0 if no key has a doc. One very long name does not widen it."""
    if not any("doc" in answer for answer in answers):
        return 0
    return max(len("key"), *(min(len(_printable(answer["key"])), _WIDEST) for answer in answers))


def _outcome(answer: Answer) -> str:
    if "left_out" in answer:
        one = answer["left_out"] == 1
        follow = "key of a logger follows its level" if one else "keys of loggers follow their levels"
        return f"{answer['left_out']} {follow}: see `level`"
    why = f": {_escaped(answer['why'])}" if "why" in answer else ""
    return f"{_escaped(answer['outcome']):<7}  {_printable(answer['key'])}{why}"


def _level_change(answer: Answer) -> str:
    levels = [answer[when] for when in ("before", "after") if when in answer]
    change = " -> ".join(f"{_printable(level['name'])} ({level['number']})" for level in levels)
    why = f": {_escaped(answer['why'])}" if "why" in answer else ""
    return f"{_escaped(answer['outcome']):<7}  {_printable(answer['logger'])}" + f"  {change}" * bool(change) + why


def _toggle(answer: Answer) -> str:
    if "lost" in answer:
        return f"... {answer['lost']} more toggles were lost"
    try:
        at = f"{time.strftime('%H:%M:%S', time.localtime(answer['time']))}.{int(answer['time'] % 1 * 1e6):06}"
    except (ValueError, OverflowError, OSError):  # the number is no valid time
        at = f"{answer['time']:<15}"
    old, new = ("on" if state else "off" for state in (answer["old"], answer["new"]))
    sites = f"{answer['sites']} site" + "s" * (answer["sites"] != 1)
    return f"{at}  {_printable(answer['key'])}  {old} -> {new}  {sites}"


_LINES: dict[str, Callable[[Answer], str]] = {
    "keys": partial(_state, width=0),
    "enable": _outcome,
    "disable": _outcome,
    "level": _level_change,
}


def _printable(name: str) -> str:
    """Return a name that is safe to print. A key's name may hold control codes that a terminal obeys."""
    return name if name.isprintable() else ascii(name)


def _escaped(text: str) -> str:
    """Return a text of the other side that is safe to print. It may hold control codes, too."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _watch(pids: list[int], request: Answer, arguments: argparse.Namespace) -> int:
    """Print toggles until all processes have ended, or Ctrl-C. One thread asks each process; this one prints."""
    received: Queue[tuple[int, Answer | RemoteError | None]] = Queue(_AHEAD)

    def watch(pid: int) -> None:
        try:
            for answer in ask(pid, request, arguments.timeout):
                received.put((pid, answer))
            received.put((pid, None))
        except RemoteError as error:
            received.put((pid, error))

    status, watching = 0, len(pids)
    for pid in pids:
        threading.Thread(target=watch, args=(pid,), daemon=True).start()
    try:
        while watching:
            try:
                pid, answer = received.get(timeout=_LOOK)
            except Empty:
                if not has_reader(sys.stdout):  # the next toggle, which would show it, may come late
                    raise BrokenPipeError from None
                continue
            if answer is None:
                watching -= 1
                tell(f"jumplabel: process {pid} has ended, or watches no more")
            elif isinstance(answer, RemoteError):
                watching -= 1
                status = _not_reached(pid, answer)
            elif "watching" in answer:
                tell(f"jumplabel: watching process {pid}")
            else:
                print(f"{pid:>7}  " * arguments.tree + _toggle(answer), flush=True)
    except KeyboardInterrupt:
        pass
    return status
