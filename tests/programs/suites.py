"""What the programs share that run the suites of other projects with sites in them, and without.

Each run of tests is a process of its own: the same program, with the hidden option ``--child``. Its Outcome goes
through a file. A program compares runs without and with sites, and prints a line for each comparison.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

Report = tuple[bool, str]
"""Whether the tests do with sites what they do without, and a line on it."""


class RunError(Exception):
    """A run of tests did not end as it should: it took too long, or its process failed."""


def run_in_a_process(program, *arguments, seconds, options=(), folder=None, environment=None) -> dict[str, object]:
    """Run ``program --child *arguments`` in a new process, and return the fields of its Outcome.

    arguments    of the program's run_tests(): names, state, whether with sites, seed
    seconds      after so many the process is killed
    options      of the interpreter
    folder       where the process runs: in an empty folder of its own where nothing is named
    environment  of the process: this one's where nothing is named
    """
    with tempfile.TemporaryDirectory(prefix="jumplabel-suites-") as own:
        result, empty = Path(own, "outcome.json"), Path(own, "work")
        empty.mkdir()
        try:
            done = subprocess.run(
                [sys.executable, *options, os.path.abspath(program), "--child", *map(str, arguments), str(result)],
                cwd=folder or empty,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=seconds,
            )
        except subprocess.TimeoutExpired:
            raise RunError(f"took more than {seconds} s") from None
        if done.returncode or not result.exists():
            raise RunError(f"exit status {done.returncode}: {done.stdout[-4000:]}")
        return json.loads(result.read_text())


@contextlib.contextmanager
def repeated(step: Callable[[], None]) -> Iterator[list[str]]:
    """Have a thread call ``step`` without pause. Yields a list, for the traceback where a step raises."""
    stop, wrong = threading.Event(), list[str]()

    def run():
        try:
            while not stop.is_set():
                step()
        except BaseException:
            wrong.append(traceback.format_exc())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield wrong
    finally:
        stop.set()
        thread.join()


def only_without(plain: dict[str, str], other: dict[str, str]) -> list[str]:
    """Return the tests that pass in the first run only; both runs are outcomes by the name of the test."""
    return sorted(name for name, outcome in plain.items() if outcome == "passed" != other.get(name))


def different(plain: dict, other: dict) -> list[str]:
    """Return the tests of which the two runs say different things, or of which only one says anything."""
    return sorted(name for name in plain.keys() | other.keys() if plain.get(name) != other.get(name))


def passed(outcomes: dict[str, str]) -> int:
    return list(outcomes.values()).count("passed")


def compared(title: str, compare: Callable[[], Report]) -> Report:
    """Return the report of ``compare``, or the failure of one of its runs."""
    try:
        good, text = compare()
    except RunError as error:
        return False, f"{title}: {error}"
    return good, f"{title}: {text}"


def with_problems(text: str, problems: dict[str, Iterable[str]]) -> str:
    """Return the text, and for each problem the tests that have it."""
    return text + "".join(f"; {problem}: {sorted(tests)}" for problem, tests in problems.items() if tests)


def main(description, thing, names, states, run_tests, reports, like) -> bool:
    """Run the program by its command line. Return whether anything was wrong.

    thing      what the names are: the option ``--<thing>s`` chooses some of them
    run_tests  runs tests in this process, for run_in_a_process(); returns an Outcome
    reports    called with the names and states that are chosen, and the seed: yields Reports
    like       what runs with sites are compared with, for the last line
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(f"--{thing}s", dest="names", nargs="*", default=list(names), choices=list(names))
    parser.add_argument("--state", nargs="*", default=states, choices=states)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        *names_and_state, with_sites, seed, result = options.child
        Path(result).write_text(json.dumps(run_tests(*names_and_state, with_sites == "True", seed)._asdict()))
        return False
    n_wrong = n = 0
    for good, text in reports(options.names, options.state, options.seed):
        n, n_wrong = n + 1, n_wrong + (not good)
        print("ok " if good else "BAD", text, flush=True)
    print(f"{n - n_wrong} of {n} runs are as they are {like}")
    return n_wrong > 0
