"""The test suites of packages from PyPI that log in their hot paths pass under the import hook as they do without.

    python tests/programs/package_tests.py [--packages hpack] [--state own off on random] [--seed 1]

For each package and state: its own tests, by pytest, in a process of its own, without the hook and with it over the
whole package. The outcome of every test must be the same, and so must all that it logs: file, line, function, level and
text. ``own``: levels are what the tests make them; ``off``: all logging is disabled; ``on``: the root logger's level is
1, and assertions are on; ``random``: a thread turns loggers and assertions while they run. There, tests that fail
without the hook when all logging is disabled do not count, as they look at what is logged.

Suites with threads, sockets and timers differ from run to run by themselves. So both runs are made again where a test
differs, and a test counts as different that differs in each of three pairs of runs.

The sources come from PyPI by pip, with the hashes below. EXPLAINED has the tests that must differ, and why.
"""

import contextlib
import functools
import logging
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import hooked
import pytest
import suites

import jumplabel


class Package(NamedTuple):
    version: str
    hash: str
    module: str
    source: str
    """The folder that it is imported from."""
    tests: list[str]
    needs: tuple[str, ...] = ()
    """What its tests import, besides pytest and Hypothesis."""
    levels: tuple[tuple[str, str], ...] = ()
    """The levels of loggers that the package's own test runner sets."""
    arguments_vary: bool = False
    """Whether it logs ports, times or names of temporary files, other ones in each run."""


CELERYS = (
    *("amqp==5.4.2", "vine==5.1.0", "packaging==26.4", "tzdata==2026.6", "msgpack==1.2.4", "PyYAML==6.0.3"),
    *("freezegun==1.5.5", "python-dateutil==4.0.0", "six==1.17.0"),
)

PACKAGES = {
    "hpack": Package(
        "4.2.0", "0895cfa3b5531fc65fe439c05eb65144f123bf7a394fcaa56aa423548d8e45c0", "hpack", "src", ["tests"]
    ),
    "charset-normalizer": Package(
        "3.5.2",
        "39de2a259fc954455c57274dc94c79d5842774e1247a016aff30bc0efed0f4ef",
        "charset_normalizer",
        "src",
        ["tests"],
    ),
    "markdown-it-py": Package(
        "4.3.0",
        "91a58fa5b72c71a40cf7177250fd767480d7a2bb3ac426ccfb76fb90305fdaaa",
        "markdown_it",
        ".",
        ["tests", "--ignore=tests/test_packaging"],  # which builds a package, by way of the network
        (
            *("mdurl==0.1.2", "linkify-it-py==2.2.0", "uc-micro-py==2.0.0"),
            *("pytest-regressions==2.11.0", "pytest-datadir==1.9.0", "PyYAML==6.0.3"),
        ),
    ),
    "oauthlib": Package(
        "4.0.1",
        "3d73febdb6faa00f277c81fb04be7b7586fb96fc3b7f0b9c772dada69a25ede7",
        "oauthlib",
        ".",
        ["tests"],
        ("PyJWT==2.15.1", "blinker==1.9.0", "cryptography==50.0.2"),
        arguments_vary=True,  # tokens and nonces are random
    ),
    "kombu": Package(
        "5.7.0",
        "31e62fdfd2381caa3422f8e02b84a491d9a2180ddda74507b57f4cb1e1c2c2c9",
        "kombu",
        ".",
        [  # all but those of services that need a client of their own
            *("t/unit", "-W", "ignore", "--ignore=t/unit/asynchronous/aws", "--ignore=t/unit/transport/SQS"),
            *(f"--ignore=t/unit/transport/test_{name}.py" for name in ("azurestoragequeues", "gcpubsub")),
        ],
        (*CELERYS, "Pyro4==4.82", "serpent==1.43", "pytest-freezer==0.4.9"),
        arguments_vary=True,
    ),
    "tornado": Package(
        "6.6.1",
        "28e6311402af59c8b02e3fa0f5e7d8eb465b25081381803b127d97e6a4395d5a",
        "tornado",
        ".",
        ["tornado/test"],
        levels=(("tornado.access", "CRITICAL"),),
        arguments_vary=True,
    ),
    "celery": Package(
        "5.7.0",
        "6a5dfcf6662287204f009a02002b9e66c83d4105e47ebabdc7079108772fc6f0",
        "celery",
        ".",
        [
            *(f"t/unit/{name}" for name in ("app", "events", "fixups", "security", "tasks", "utils", "worker")),
            *("-W", "ignore", "-p", "celery.contrib.pytest", "--ignore=t/unit/app/test_backends.py"),
        ],
        (
            *(*CELERYS, "kombu==5.7.0", "billiard==4.3.2", "click==8.5.1", "click-didyoumean==0.3.1"),
            *("click-repl==0.4.1", "click-plugins==1.1.1.2", "prompt_toolkit==3.0.53", "wcwidth==0.9.4"),
            *("tzlocal==5.4.5", "cryptography==50.0.2", "pytest-subtests==0.15.0", "pytest-click==1.1.0"),
            *("pytest-order==1.5.0", "pytest-timeout==2.4.0", "pytest-rerunfailures==16.7"),
            *("pydantic==2.14.4", "pydantic-core==2.50.5", "annotated-types==0.8.0", "typing-inspection==0.4.5"),
            "typing-extensions==4.16.0",
        ),
        arguments_vary=True,
    ),
    "sqlalchemy": Package(
        "2.1.9",
        "d700a8b2edfb26282a470333d6bc4a454c4acda4d201a3bea7b72fa76c217d28",
        "sqlalchemy",
        "lib",
        ["test/base", "test/engine"],
        ("typing_extensions==4.16.0", "greenlet==3.5.6"),
        arguments_vary=True,
    ),
    "urllib3": Package(
        "2.8.0",
        "63bf2ead4c879426ebf22ef2a781eeb4aa3b4ae798a0435506f8687fd5bb9b63",
        "urllib3",
        "src",
        ["test", "--ignore=test/with_dummyserver/test_proxy_poolmanager.py"],  # which wants a server of its own making
        (
            *("anyio==4.16.0", "trio==0.35.0", "h2==4.4.1", "hpack==4.2.0", "hyperframe==6.1.0"),
            *("httpx==0.28.1", "httpcore==1.0.9", "certifi==2026.10.19.post1", "h11==0.16.0", "idna==3.20"),
            *("sniffio==1.3.1", "hypercorn==0.18.0", "priority==2.0.0", "wsproto==1.3.2", "pysocks==1.7.1"),
            *("pytest-socket==0.8.1", "pytest-timeout==2.4.0", "quart==0.22.0", "quart-trio==0.12.0"),
            *("trustme==1.2.1", "cryptography==50.0.2", "outcome==1.3.0.post0", "attrs==26.1.0"),
            *("sortedcontainers==2.4.0", "blinker==1.9.0", "flask==3.1.3", "click==8.5.1"),
            *("itsdangerous==2.2.0", "jinja2==3.1.6", "markupsafe==3.0.4", "werkzeug==3.1.9"),
            "aiofiles==25.1.0",
        ),
        arguments_vary=True,
    ),
}
_OFF = "It expects an assertion of the package to fail, and assertions start off here."
EXPLAINED: dict[str, dict[str, str]] = {
    "sqlalchemy": {
        "test/base/test_result.py::ResultTupleTest::test_processors": _OFF,
        "test/base/test_utils.py::ParenthesisBalancingTest::test_start_not_open_paren": _OFF,
    }
}
"""Of a package: the tests that differ, and why they must."""

