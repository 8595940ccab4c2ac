"""Fixtures of the tests of keys."""

import pytest
from lingering_checks import HOUR, there_is_a_thread, wait_for

from jumplabel import StaticKey, Toggle, on_toggle, static_gate
from jumplabel._engine import lib
from jumplabel._keys import lingering


@pytest.fixture
def ours(request):
    """A key that the opener of the batch turns on."""
    return StaticKey(f"ours {request.node.name}")


@pytest.fixture
def others(request):
    """A key that another task turns on while the batch is open."""
    return StaticKey(f"others {request.node.name}")


@pytest.fixture
def keys(request):
    return [StaticKey(f"{request.node.nodeid} {n}") for n in range(3)]


@pytest.fixture
def told():
    """The toggles that a callback was told of, without their times."""
    told = []

    @on_toggle
    def tell(toggle):
        assert type(toggle) is Toggle and toggle.old is (not toggle.new)
        assert type(toggle.nanoseconds) is int and toggle.nanoseconds > 0
        told.append((toggle.key, toggle.new, toggle.sites))

    return told


@pytest.fixture
def gate(deferred):
    return static_gate(deferred, default="off")(lambda: "on")


@pytest.fixture
def deferred(request):
    """A key that lingers for an hour."""
    key = StaticKey(f"{request.node.nodeid} deferred", deferred=HOUR)
    yield key
    key.flush()


@pytest.fixture
def no_thread():
    """Wait until no lingering thread runs, begins or ends: a test may then replace what the thread would set."""
    if there_is_a_thread() or lib.static_keys_wake:
        lingering._wake_safely()
    wait_for(lambda: not lib.static_keys_wake and not there_is_a_thread())
    assert lingering.wake is lingering._start
