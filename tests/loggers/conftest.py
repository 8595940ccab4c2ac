"""Fixtures of the tests of loggers."""

import pytest
from logger_checks import answers, keys_of, states

from jumplabel._loggers.log_keys import bind


@pytest.fixture
def keys(shop):
    keys = keys_of(shop, "logger")
    bind(keys)
    yield keys
    keys.clear()


@pytest.fixture
def right(keys, logger):
    """Check that the keys are as the logger says, or as expected."""

    def check(expected=None):
        assert states(keys) == (answers(logger) if expected is None else [expected] * len(keys))

    return check