STATES = ["own", "off", "on", "random"]
SECONDS = 900
TRIES = 3


class Outcome(NamedTuple):
    tests: dict[str, str]
    """passed, failed or skipped"""
    digests: dict[str, str]
    """Of what each test logged."""
    records: int
    asked: int
    sites: tuple[int, int]
    """Of logging statements, and of assertions."""
    flips: int
    disagreeing: list[str]


# ---- in a process of its own, in the package's folder ----


def run_tests(name: str, state: str, hook: bool, seed: str) -> Outcome:
    """Run the package's tests here."""
    sys.path.remove(str(Path(__file__).parent))  # where the packages' tests would find ours
    package = PACKAGES[name]
    patterns = [package.module, f"{package.module}.*"]
    if hook:
        jumplabel.install(*patterns, asserts="off")
    assert not hooked.loaded(patterns)
    options = ["-q", "-p", "no:cacheprovider", "--rootdir=.", *package.tests]
    if state == "on":
        options += ["-o", "log_level=1"]
    if state == "off":
        logging.disable(sys.maxsize)
    for logger, level in package.levels:
        logging.getLogger(logger).setLevel(level)
    asked = None if hook else hooked.Asked()
    plugin = _Plugin(hooked.Records(package.source, package.arguments_vary), state)
    flipping = hooked.flipping(package.module, seed) if state == "random" else contextlib.nullcontext(([0], []))
    with flipping as (flips, wrong):
        pytest.main(options, plugins=[plugin])
    log_sites = hooked.sites()
    wrong += hooked.disagreeing()
    records = plugin.records
    return Outcome(plugin.tests, records.digests, records.n, asked.n if asked else 0, log_sites, flips[0], wrong)


class _Plugin:
    def __init__(self, records, state):
        self.records, self.state, self.tests = records, state, {}

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self):
        """Have Hypothesis make the same examples in every run, however slow the machine is."""
        from hypothesis import HealthCheck, settings  # which pytest has now prepared

        every = list(HealthCheck)
        settings.register_profile("same", derandomize=True, database=None, deadline=None, suppress_health_check=every)
        settings.load_profile("same")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self):
        """Enable the assertions: all modules are loaded, all keys are there."""
        if self.state == "on":
            hooked.enable_asserts()
        self.records.belong_to("collecting")

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or report.outcome != "passed":
            self.tests[report.nodeid] = report.outcome

    def pytest_runtest_logfinish(self, nodeid):
        self.records.belong_to(nodeid)


