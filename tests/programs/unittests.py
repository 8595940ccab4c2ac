"""Runs tests that unittest finds by their names, and tells what became of each."""

import unittest
from collections.abc import Iterable


def run(names: Iterable[str]) -> dict[str, str]:
    """Return ``passed``, ``failed`` or ``skipped`` for each test of these modules, classes or tests."""
    return run_and_tell(names)[0]


def run_and_tell(names: Iterable[str]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return what run() does, and the text of each test's failures, with tracebacks."""
    result = _Result()
    for name in names:
        unittest.defaultTestLoader.loadTestsFromName(name).run(result)
    texts: dict[str, list[str]] = {}
    for test, text in result.failures + result.errors:
        texts.setdefault(_name(test), []).append(text)
    return _outcomes(result), texts


def _outcomes(result):
    outcomes = dict.fromkeys(result.names, "passed")
    outcomes |= {_name(test): "skipped" for test, _ in result.skipped}
    outcomes |= {_name(test): "failed" for test, _ in result.failures + result.errors}
    return outcomes | {_name(test): "failed" for test in result.unexpectedSuccesses}


def _name(test):
    return test.id() if hasattr(test, "id") else str(test)


class _Result(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.names = []

    def startTest(self, test):
        super().startTest(test)
        self.names.append(_name(test))

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, None if error is None else test, error)
