"""Fixtures of the tests of keys that follow loggers."""

import logging

import pytest
from logger_checks import answers, keys_of, states

from jumplabel._loggers.log_keys import bind


@pytest.fixture
def as_before():
    """Restore the root's level and handlers, and what is disabled."""
    root = logging.root
    level, handlers, disabled = root.level, root.handlers[:], logging.root.manager.disable
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    logging.disable(disabled)


@pytest.fixture
def keys(shop):
    keys = keys_of(shop, "logger")
    bind(keys)
    yield keys
    keys.clear()


@pytest.fixture
def right(keys, logger):
    """Check that the keys are as the logger says, or all in the expected state."""

    def check(expected=None):
        assert states(keys) == (answers(logger) if expected is None else [expected] * len(keys))

    return check
