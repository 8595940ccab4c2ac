"""The standard library's own tests see no change when whole packages of it are under the import hook.

    python tests/programs/hooked_stdlib.py [--packages asyncio] [--state asserts optimized on random] [--seed 1]

For each package, test module and state: CPython's tests, in a process of its own, without the hook and with it over the
package; what it is too late for, as it is loaded already (``logging``), goes through instrument(). Every test that
passes without the hook must pass under it. ``asserts``: assertions are on; ``optimized``: they are off, which is
compared with ``python -O``; ``on``: they are on, and so is all logging; ``random``: a thread turns loggers
and assertions while the tests run, and those that look at them, and so fail under ``python -O`` when all logging is
disabled, do not count. A test that fails is tried again, twice: some depend on how fast the machine is.

Needs the package ``test`` (Debian: libpython3.x-testsuite; elsewhere in PYTHONPATH's first folder named ``test``).
"""

import contextlib
import functools
import importlib.util
import logging
import os
import pkgutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import hooked
import suites

import jumplabel

TESTS = {
    "asyncio": ["test.test_asyncio.*"],
    "concurrent": [
        *("test.test_concurrent_futures.test_future", "test.test_concurrent_futures.test_thread_pool"),
        *("test.test_concurrent_futures.FutureTests", "test.test_concurrent_futures.ThreadPoolExecutorTest"),  # 3.11
    ],
    "http": ["test.test_httplib", "test.test_httpservers", "test.test_http_cookies", "test.test_http_cookiejar"],
    "logging": ["test.test_logging"],
    "urllib": [
        *("test.test_urllib", "test.test_urllib2", "test.test_urllib2_localnet", "test.test_urllib_response"),
        *("test.test_urlparse", "test.test_robotparser"),
    ],
    "xmlrpc": ["test.test_xmlrpc"],
}
STATES = ["asserts", "optimized", "on", "random"]
SECONDS = 300
TRIES = 3
RESOURCES = ["cpu", "subprocess"]  # of those that test.support knows; the network is not among them


class Outcome(NamedTuple):
    tests: dict[str, str]
    sites: tuple[int, int]
    flips: int
    disagreeing: list[str]


# ---- in a process of its own ----


def run_tests(package: str, test: str, state: str, hook: bool, seed: str) -> Outcome:
    """Run one module of tests here."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what runs in the background
    patterns = [package, f"{package}.*"]
    if hook:
        jumplabel.install(*patterns, asserts="off")
        for module in hooked.loaded(patterns):
            jumplabel.instrument(sys.modules[module], asserts="off")
    import unittests  # only now: it may import what is to be under the hook
    from test import support

    support.use_resources = dict.fromkeys(RESOURCES)
    importlib.import_module(test if _is_module(test) else test.rpartition(".")[0])
    if hook and state != "optimized":
        hooked.enable_asserts()
    if state == "on":
        logging.root.addHandler(logging.NullHandler())
        logging.root.setLevel(1)
    if state == "muted":
        logging.disable(sys.maxsize)
    with hooked.flipping(package, seed) if state == "random" else contextlib.nullcontext(([0], [])) as (flips, wrong):
        outcomes = unittests.run([test])
    return Outcome(outcomes, hooked.sites(), flips[0], wrong + hooked.disagreeing())


# ---- all of them ----


def tests_of(package: str) -> list[str]:
    """Return the names of the package's test modules, or classes, that this Python has."""
    names = []
    for name in TESTS[package]:
        if name.endswith(".*"):
            found = importlib.util.find_spec(name[:-2])
            paths = found.submodule_search_locations if found else []
            names += [f"{name[:-1]}{module.name}" for module in pkgutil.iter_modules(paths) if _is_for_us(module.name)]
        elif _is_there(name):
            names.append(name)
    return names


def _is_for_us(name):
    return name.startswith("test_") and not name.startswith("test_windows_")


def _is_there(name):
    if _is_module(name):
        return True
    parent, _, last = name.rpartition(".")
    spec = importlib.util.find_spec(parent)
    return bool(spec and spec.origin and f"\nclass {last}(" in Path(spec.origin).read_text())


def _is_module(name):
    with contextlib.suppress(ModuleNotFoundError):
        return importlib.util.find_spec(name) is not None


def outcome(package: str, test: str, state: str, hook: bool, seed: str) -> Outcome:
    """Return the outcome of run_tests in a new process."""
    optimize = ["-O"] if state in ("optimized", "muted") and not hook else []
    run = suites.run_in_a_process(
        *(__file__, package, test, state, hook, seed),
        seconds=SECONDS,
        options=[*optimize, "-W", "ignore"],
        environment={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},  # the interpreter's own folder stays as it is
    )
    return Outcome(**run)


def report(package: str, test: str, state: str, seed: str) -> suites.Report:
    """Report whether all tests that pass without the hook pass under it."""
    plain = outcome(package, test, "muted" if state == "random" else state, False, seed)
    under_hook = outcome(package, test, state, True, seed)
    worse, again = set(suites.only_without(plain.tests, under_hook.tests)), set()
    for _ in range(TRIES - 1):
        if worse:
            still = worse & set(suites.only_without(plain.tests, outcome(package, test, state, True, seed).tests))
            worse, again = still, again | (worse - still)
    n_passed, n_without = suites.passed(under_hook.tests), suites.passed(plain.tests)
    text = f"{n_passed} tests pass of {len(under_hook.tests)} ({n_without} without the hook), "
    text += f"{under_hook.sites[0]} logging sites, {under_hook.sites[1]} of assertions, {under_hook.flips} flips"
    wrong = {"only without the hook": worse, "not in the state of the logger": under_hook.disagreeing}
    good = not any(wrong.values()) and n_passed > 0 and (state != "random" or under_hook.flips > 0)
    return good, suites.with_problems(text, {"passed when tried again": again, **wrong})


def reports(packages: list[str], states: list[str], seed: str) -> Iterator[suites.Report]:
    for package in packages:
        for test in tests_of(package):
            for state in states:
                if (package, state) != ("logging", "random"):  # its tests wait for records
                    compare = functools.partial(report, package, test, state, seed)
                    yield suites.compared(f"{test} ({state})", compare)


def main():
    description = "Run the standard library's tests without and under the hook."
    return suites.main(description, "package", TESTS, STATES, run_tests, reports, "without the hook")


if __name__ == "__main__":
    sys.exit(main())
