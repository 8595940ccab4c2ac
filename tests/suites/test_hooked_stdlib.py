"""The standard library's own tests of a few modules, under the import hook; hooked_stdlib.py runs them for many."""

import hooked_stdlib
import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "package, test, state",
    [
        ("asyncio", "test.test_asyncio.test_base_events", "asserts"),  # with loggers that are mocks
        ("asyncio", "test.test_asyncio.test_base_events", "random"),
        ("asyncio", "test.test_asyncio.test_selector_events", "optimized"),
        ("http", "test.test_http_cookiejar", "asserts"),
        ("urllib", "test.test_urllib2", "on"),
    ],
)
def test_own_tests_pass_under_the_hook(package, test, state):
    if test not in hooked_stdlib.tests_of(package):
        pytest.skip("this Python comes without the package 'test', its own tests")
    good, text = hooked_stdlib.report(package, test, state, "1")
    assert good, text
