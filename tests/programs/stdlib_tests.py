"""The standard library's own tests pass for modules with tests of keys in them, all functions decorated.

    python tests/programs/stdlib_tests.py [--modules textwrap difflib] [--state off on random] [--seed 1]

For each module and state: plant neutral tests of keys in it, decorate all its functions, and run CPython's tests of it,
each in a process of its own. ``random``: a thread flips keys while they run. What fails or is not there with the same
plants, undecorated, does not count: some tests look at line numbers, at the source, or at what is in a namespace.

Needs the package ``test`` (Debian: libpython3.x-testsuite; elsewhere in PYTHONPATH's first folder named ``test``).
"""

import argparse
import contextlib
import gc
import importlib
import io
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

import unittests
from planting import Finder, Plants, undecorated

from jumplabel import StaticKeyError, static_branches

TESTS = {
    "_pydecimal": ["test.test_decimal"],
    "argparse": ["test.test_argparse"],
    "ast": ["test.test_unparse"],
    "base64": ["test.test_base64"],
    "bisect": ["test.test_bisect"],
    "calendar": ["test.test_calendar"],
    "colorsys": ["test.test_colorsys"],
    "configparser": ["test.test_configparser"],
    "copy": ["test.test_copy"],
    "csv": ["test.test_csv"],
    "dataclasses": ["test.test_dataclasses"],
    "difflib": ["test.test_difflib"],
    "email._header_value_parser": ["test.test_email.test__header_value_parser"],
    "email.feedparser": ["test.test_email.test_email", "test.test_email.test_parser"],
    "email.message": ["test.test_email.test_message"],
    "fnmatch": ["test.test_fnmatch"],
    "fractions": ["test.test_fractions"],
    "getopt": ["test.test_getopt"],
    "graphlib": ["test.test_graphlib"],
    "heapq": ["test.test_heapq"],
    "html.parser": ["test.test_htmlparser", "test.test_html"],
    "http.cookies": ["test.test_http_cookies"],
    "ipaddress": ["test.test_ipaddress"],
    "json.decoder": ["test.test_json"],
    "json.encoder": ["test.test_json"],
    "json.scanner": ["test.test_json"],
    "optparse": ["test.test_optparse"],
    "pickle": ["test.test_pickle"],
    "plistlib": ["test.test_plistlib"],
    "pprint": ["test.test_pprint"],
    "quopri": ["test.test_quopri"],
    "random": ["test.test_random"],
    "re._compiler": ["test.test_re"],
    "re._parser": ["test.test_re"],
    "reprlib": ["test.test_reprlib"],
    "shlex": ["test.test_shlex"],
    "statistics": ["test.test_statistics"],
    "string": ["test.test_string"],
    "textwrap": ["test.test_textwrap"],
    "tokenize": ["test.test_tokenize"],
    "tomllib._parser": ["test.test_tomllib"],
    "urllib.parse": ["test.test_urlparse"],
    "weakref": ["test.test_weakref"],
    "xml.etree.ElementTree": ["test.test_xml_etree"],
}
STATES = ["off", "on", "random"]
SECONDS = 600


class Outcome(NamedTuple):
    passed: list[str]
    failed: list[str]
    sites: int
    flips: int


# ---- in a process of its own ----


def run_tests(module: str, state: str, decorate: bool, seed: str) -> Outcome:
    """Run the module's tests here, with plants in it."""
    plants = Plants("planted")
    finder = Finder([module], plants, static_branches if decorate else undecorated, seed)
    sys.meta_path.insert(0, finder)
    _forget(module)
    importlib.import_module(module)
    plants.set_all(state == "on")
    with _flipping(plants, seed) if state == "random" else contextlib.nullcontext([0]) as flips:
        with contextlib.redirect_stdout(io.StringIO()):
            outcomes = unittests.run(TESTS[module])
    gc.collect()
    failed = {test for test, outcome in outcomes.items() if outcome == "failed"}
    return Outcome(sorted(set(outcomes) - failed), sorted(failed), plants.sites(), flips[0])


def _forget(module):
    """Whoever imports it, or a package that has its names, from now on gets it anew."""
    top = module.partition(".")[0]
    for name in [name for name in sys.modules if name == top or name.startswith(f"{top}.")]:
        del sys.modules[name]


@contextlib.contextmanager
def _flipping(plants, seed):
    """A thread does, and now and then a mark in the middle of a function."""
    stop, n, chance = threading.Event(), [0], random.Random(seed)

    def flip():
        with contextlib.suppress(StaticKeyError):  # the other one has just done it
            plants.flip(chance.randrange(len(plants.keys)))
            n[0] += 1

    def flips():
        while not stop.is_set():
            flip()
            time.sleep(chance.random() * 0.002)

    def mark(_):
        if chance.random() < 0.05:
            flip()

    plants.hook = mark
    thread = threading.Thread(target=flips, daemon=True)
    thread.start()
    yield n
    plants.hook = None
    stop.set()
    thread.join()


# ---- all of them ----


def outcome(module: str, state: str, decorate: bool, seed: str) -> Outcome | str:
    """What run_tests says in a new process; or what went wrong."""
    child = [sys.executable, "-W", "ignore", __file__, "--child", module, state, str(int(decorate)), seed]
    try:
        done = subprocess.run(child, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"took more than {SECONDS} s"
    if done.returncode or not done.stdout.startswith("{"):
        return f"exit status {done.returncode}: {done.stderr[-2000:]}"
    return Outcome(**json.loads(done.stdout))


def reports(module: str, states: list[str], seed: str) -> Iterator[tuple[bool, str]]:
    """For each state: whether all tests that pass with the plants also pass with them decorated, and a line on it."""
    for state in states:
        plain = outcome(module, state, False, seed)
        decorated = plain if isinstance(plain, str) else outcome(module, state, True, seed)
        if isinstance(plain, str) or isinstance(decorated, str):
            yield False, f"{module} ({state}): {decorated}"
            continue
        worse = sorted(set(plain.passed) - set(decorated.passed))
        text = f"{module} ({state}): {len(decorated.passed)} tests pass, {len(decorated.failed)} fail "
        text += f"({len(plain.failed)} undecorated), {decorated.sites} sites, {decorated.flips} flips"
        good = not worse and bool(plain.passed) and decorated.sites > 0
        yield good, text + (f"; only decorated: {worse}" if worse else "")


def main():
    parser = argparse.ArgumentParser(description="Run the standard library's tests on planted, decorated modules.")
    parser.add_argument("--modules", nargs="*", default=list(TESTS))
    parser.add_argument("--state", nargs="*", default=STATES, choices=STATES)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        module, state, decorate, seed = options.child
        json.dump(run_tests(module, state, bool(int(decorate)), seed)._asdict(), sys.__stdout__)
        return False
    n_wrong = n = 0
    for module in options.modules:
        for good, text in reports(module, options.state, options.seed):
            n, n_wrong = n + 1, n_wrong + (not good)
            print("ok " if good else "BAD", text, flush=True)
    print(f"{n - n_wrong} of {n} runs are as they are undecorated")
    return bool(n_wrong)


if __name__ == "__main__":
    sys.exit(main())
