"""Fixtures of the tests of bytecode."""

import gc

import pytest
from name_checks import moment

from jumplabel._bytecode import replaced_code
from jumplabel._program import name_watch


@pytest.fixture
def before():
    gc.collect()
    moment()
    return name_watch.followers()


@pytest.fixture
def no_function_stays_replaced():
    yield
    gc.collect()
    assert not replaced_code._replaced
