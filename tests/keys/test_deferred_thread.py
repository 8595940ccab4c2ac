"""The thread that switches lingering keys off."""

import functools
import threading
import time

import pytest
from interrupting import interrupted
from lingering_checks import HOUR, lingers, there_is_a_thread, wait_for
from site_checks import in_thread

from jumplabel import StaticKey, batch, static_gate
from jumplabel._engine import lib
from jumplabel._keys import lingering


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
        raise kind("of another library")

    monkeypatch.setattr(lingering, "wake", raises)
    deferred.inc()
    with pytest.raises(kind, match="of another library"):
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


@pytest.mark.stress
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
