"""The standard library's own tests pass for modules with tests of keys in them, all functions decorated.

    python tests/programs/stdlib_tests.py [--modules textwrap difflib] [--state off on random] [--seed 1]

For each module and state: plant neutral tests of keys in it, decorate all its functions, and run CPython's tests of it,
each in a process of its own. ``random``: a thread flips keys while they run. What fails or is not there with the same
plants, undecorated, does not count: some tests look at line numbers, at the source, or at what is in a namespace.

Needs the package ``test`` (Debian: libpython3.x-testsuite; elsewhere in PYTHONPATH's first folder named ``test``).
"""

import contextlib
import functools
import gc
import importlib
import io
import random
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

import suites
import unittests
from planted_modules import Finder, Plants, undecorated

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
    tests: dict[str, str]
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
    return Outcome(outcomes, plants.sites(), flips[0])


def _forget(module):
    """Unload the module and the packages that have its names: the next import loads them anew."""
    top = module.partition(".")[0]
    for name in [name for name in sys.modules if name == top or name.startswith(f"{top}.")]:
        del sys.modules[name]


@contextlib.contextmanager
def _flipping(plants, seed):
    """Have a thread flip keys, and now and then a mark in the middle of a function."""
    n, chance = [0], random.Random(seed)

    def flip():
        with contextlib.suppress(StaticKeyError):  # the other one has just done it
            plants.flip(chance.randrange(len(plants.keys)))
            n[0] += 1

    def flip_and_wait():
        flip()
        time.sleep(chance.random() * 0.002)

    def mark(_):
        if chance.random() < 0.05:
            flip()

    plants.hook = mark
    with suites.repeated(flip_and_wait) as wrong:
        yield n
    plants.hook = None
    assert not wrong, wrong


# ---- all of them ----


def outcome(module: str, state: str, decorate: bool, seed: str) -> Outcome:
    """Return the outcome of run_tests in a new process."""
    run = suites.run_in_a_process(__file__, module, state, decorate, seed, seconds=SECONDS, options=["-W", "ignore"])
    return Outcome(**run)


def report(module: str, state: str, seed: str) -> suites.Report:
    """Report whether each test that does not fail with the plants does not fail with them decorated."""
    plain, decorated = (outcome(module, state, decorate, seed) for decorate in (False, True))
    failing = [list(run.tests.values()).count("failed") for run in (decorated, plain)]
    n_passing = len(decorated.tests) - failing[0]
    worse = sorted(name for name, was in plain.tests.items() if was != "failed" and not _passes(decorated, name))
    text = f"{n_passing} tests pass, {failing[0]} fail ({failing[1]} undecorated), "
    text += f"{decorated.sites} sites, {decorated.flips} flips"
    good = not worse and n_passing > 0 and decorated.sites > 0 and (state != "random" or decorated.flips > 0)
    return good, suites.with_problems(text, {"only undecorated": worse})


def _passes(run, name):
    return run.tests.get(name, "failed") != "failed"


def reports(modules: list[str], states: list[str], seed: str) -> Iterator[suites.Report]:
    for module in modules:
        for state in states:
            yield suites.compared(f"{module} ({state})", functools.partial(report, module, state, seed))


def main():
    description = "Run the standard library's tests on planted, decorated modules."
    return suites.main(description, "module", TESTS, STATES, run_tests, reports, "undecorated")


if __name__ == "__main__":
    sys.exit(main())
