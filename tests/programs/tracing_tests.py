"""CPython's own tests of tracing see the same with sites in their functions as with plain bools in the same places.

    python tests/programs/tracing_tests.py [--tests test_sys_settrace] [--state off on] [--seed 1]

For each of these test modules and each state: plant neutral tests of names in its functions, run its tests in a process
of its own, once where the names are bools and once where they are keys and every function is decorated. The outcome of
each test must be the same, and so must the text of its failures: what is planted makes many of these tests fail, and
the text then holds all that was traced.

Needs the package ``test`` (Debian: libpython3.x-testsuite; elsewhere in PYTHONPATH's first folder named ``test``).
"""

import argparse
import contextlib
import importlib
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import unittests
from planting import Finder, Plants, undecorated

from jumplabel import static_branches

TESTS = ["test_bdb", "test_monitoring", "test_pdb", "test_sys_setprofile", "test_sys_settrace", "test_trace"]
STATES = ["off", "on"]
SECONDS = 300

EXPLAINED = {"MonitoringEventsTest": "sys.monitoring sees a JUMP where it saw a BRANCH"}
"""By class: tests that differ, and why."""


class Outcome(NamedTuple):
    tests: dict[str, str]
    texts: dict[str, list[str]]
    sites: int


# ---- in a process of its own ----


def run_tests(test: str, state: str, decorate: bool, seed: str) -> Outcome:
    """Run one module of tests here, with keys or with bools in it."""
    plants = Plants("planted", None if decorate else state == "on")
    plants.set_all(state == "on")
    name = f"test.{test}"
    how = {"one_line": True, "as_bools": True}
    sys.meta_path.insert(0, Finder([name], plants, static_branches if decorate else undecorated, seed, **how))
    importlib.import_module(name)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        outcomes, texts = unittests.run_and_tell([name])
    return Outcome(outcomes, {name: [_steady(text) for text in found] for name, found in texts.items()}, plants.sites())


def _steady(text):
    """Without what differs from run to run: addresses, and names of temporary files."""
    return re.sub(r"0x[0-9a-f]+|/tmp/\w+|@test_\d+_tmp\w*", "...", text)


# ---- all of them ----


def outcome(test: str, state: str, decorate: bool, seed: str) -> Outcome | str:
    """What run_tests says in a new process; or what went wrong."""
    with tempfile.TemporaryDirectory(prefix="jumplabel-tracing-") as folder:
        result = Path(folder, "outcome.json")
        child = [sys.executable, "-W", "ignore", os.path.abspath(__file__)]
        child += ["--child", test, state, str(int(decorate)), seed, str(result)]
        try:
            done = subprocess.run(
                child,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=SECONDS,
            )
        except subprocess.TimeoutExpired:
            return f"took more than {SECONDS} s"
        if done.returncode or not result.exists():
            return f"exit status {done.returncode}: {done.stdout[-2000:]}"
        return Outcome(**json.loads(result.read_text()))


def reports(test: str, states: list[str], seed: str) -> Iterator[tuple[bool, str]]:
    """For each state: whether all is with keys as it is with bools, and a line on it."""
    for state in states:
        bools = outcome(test, state, False, seed)
        keys = bools if isinstance(bools, str) else outcome(test, state, True, seed)
        if isinstance(bools, str) or isinstance(keys, str):
            yield False, f"{test} ({state}): {keys}"
            continue
        names = bools.tests.keys() | keys.tests.keys()
        other = sorted(name for name in names if bools.tests.get(name) != keys.tests.get(name))
        other_text = sorted(name for name in names if bools.texts.get(name) != keys.texts.get(name))
        differ = [name for name in dict.fromkeys(other + other_text) if name.split(".")[-2] not in EXPLAINED]
        passed = list(keys.tests.values()).count("passed")
        text = f"{test} ({state}): {passed} of {len(names)} tests pass, {keys.sites} sites"
        yield not differ and passed > 0 and keys.sites > 0, text + (f"; not as with bools: {differ}" if differ else "")


def is_there(test: str) -> bool:
    return importlib.util.find_spec("test") is not None and importlib.util.find_spec(f"test.{test}") is not None


def main():
    parser = argparse.ArgumentParser(description="Run CPython's tests of tracing with sites planted in them.")
    parser.add_argument("--tests", nargs="*", default=TESTS)
    parser.add_argument("--state", nargs="*", default=STATES, choices=STATES)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        test, state, decorate, seed, result = options.child
        Path(result).write_text(json.dumps(run_tests(test, state, bool(int(decorate)), seed)._asdict()))
        return False
    n_wrong = n = 0
    for test in filter(is_there, options.tests):
        for good, text in reports(test, options.state, options.seed):
            n, n_wrong = n + 1, n_wrong + (not good)
            print("ok " if good else "BAD", text, flush=True)
    print(f"{n - n_wrong} of {n} runs are as they are with bools")
    return bool(n_wrong)


if __name__ == "__main__":
    sys.exit(main())
