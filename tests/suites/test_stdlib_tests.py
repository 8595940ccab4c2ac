"""The standard library's own tests of two small modules, with plants in them; stdlib_tests.py runs them for more."""

import importlib.util

import pytest
import stdlib_tests


@pytest.mark.parametrize("module", ["textwrap", "fnmatch"])
def test_own_tests_pass_with_decorated_plants(module):
    if importlib.util.find_spec("test") is None or importlib.util.find_spec(stdlib_tests.TESTS[module][0]) is None:
        pytest.skip("this Python comes without the package 'test', its own tests")
    wrong = [text for good, text in stdlib_tests.reports([module], ["on", "random"], "1") if not good]
    assert not wrong
