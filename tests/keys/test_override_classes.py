"""``key.override()`` as a decorator of classes."""

import asyncio
import functools
import types
import unittest

import pytest

from jumplabel import DecorationError


@pytest.fixture
def states(key):
    """The states of the key at each look."""
    seen = []
    return types.SimpleNamespace(look=lambda: seen.append(key.enabled), seen=seen)


def test_a_class_of_tests(key, states):
    class Base(unittest.TestCase):
        def test_inherited(self):
            states.look()

    @key.override(True)
    class Tests(Base):
        def setUp(self):
            assert not key

        def test_it(self):
            states.look()

        def testThat(self):
            states.look()

        def helper(self):
            states.look()

    class AsyncTests(unittest.IsolatedAsyncioTestCase):
        async def test_it(self):
            await asyncio.sleep(0)
            states.look()

    AsyncTests = key.override(True)(AsyncTests)
    for case in Tests, AsyncTests:
        result = unittest.TestResult()
        unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
        assert result.wasSuccessful(), result.errors + result.failures
    assert isinstance(Tests, type) and states.seen == [True] * 4 and not key
    Tests("helper").helper()
    Base("test_inherited").test_inherited()
    assert states.seen[4:] == [False, False]


@pytest.mark.parametrize(
    "what, message",
    [
        (type("Shop", (), {"sell": lambda self: 1, "testing": 1}), "is a class without tests"),
        (property(lambda self: 1), "decorate the function inside it"),
        (7, "not 7"),
        (None, "not None"),
    ],
)
def test_what_it_cannot_hold_the_key_for_is_refused(key, what, message):
    with pytest.raises(DecorationError, match=message):
        key.override(True)(what)
    assert not key


def test_a_plain_function_around_a_coroutine_function_is_refused(key):
    async def run():
        pass

    @functools.wraps(run)
    def around():
        return run()

    with pytest.raises(DecorationError, match="a plain function around a coroutine function"):
        key.override(True)(around)
