"""The test suites of packages from PyPI that log in their hot paths pass under the import hook as they do without.

    python tests/package_tests.py [--packages hpack] [--state own off on random] [--seed 1]

For each package and state: its own tests, by pytest, in a process of its own, without the hook and with it over the
whole package. The outcome of every test must be the same, and so must all that it logs: file, line, function, level and
text. ``own``: levels are what the tests make them; ``off``: all logging is disabled; ``on``: the root logger's level is
1, and assertions are on; ``random``: a thread turns loggers and assertions while they run. There, tests that fail
without the hook when all logging is disabled do not count, as they look at what is logged.

The sources come from PyPI by pip, with the hashes below.
"""

import argparse
import contextlib
import json
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
}
STATES = ["own", "off", "on", "random"]
SECONDS = 300


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
    log: str


# ---- in a process of its own, in the package's folder ----


def run_tests(package: Package, state: str, hook: bool, seed: str) -> Outcome:
    """Run the package's tests here."""
    patterns = [package.module, f"{package.module}.*"]
    if hook:
        jumplabel.install(*patterns, asserts="off")
    assert not hooked.loaded(patterns)
    options = ["-q", "-p", "no:cacheprovider", "--rootdir=.", *package.tests]
    if state == "on":
        options += ["-o", "log_level=1"]
    if state == "off":
        logging.disable(sys.maxsize)
    asked = None if hook else hooked.Asked()
    plugin = _Plugin(hooked.Records(package.source), state)
    flipping = hooked.flipping(package.module, seed) if state == "random" else contextlib.nullcontext(([0], []))
    with flipping as (flips, wrong):
        pytest.main(options, plugins=[plugin])
    log_sites = hooked.sites()
    wrong += hooked.disagreeing()
    records = plugin.records
    return Outcome(plugin.tests, records.digests, records.n, asked.n if asked else 0, log_sites, flips[0], wrong, "")


class _Plugin:
    def __init__(self, records, state):
        self.records, self.state, self.tests = records, state, {}

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self):
        """The same examples in every run, however slow the machine is."""
        from hypothesis import HealthCheck, settings  # which pytest has now prepared

        every = list(HealthCheck)
        settings.register_profile("same", derandomize=True, database=None, deadline=None, suppress_health_check=every)
        settings.load_profile("same")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self):
        """All modules are loaded, all keys are there."""
        if self.state == "on":
            hooked.enable_asserts()
        self.records.belong_to("collecting")

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or report.outcome != "passed":
            self.tests[report.nodeid] = report.outcome

    def pytest_runtest_logfinish(self, nodeid):
        self.records.belong_to(nodeid)


# ---- all of them ----


def fetch(name: str, folder: Path) -> Path:
    """The package's unpacked source, with what its tests need beside it in ``needs``."""
    package = PACKAGES[name]
    requirements = folder / f"{name}.txt"
    requirements.write_text(f"{name}=={package.version} --hash=sha256:{package.hash}\n")
    _pip("download", "--no-deps", "--no-binary=:all:", "--require-hashes", "-r", requirements, "-d", folder)
    archive = folder / f"{name.replace('-', '_')}-{package.version}.tar.gz"
    with tarfile.open(archive) as tar:
        tar.extraction_filter = getattr(
            tarfile, "data_filter", None
        )  # not in all that are supported; the hash is known
        tar.extractall(folder)
    source = archive.with_suffix("").with_suffix("")
    (folder / "needs").mkdir(exist_ok=True)
    if package.needs:
        _pip("install", "--no-deps", "--target", folder / "needs", *package.needs)
    return source


def _pip(*command):
    subprocess.run([sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", *command], check=True)


def outcome(name: str, source: Path, state: str, hook: bool, seed: str) -> Outcome | str:
    """What run_tests says in a new process; or what went wrong."""
    package, result = PACKAGES[name], source / "outcome.json"
    result.unlink(missing_ok=True)
    places = [str(source / package.source), str(source.parent / "needs"), os.environ.get("PYTHONPATH", "")]
    child = [sys.executable, __file__, "--child", name, state, str(int(hook)), seed, str(result)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places)), "PYTHONHASHSEED": "0"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # all but the first run under the hook have the code that it kept
    try:
        done = subprocess.run(
            child,
            cwd=source,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"took more than {SECONDS} s"
    if done.returncode or not result.exists():
        return f"exit status {done.returncode}: {done.stdout[-4000:]}"
    return Outcome(**json.loads(result.read_text()))._replace(log=done.stdout)


def reports(name: str, source: Path, states: list[str], seed: str) -> Iterator[tuple[bool, str]]:
    """For each state: whether all tests do under the hook what they do without, and a line on it."""
    muted = outcome(name, source, "off", False, seed) if "random" in states else ""
    for state in states:
        plain = muted if state in ("off", "random") and muted else outcome(name, source, state, False, seed)
        under_hook = outcome(name, source, state, True, seed)
        if isinstance(plain, str) or isinstance(under_hook, str):
            yield False, f"{name} ({state}): {plain if isinstance(plain, str) else under_hook}"
            continue
        yield _compared(f"{name} {PACKAGES[name].version} ({state})", state, plain, under_hook)


def _compared(title: str, state: str, plain: Outcome, under_hook: Outcome) -> tuple[bool, str]:
    same = [test for test, result in plain.tests.items() if under_hook.tests.get(test) == result]
    other = [test for test in plain.tests if test not in same and (state != "random" or plain.tests[test] == "passed")]
    wrong = {"other outcome": other, "not in the state of the logger": under_hook.disagreeing}
    if state != "random":
        digests = plain.digests, under_hook.digests
        wrong["logs something else"] = [test for test in plain.tests if len({d.get(test) for d in digests}) > 1]
        wrong["other number of records"] = [[plain.records, under_hook.records]] * (plain.records != under_hook.records)
    n_passed = list(under_hook.tests.values()).count("passed")
    text = f"{title}: {n_passed} of {len(under_hook.tests)} tests pass, {len(same)} as without the hook; "
    text += f"{under_hook.sites[0]} logging sites, {under_hook.sites[1]} of assertions, {under_hook.records} records"
    text += f", {under_hook.flips} flips" if state == "random" else f", {plain.asked} questions without the hook"
    good = not any(wrong.values()) and n_passed > 0 and under_hook.sites[0] > 0
    good = good and (state != "random" or under_hook.flips > 0)
    good = good and (state != "on" or under_hook.records > 0) and (state != "off" or not under_hook.records)
    return good, text + "".join(f"; {what}: {tests}" for what, tests in wrong.items() if tests)


def main():
    parser = argparse.ArgumentParser(description="Run the tests of packages from PyPI without and under the hook.")
    parser.add_argument("--packages", nargs="*", default=list(PACKAGES), choices=PACKAGES)
    parser.add_argument("--state", nargs="*", default=STATES, choices=STATES)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, state, hook, seed, result = options.child
        sys.path.remove(str(Path(__file__).parent))  # where the packages' tests would find ours
        Path(result).write_text(json.dumps(run_tests(PACKAGES[name], state, bool(int(hook)), seed)._asdict()))
        return False
    n_wrong = n = 0
    with tempfile.TemporaryDirectory(prefix="jumplabel-packages-") as folder:
        for name in options.packages:
            source = fetch(name, Path(folder))
            for good, text in reports(name, source, options.state, options.seed):
                n, n_wrong = n + 1, n_wrong + (not good)
                print("ok " if good else "BAD", text, flush=True)
    print(f"{n - n_wrong} of {n} runs are as they are without the hook")
    return bool(n_wrong)


if __name__ == "__main__":
    sys.exit(main())
