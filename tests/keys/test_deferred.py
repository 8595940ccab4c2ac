"""Deferred keys: they linger when their last user has gone, and the thread that switches them off.

Where a test is not about the thread, keys linger for an hour, and the hour passes by hand.
"""

import functools
import gc
import math
import pickle
import sys
import threading
import time
from decimal import Decimal

import pytest
from interrupting import interrupted
from site_checks import in_thread

import jumplabel
from jumplabel import StaticKey, StaticKeyError, batch, static_branches, static_gate
from jumplabel._engine import lib
from jumplabel._keys import lingering

HOUR = 3600


@pytest.fixture
def deferred(request):
    key = StaticKey(f"{request.node.nodeid} deferred", deferred=HOUR)
    yield key
    key.flush()


@pytest.fixture
def gate(deferred):
    return static_gate(deferred, default="off")(lambda: "on")


def branch(key):
    @static_branches
    def function():
        return "on" if key else "off"

    return function


def lingers(key):
    return key._key.until != 0


def patches():
    return jumplabel.info().batches


def pass_time(seconds):
    """As the thread would find it then."""
    return lingering._expire(time.monotonic_ns() + seconds * 10**9)


def there_is_a_thread():
    """How many there are."""
    return sum(frame.f_code is lingering._run.__code__ for frame in frames())


def frames():
    for frame in sys._current_frames().values():
        while frame:
            yield frame
            frame = frame.f_back


