"""``key.override()``: a key that is held on or off for a block."""

import contextlib
import signal

import pytest
from key_checks import assert_state, gated
from site_checks import in_thread

from jumplabel import StaticKey, StaticKeyError, batch


@pytest.mark.parametrize("default", [False, True])
@pytest.mark.parametrize("forced", [False, True])
def test_override_holds_the_key_for_a_block(request, default, forced):
    key = StaticKey(request.node.nodeid, default=default)
    gate = gated(key)
    with key.override(forced) as overridden:
        assert overridden is key
        assert_state(key, gate, int(default), forced)
    assert_state(key, gate, int(default), default)


def test_overrides_nest(key):
    gate = gated(key)
    with key.override(True):
        with key.override(False):
            with key.override(True):
                assert_state(key, gate, 0, True)
            assert_state(key, gate, 0, False)
        assert_state(key, gate, 0, True)
    assert_state(key, gate, 0, False)


@pytest.mark.parametrize("first_out", ["older", "newer"])
def test_of_overlapping_overrides_the_newest_decides(key, first_out):
    gate = gated(key)
    older, newer = key.override(True), key.override(False)
    in_thread(older.__enter__)
    in_thread(newer.__enter__)
    assert_state(key, gate, 0, False)
    if first_out == "older":
        in_thread(older.__exit__, None, None, None)
        assert_state(key, gate, 0, False)
        key.enable()
        assert_state(key, gate, 1, False)
        in_thread(newer.__exit__, None, None, None)
        assert_state(key, gate, 1, True)
    else:
        in_thread(newer.__exit__, None, None, None)
        assert_state(key, gate, 0, True)
        in_thread(older.__exit__, None, None, None)
        assert_state(key, gate, 0, False)


def test_toggles_inside_an_override_take_effect_at_its_end(key):
    gate = gated(key)
    with key.override(False):
        key.inc()
        key.inc()
        assert_state(key, gate, 2, False)
    assert_state(key, gate, 2, True)
    with key.override(True):
        key.dec()
        key.disable()
        with pytest.raises(StaticKeyError):
            key.dec()
        assert_state(key, gate, 0, True)
    assert_state(key, gate, 0, False)


def test_override_counts_in_every_thread_and_for_new_sites(key):
    with key.override(True):
        gate = gated(key)
        in_thread(assert_state, key, gate, 0, True)
    in_thread(assert_state, key, gate, 0, False)


def test_override_ends_with_an_exception(key):
    gate = gated(key)
    with pytest.raises(ZeroDivisionError), key.override(True):
        raise ZeroDivisionError
    assert_state(key, gate, 0, False)


@pytest.mark.parametrize("value", [1, 0, None, "on"])
def test_override_takes_bools_only(key, value):
    gate = gated(key)
    with pytest.raises(StaticKeyError, match="True or False"), key.override(value):
        pytest.fail("entered")
    assert_state(key, gate, 0, False)


def test_override_within_a_batch_is_refused(key):
    gate = gated(key)
    with batch():
        with pytest.raises(StaticKeyError, match="put the batch inside it"), key.override(True):
            pytest.fail("entered")
        key.inc()
    assert_state(key, gate, 1, True)
    with key.override(False), batch():
        key.inc()
    assert_state(key, gate, 2, True)


def test_override_survives_signals_that_raise(key):
    """Ctrl-C may strike on any line of it: it leaves no override behind, and the engine no dangling pointer."""
    gate = gated(key)
    interrupts = 0

    class Interrupt(Exception):
        pass

    def interrupt(number, frame):
        nonlocal interrupts
        interrupts += 1
        raise Interrupt

    def override_until_interrupted():
        before = interrupts
        signal.setitimer(signal.ITIMER_REAL, 2e-5 + before % 50 * 1e-6)
        while interrupts == before:
            with key.override(True):
                pass

    held = signal.signal(signal.SIGALRM, interrupt)
    try:
        while interrupts < 500:
            with contextlib.suppress(Interrupt):
                override_until_interrupted()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, held)
    assert_state(key, gate, 0, False)
