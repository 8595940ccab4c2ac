"""Deferred keys linger when their last user has gone.

They linger for an hour here, and the hour passes by hand. test_deferred_thread.py is about the thread that switches
them off.
"""

import gc
import math
import pickle
import time
from decimal import Decimal

import pytest
from lingering_checks import HOUR, lingers, pass_time, patches

import jumplabel
from jumplabel import StaticKey, StaticKeyError, batch, static_branches
from jumplabel._keys import lingering


def branch(key):
    @static_branches
    def function():
        return "on" if key else "off"

    return function


# ---- what a key does ----


def test_the_last_dec_leaves_the_sites_on_until_the_key_has_had_no_user_for_that_long(deferred, gate):
    function = branch(deferred)
    deferred.inc()
    deferred.inc()
    deferred.dec()
    assert not lingers(deferred)
    before = patches()
    deferred.dec()
    assert (deferred.count, deferred.enabled, bool(deferred), lingers(deferred)) == (0, True, True, True)
    assert (gate(), function()) == ("on", "on") and patches() == before
    pass_time(HOUR - 60)
    assert (deferred.enabled, gate(), function()) == (True, "on", "on")
    pass_time(HOUR)
    assert (deferred.count, deferred.enabled, lingers(deferred)) == (0, False, False)
    assert (gate(), function()) == ("off", "off")
    assert {entry.state for entry in deferred.entries} == {False}


@pytest.mark.parametrize("take", [StaticKey.inc, StaticKey.enable])
def test_a_key_that_is_taken_again_is_on_and_nothing_is_patched(deferred, gate, take):
    deferred.inc()
    before = patches()
    for _ in range(100):
        deferred.dec()
        take(deferred)
        assert (deferred.count, deferred.enabled, lingers(deferred)) == (1, True, False)
        pass_time(10 * HOUR)
        assert gate() == "on"
    assert patches() == before


def test_the_time_begins_anew_with_each_last_dec(deferred):
    deferred.inc()
    deferred.dec()
    first = deferred._key.until
    time.sleep(0.001)
    deferred.inc()
    deferred.dec()
    assert first < deferred._key.until <= time.monotonic_ns() + HOUR * 10**9


def test_disable_takes_effect_at_once(deferred, gate):
    for lingered in (False, True):
        deferred.enable()
        if lingered:
            deferred.dec()
        deferred.disable()
        assert (deferred.count, deferred.enabled, lingers(deferred), gate()) == (0, False, False, "off")


def test_what_a_key_that_lingers_refuses(deferred, gate):
    deferred.inc()
    deferred.dec()
    until = deferred._key.until
    with pytest.raises(StaticKeyError, match=r"without an inc\(\)"):
        deferred.dec()
    assert (deferred.count, gate(), deferred._key.until) == (0, "on", until)
    deferred.inc()
    deferred.inc()
    with pytest.raises(StaticKeyError, match="other users"):
        deferred.disable()
    assert (deferred.count, gate()) == (2, "on")
    deferred.dec()
    deferred.dec()


def test_flush_turns_off_what_lingers_and_nothing_else(deferred, gate, key):
    deferred.flush()
    assert gate() == "off"
    deferred.inc()
    deferred.flush()
    assert (deferred.count, gate()) == (1, "on")
    deferred.dec()
    deferred.flush()
    assert (deferred.count, deferred.enabled, lingers(deferred), gate()) == (0, False, False, "off")
    key.inc()
    key.flush()
    assert (key.count, key.enabled) == (1, True)
    key.dec()
    key.flush()
    assert (key.count, key.enabled) == (0, False)


def test_a_key_that_starts_on_lingers_too(request):
    key = StaticKey(request.node.nodeid, default=True, deferred=HOUR)
    key.dec()
    assert key.enabled and lingers(key)
    key.flush()
    assert not key.enabled


