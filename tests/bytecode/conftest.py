"""Fixtures of the tests of bytecode."""

import gc

import pytest
from name_checks import moment

from jumplabel._program import name_watch


@pytest.fixture
def before():
    gc.collect()
    moment()
    return name_watch.followers()
