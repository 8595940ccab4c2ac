"""The tests of a package that logs all the while, under the hook; package_tests.py runs those of more of them."""

import os
import subprocess

import package_tests
import pytest


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    try:
        return package_tests.fetch("hpack", tmp_path_factory.mktemp("packages"))
    except subprocess.CalledProcessError:
        if os.environ.get("CI"):
            raise
        pytest.skip("pip cannot fetch the source of hpack here")


def test_its_own_tests_pass_and_log_the_same(source):
    assert not [text for good, text in package_tests.reports("hpack", source, ["on"], "1") if not good]


def test_its_own_tests_pass_while_loggers_are_turned(source):
    assert not [text for good, text in package_tests.reports("hpack", source, ["random"], "1") if not good]
