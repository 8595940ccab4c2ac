"""CPython's own tests of tracing see the same with sites in their functions as with plain bools in the same places.

    python tests/programs/tracing_tests.py [--tests test_sys_settrace] [--state off on] [--seed 1]

For each of these test modules and each state: plant neutral tests of names in its functions, run its tests in a process
of its own, once where the names are bools and once where they are keys and every function is decorated. The outcome of
each test must be the same, and so must the text of its failures: what is planted makes many of these tests fail, and
the text then holds all that was traced.

Needs the package ``test`` (Debian: libpython3.x-testsuite; elsewhere in PYTHONPATH's first folder named ``test``).
"""

import contextlib
import functools
import importlib
import importlib.util
import io
import re
import sys
from collections.abc import Iterator
from typing import NamedTuple

import suites
import unittests
from planted_modules import Finder, Plants, undecorated

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
    """Return the text without what differs from run to run: addresses, and names of temporary files."""
    return re.sub(r"0x[0-9a-f]+|/tmp/\w+|@test_\d+_tmp\w*", "...", text)


# ---- all of them ----


def outcome(test: str, state: str, decorate: bool, seed: str) -> Outcome:
    """Return the outcome of run_tests in a new process."""
    run = suites.run_in_a_process(__file__, test, state, decorate, seed, seconds=SECONDS, options=["-W", "ignore"])
    return Outcome(**run)


def report(test: str, state: str, seed: str) -> suites.Report:
    """Report whether all is with keys as it is with bools."""
    bools, keys = (outcome(test, state, decorate, seed) for decorate in (False, True))
    found = suites.different(bools.tests, keys.tests) + suites.different(bools.texts, keys.texts)
    differ = {name for name in found if name.split(".")[-2] not in EXPLAINED}
    n_passed = suites.passed(keys.tests)
    text = f"{n_passed} of {len(bools.tests.keys() | keys.tests.keys())} tests pass, {keys.sites} sites"
    return not differ and n_passed > 0 and keys.sites > 0, suites.with_problems(text, {"not as with bools": differ})


def reports(tests: list[str], states: list[str], seed: str) -> Iterator[suites.Report]:
    for test in filter(is_there, tests):
        for state in states:
            yield suites.compared(f"{test} ({state})", functools.partial(report, test, state, seed))


def is_there(test: str) -> bool:
    return importlib.util.find_spec("test") is not None and importlib.util.find_spec(f"test.{test}") is not None


def main():
    description = "Run CPython's tests of tracing with sites planted in them."
    return suites.main(description, "test", TESTS, STATES, run_tests, reports, "with bools")


if __name__ == "__main__":
    sys.exit(main())