# ---- all of them ----


def fetched(name: str, folder: Path) -> Path:
    """Return the package's unpacked source, fetched once a folder. ``<name>-needs`` has what its tests need."""
    package = PACKAGES[name]
    source = folder / f"{name.replace('-', '_')}-{package.version}"
    if source.exists():
        return source
    requirements = folder / f"{name}.txt"
    requirements.write_text(f"{name}=={package.version} --hash=sha256:{package.hash}\n")
    _pip("download", "--no-deps", "--no-binary=:all:", "--require-hashes", "-r", requirements, "-d", folder)
    if package.needs:
        _pip("install", "--no-deps", "--target", _needs(name, source), *package.needs)
    with tarfile.open(f"{source}.tar.gz") as tar:
        tar.extraction_filter = getattr(
            tarfile, "data_filter", None
        )  # not in all that are supported; the hash is known
        tar.extractall(folder)
    return source


def _needs(name, source):
    return source.parent / f"{name}-needs"


def _pip(*command):
    subprocess.run([sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", *command], check=True)


def outcome(name: str, source: Path, state: str, hook: bool, seed: str) -> Outcome:
    """Return the outcome of run_tests in a new process."""
    places = [str(source / PACKAGES[name].source), str(_needs(name, source)), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places)), "PYTHONHASHSEED": "0"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # all but the first run under the hook have the code that it kept
    run = suites.run_in_a_process(
        __file__, name, state, hook, seed, seconds=SECONDS, folder=source, environment=environment
    )
    return Outcome(**run)


def report(name: str, source: Path, state: str, seed: str) -> suites.Report:
    """Report whether all tests do under the hook what they do without."""
    wrong = dict[str, set[str]]()
    for n in range(TRIES):
        plain = outcome(name, source, "off" if state == "random" else state, False, seed)
        under_hook = outcome(name, source, state, True, seed)
        found = _differences(name, state, plain, under_hook)
        wrong = {what: tests & wrong[what] if n else tests for what, tests in found.items()}
        if not any(wrong.values()):
            break
    return _summary(state, plain, under_hook, wrong)


def reports_of(name: str, source: Path, states: list[str], seed: str) -> Iterator[suites.Report]:
    for state in states:
        compare = functools.partial(report, name, source, state, seed)
        yield suites.compared(f"{name} {PACKAGES[name].version} ({state})", compare)


def _differences(name: str, state: str, plain: Outcome, under_hook: Outcome) -> dict[str, set[str]]:
    """Return the tests that differ, by kind of difference, without those that are explained."""
    other = _not_as(plain, under_hook)
    if state == "random":
        other = set(suites.only_without(plain.tests, under_hook.tests))
    found = {"other outcome": other, "not in the state of the logger": set(under_hook.disagreeing)}
    if state != "random":
        found["logs something else"] = set(suites.different(plain.digests, under_hook.digests))
    return {what: tests - EXPLAINED.get(name, {}).keys() for what, tests in found.items()}


def _summary(state: str, plain: Outcome, under_hook: Outcome, wrong: dict[str, set[str]]) -> suites.Report:
    n_passed, n_same = suites.passed(under_hook.tests), len(plain.tests) - len(_not_as(plain, under_hook))
    text = f"{n_passed} of {len(under_hook.tests)} tests pass, {n_same} as without the hook; "
    text += f"{under_hook.sites[0]} logging sites, {under_hook.sites[1]} of assertions, {under_hook.records} records"
    text += f", {under_hook.flips} flips" if state == "random" else f", {plain.asked} questions without the hook"
    good = not any(wrong.values()) and n_passed > 0 and under_hook.sites[0] > 0
    good = good and (state != "random" or under_hook.flips > 0)
    good = (
        good and (state != "on" or under_hook.records > 0) and (state != "off" or under_hook.records <= plain.records)
    )
    return good, suites.with_problems(text, wrong)


def _not_as(plain: Outcome, under_hook: Outcome) -> set[str]:
    """Return the tests that have another outcome under the hook, or none."""
    return set(suites.different(plain.tests, under_hook.tests)) & plain.tests.keys()


def reports(names: list[str], states: list[str], seed: str) -> Iterator[suites.Report]:
    with tempfile.TemporaryDirectory(prefix="jumplabel-packages-") as folder:
        for name in names:
            yield from reports_of(name, fetched(name, Path(folder)), states, seed)


def main():
    description = "Run the tests of packages from PyPI without and under the hook."
    return suites.main(description, "package", PACKAGES, STATES, run_tests, reports, "without the hook")


if __name__ == "__main__":
    sys.exit(main())