def wait_for(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.fixture
def no_thread():
    """Nor one about to begin or to end: what it puts in place may be replaced, and put back."""
    if there_is_a_thread() or lib.static_keys_wake:
        lingering._wake_safely()
    wait_for(lambda: not lib.static_keys_wake and not there_is_a_thread())
    assert lingering.wake is lingering._start


# ---- what a key does ----


def test_the_last_dec_leaves_the_sites_on_until_nobody_has_used_the_key_for_that_long(deferred, gate):
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
def test_who_takes_it_again_finds_it_on_and_nothing_is_patched(deferred, gate, take):
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


# ---- the thread ----


def test_the_thread_runs_while_a_key_lingers(request, deferred):
    key = StaticKey(request.node.nodeid, deferred=0.01)
    gate = static_gate(key, default="off")(lambda: "on")
    key.inc()
    key.dec()
    wait_for(lambda: gate() == "off")
    assert (key.count, key.enabled) == (0, False)
    wait_for(lambda: not there_is_a_thread())
    deferred.inc()
    deferred.dec()
    wait_for(there_is_a_thread)


@pytest.mark.parametrize("end", [StaticKey.flush, StaticKey.disable])
def test_the_thread_ends_with_the_last_key_that_lingers(deferred, end):
    deferred.inc()
    deferred.dec()
    wait_for(there_is_a_thread)
    end(deferred)
    wait_for(lambda: not there_is_a_thread())


def test_a_key_that_is_due_sooner_wakes_the_thread(request, deferred):
    keys = [StaticKey(f"{request.node.nodeid} {seconds}", deferred=seconds) for seconds in (HOUR / 2, 0.01)]
    deferred.inc()
    deferred.dec()
    wait_for(lambda: there_is_a_thread() and not lib.static_keys_wake)
    with batch():
        for key in keys:
            key.inc()
    with batch():
        for key in keys:
            key.dec()
    wait_for(lambda: not keys[1].enabled)
    assert deferred.enabled and keys[0].enabled
    keys[0].flush()


def test_a_key_that_is_used_often_does_not_wake_the_thread(deferred):
    deferred.inc()
    deferred.dec()
    wait_for(lambda: there_is_a_thread() and not lib.static_keys_wake)
    for _ in range(10):
        deferred.inc()
        assert not lib.static_keys_wake
        deferred.dec()
        assert not lib.static_keys_wake


def test_a_key_that_is_used_between_the_threads_look_at_the_clock_and_its_patch(deferred, gate):
    """The engine decides, by what it finds under its mutex."""
    deferred.inc()
    deferred.dec()
    was_due = deferred._key.until
    deferred.inc()
    lingering._expire(was_due)
    assert gate() == "on" and not lingers(deferred)
    time.sleep(0.001)
    deferred.dec()
    assert lingering._expire(was_due) == deferred._key.until > was_due
    assert gate() == "on" and lingers(deferred)


@pytest.mark.usefixtures("no_thread")
@pytest.mark.parametrize("window", ["look", "release"])
def test_a_key_that_begins_to_linger_when_the_thread_has_found_none(request, monkeypatch, window):
    """It wakes the thread that is about to end; or it starts one, which finds the first one still there, and ends."""
    key = StaticKey(request.node.nodeid, deferred=0.01)
    used, acquired = [], []

    def use_once():
        if not used:
            used.append(key)
            in_thread(lambda: (key.inc(), key.dec()))

    def look(real=lingering._look):
        due = real()
        if not due and window == "look":
            use_once()
        return due

    class Lock:
        def __init__(self, lock):
            self.lock = lock

        def acquire(self, blocking):
            acquired.append(self.lock.acquire(blocking))
            return acquired[-1]

        def release(self):
            if window == "release" and not used:
                use_once()
                wait_for(lambda: False in acquired)
            self.lock.release()

    monkeypatch.setattr(lingering, "_look", look)
    monkeypatch.setattr(lingering, "_only_one", Lock(lingering._only_one))
    key.inc()
    key.dec()
    wait_for(lambda: used and not key.enabled)
    wait_for(lambda: not there_is_a_thread())


@pytest.mark.usefixtures("no_thread")
def test_an_alarm_that_has_gone_off_already_is_enough(deferred):
    deferred.inc()
    deferred.dec()
    wait_for(lambda: lingering.wake is not lingering._start)
    for _ in range(2000):  # faster than the thread can look each time
        lingering._wake_safely()
    assert lingers(deferred)
    deferred.flush()


def test_there_is_one_thread(deferred):
    ended = []

    def run():
        lib.own_thread_joins()
        lingering._run(0)
        ended.append(1)

    deferred.inc()
    deferred.dec()
    wait_for(lambda: there_is_a_thread() and not lib.static_keys_wake)
    for _ in range(5):
        in_thread(run)
    assert len(ended) == 5 and there_is_a_thread() == 1


@pytest.mark.usefixtures("no_thread")
def test_keys_go_off_where_there_can_be_no_thread(deferred, gate, monkeypatch):
    cannot = functools.partial(threading.Lock().release)
    monkeypatch.setattr(lingering, "_start", cannot)
    monkeypatch.setattr(lingering, "wake", cannot)
    deferred.inc()
    deferred.dec()
    assert (deferred.count, deferred.enabled, gate()) == (0, False, "off")
    deferred.inc()
    with batch():
        deferred.dec()
    assert (deferred.count, deferred.enabled, gate()) == (0, False, "off")


@pytest.mark.usefixtures("no_thread")
@pytest.mark.parametrize("kind", [RuntimeError, PermissionError, KeyboardInterrupt])
def test_what_a_signal_handler_or_audit_hook_raises_there_goes_on(deferred, monkeypatch, kind):
    def raises():
        raise kind("of somebody else")

    monkeypatch.setattr(lingering, "wake", raises)
    deferred.inc()
    with pytest.raises(kind, match="of somebody else"):
        deferred.dec()
    assert deferred.count == 0 and deferred.enabled is (kind is KeyboardInterrupt)


@pytest.mark.parametrize("in_batch", [False, True])
def test_a_dec_that_is_interrupted_is_not_forgotten(request, in_batch):
    key = StaticKey(request.node.nodeid, deferred=1e-4)

    def dec():
        if in_batch:
            with batch():
                key.dec()
        else:
            key.dec()

    struck, n, done = True, 0, 0
    while struck:
        wait_for(lambda: not there_is_a_thread())
        key.enable()
        struck = interrupted(n, dec)
        if not key.count:
            done += 1
            wait_for(lambda: not key.enabled)
        n += 1
    assert n > 5 and done > 1


def test_a_toggle_in_a_signal_handler_that_interrupts_a_toggle(request, deferred):
    key = StaticKey(request.node.nodeid, deferred=1e-4)

    def handler():
        key.inc()
        key.dec()
        deferred.inc()
        deferred.flush()
        deferred.dec()

    def act():
        for toggle in (deferred.inc, deferred.dec, deferred.flush, key.inc, key.dec):
            toggle()

    struck, n = True, 0
    while struck:
        struck = interrupted(n, act, handler)
        assert (deferred.count, key.count) == (0, 0)
        wait_for(lambda: not key.enabled)
        n += 1
    assert n > 20


def test_counts_are_right_and_keys_go_off_after_many_threads(request, stress_seconds):
    key = StaticKey(request.node.nodeid, deferred=1e-5)
    gate = static_gate(key, default="off")(lambda: "on")
    end = time.monotonic() + min(stress_seconds, 2) / 4

    def work():
        while time.monotonic() < end:
            key.inc()
            assert gate() == "on"
            key.dec()
            key.flush()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert key.count == 0
    wait_for(lambda: gate() == "off" and not key.enabled)
    wait_for(lambda: not there_is_a_thread())
