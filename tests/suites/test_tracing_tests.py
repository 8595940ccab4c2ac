"""CPython's own tests of tracing, with sites in their functions; tracing_tests.py runs them in both states."""

import pytest
import tracing_tests

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("test", tracing_tests.TESTS)
def test_its_functions_are_traced_as_with_bools(test):
    if not tracing_tests.is_there(test):
        pytest.skip("this Python comes without the package 'test', its own tests, or without this one")
    assert not [text for good, text in tracing_tests.reports([test], ["off"], "1") if not good]