def test_an_override_decides_over_a_key_that_lingers(deferred, gate):
    deferred.inc()
    with deferred.override(False):
        deferred.dec()
        assert (deferred.enabled, gate()) == (False, "off") and lingers(deferred)
    assert (deferred.enabled, gate()) == (True, "on") and lingers(deferred)
    with deferred.override(True):
        pass_time(HOUR)
        assert (deferred.enabled, gate()) == (True, "on") and not lingers(deferred)
    assert (deferred.enabled, gate()) == (False, "off")


def test_in_a_batch(deferred, gate, key):
    deferred.inc()
    with batch():
        deferred.dec()
        key.enable()
        assert deferred.count == 1
    assert (deferred.count, gate(), key.enabled) == (0, "on", True) and lingers(deferred)
    before = patches()
    with batch():
        deferred.inc()
        deferred.dec()
        deferred.inc()
    assert (deferred.count, gate(), patches()) == (1, "on", before) and not lingers(deferred)
    with batch():
        deferred.dec()
        deferred.flush()
    assert (deferred.count, gate()) == (0, "off") and not lingers(deferred)


def test_a_batch_that_takes_and_drops_a_key_that_is_off_leaves_it_off(deferred, gate):
    before = patches()
    with batch():
        deferred.inc()
        deferred.dec()
    assert (deferred.count, gate(), patches()) == (0, "off", before) and not lingers(deferred)


def test_a_batch_that_fails_leaves_it_to_linger_as_it_did(deferred, gate, key):
    deferred.inc()
    deferred.dec()
    until = deferred._key.until
    for step in (deferred.flush, deferred.inc, deferred.disable):
        with pytest.raises(StaticKeyError), batch():
            step()
            key.dec()
        with deferred.override(True):
            pass
        assert (deferred.count, gate(), deferred._key.until) == (0, "on", until)


@pytest.mark.parametrize("value", [-1, -0.001, math.inf, math.nan, 10**400, True, "1", None, Decimal(1)])
def test_a_bad_time_is_refused(request, value):
    before = jumplabel.keys(), jumplabel.info().keys
    with pytest.raises(StaticKeyError, match=r"a finite number such as 0\.5"):
        StaticKey(request.node.nodeid, deferred=value)
    assert (jumplabel.keys(), jumplabel.info().keys) == before


@pytest.mark.usefixtures("no_thread")
@pytest.mark.parametrize("value", [1e-300, 1, 0.5, 1e300])
def test_any_other_time_is_kept(request, value, monkeypatch):
    monkeypatch.setattr(lingering, "wake", int)
    key = StaticKey(request.node.nodeid, deferred=value)
    assert key.deferred == value and type(key.deferred) is float
    key.inc()
    key.dec()
    assert key.enabled and lingers(key)
    key.flush()
    assert not key.enabled


def test_a_key_is_not_deferred_unless_told(key):
    assert key.deferred == 0.0 and type(key.deferred) is float
    with pytest.raises(AttributeError):
        key.deferred = 1
    key.inc()
    key.dec()
    assert not key.enabled and not lingers(key)


def test_repr_says_that_it_lingers():
    key = StaticKey("tests.deferred", deferred=HOUR)
    key.inc()
    assert repr(key) == "<StaticKey 'tests.deferred' on, 1 user, 0 sites>"
    key.dec()
    assert repr(key) == "<StaticKey 'tests.deferred' on, lingers, 0 users, 0 sites>"
    with key.override(False):
        assert repr(key) == "<StaticKey 'tests.deferred' off, lingers, 0 users, 0 sites>"
    key.flush()
    assert repr(key) == "<StaticKey 'tests.deferred' off, 0 users, 0 sites>"


def test_subclassing_and_pickling(request):
    class Key(StaticKey):
        pass

    key = Key(request.node.nodeid, False, HOUR)
    assert key.deferred == HOUR and pickle.loads(pickle.dumps(key)) is key


def test_a_key_that_dies_does_not_linger(request):
    gc.collect()  # what other tests have left
    before = jumplabel.info().keys
    key = StaticKey(request.node.nodeid, deferred=HOUR)
    key.inc()
    key.dec()
    assert pass_time(0) > 0
    del key
    assert jumplabel.info().keys == before and pass_time(0) == 0
