"""StaticKey: its state, its users and its name; keys from anywhere."""

import copy
import gc
import pickle
import re
import signal
import sys
import threading

import pytest
from key_checks import assert_state, gated
from places import maker

import jumplabel
from jumplabel import StaticKey, StaticKeyError, batch

# ---- state and users ----


def test_a_key_starts_off_or_as_default_says(request):
    off, on = StaticKey(request.node.name), StaticKey(request.node.name + " on", default=True)
    assert_state(off, gated(off), 0, False)
    assert_state(on, gated(on), 1, True)


def test_enable_and_disable_set(key):
    gate = gated(key)
    for _ in range(2):
        key.enable()
        assert_state(key, gate, 1, True)
    for _ in range(2):
        key.disable()
        assert_state(key, gate, 0, False)


def test_inc_and_dec_count(key):
    gate = gated(key)
    for count in (1, 2, 3):
        key.inc()
        assert_state(key, gate, count, True)
    for count in (2, 1, 0):
        key.dec()
        assert_state(key, gate, count, count > 0)


def test_enable_is_one_user_and_none_more(key):
    key.inc()
    key.inc()
    key.enable()
    assert key.count == 2
    key.dec()
    key.disable()
    key.enable()
    assert key.count == 1


def test_disable_refuses_to_turn_it_off_under_others(key):
    gate = gated(key)
    key.inc()
    key.inc()
    with pytest.raises(StaticKeyError, match=r"other users; let each of them call dec\(\)") as caught:
        key.disable()
    assert key.name in str(caught.value)
    assert_state(key, gate, 2, True)


def test_dec_refuses_to_go_below_zero(key):
    gate = gated(key)
    with pytest.raises(StaticKeyError, match=r"without an inc\(\) or enable\(\) before it") as caught:
        key.dec()
    assert key.name in str(caught.value)
    assert_state(key, gate, 0, False)
    key.inc()
    assert_state(key, gate, 1, True)


def test_repr_tells_name_state_users_and_sites(request):
    key = StaticKey("shop.tracing")
    assert repr(key) == "<StaticKey 'shop.tracing' off, 0 users, 0 sites>"
    key.inc()
    gates = [gated(key)]
    assert repr(key) == "<StaticKey 'shop.tracing' on, 1 user, 1 site>"
    key.inc()
    gates.append(gated(key))
    assert repr(key) == "<StaticKey 'shop.tracing' on, 2 users, 2 sites>"


@pytest.mark.parametrize("attribute", ["name", "enabled", "count", "entries", "anything"])
def test_attributes_cannot_be_set(key, attribute):
    with pytest.raises(AttributeError):
        setattr(key, attribute, 1)


@pytest.mark.parametrize("default", [1, None, "on"])
def test_default_is_a_bool(request, default):
    with pytest.raises(StaticKeyError, match="default is True or False"):
        StaticKey(request.node.nodeid, default=default)


# ---- names ----


@pytest.mark.parametrize("name", ["", None, 7, b"bytes", "a\0b", "lone surrogate \udc80"])
def test_a_bad_name_is_refused(name):
    before = jumplabel.keys(), jumplabel.info().keys
    with pytest.raises(StaticKeyError):
        StaticKey(name)
    assert (jumplabel.keys(), jumplabel.info().keys) == before


def test_any_other_text_is_a_name():
    name = "Ключ 钥匙 🗝 / {}\n%s"
    key = StaticKey(name)
    gate = gated(key)
    assert jumplabel.key(name) is key and [entry.key for entry in key.entries] == [name]
    del gate


def test_a_second_key_of_a_name_is_refused(key):
    key.inc()
    gc.collect()  # what other tests have left
    engine_keys = jumplabel.info().keys
    with pytest.raises(StaticKeyError, match=re.escape(f"get it with jumplabel.key({key.name!r})")):
        StaticKey(key.name)
    assert jumplabel.key(key.name) is key and key.count == 1
    assert jumplabel.info().keys == engine_keys


def test_a_name_is_free_again_after_its_key():
    first = StaticKey("short-lived", default=True)
    del first
    second = StaticKey("short-lived")
    assert second.count == 0 and jumplabel.key("short-lived") is second


def test_a_site_keeps_its_key():
    gate = gated(StaticKey("kept by its site"))
    key = jumplabel.key("kept by its site")
    assert gate.__static_key__ is key
    del key
    with pytest.raises(StaticKeyError):
        StaticKey("kept by its site")
    jumplabel.key("kept by its site").enable()
    assert gate("called") == "called"
    del gate
    with pytest.raises(StaticKeyError):
        jumplabel.key("kept by its site")


def test_of_many_threads_one_gets_the_name():
    made, refused = [], []
    start = threading.Barrier(8)

    def make(place):
        start.wait()
        try:
            made.append(place("wanted by many"))
        except StaticKeyError:
            refused.append(None)

    threads = [threading.Thread(target=make, args=(maker("StaticKey", f"shop{n}"),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(refused)) == (1, 7)
    assert jumplabel.key("wanted by many") is made[0]


def test_the_registry(keys):
    assert [jumplabel.key(key.name) for key in keys] == keys
    listed = jumplabel.keys()
    assert [key for key in listed if key in keys] == keys
    assert [key.name for key in listed] == sorted(key.name for key in listed)
    dead = keys.pop().name
    del listed
    assert dead not in [key.name for key in jumplabel.keys()]
    with pytest.raises(StaticKeyError, match=r"jumplabel\.keys\(\) lists"):
        jumplabel.key(dead)


def test_a_dead_key_leaves_the_engine():
    before = jumplabel.info().keys
    key = StaticKey("leaves the engine")
    gate = gated(key)
    assert jumplabel.info().keys == before + 1
    del key, gate
    assert jumplabel.info().keys == before


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_gives_the_key_of_that_name(key, protocol):
    assert pickle.loads(pickle.dumps(key, protocol)) is key


def test_unpickling_a_key_that_was_not_made_says_so():
    key = StaticKey("pickled and gone")
    data = pickle.dumps(key)
    del key
    with pytest.raises(StaticKeyError, match="pickled and gone"):
        pickle.loads(data)


def test_copies_are_the_key_itself(key):
    assert copy.copy(key) is key
    assert copy.deepcopy({"key": key}) == {"key": key}


def test_a_key_is_made_once(key):
    gate = gated(key)
    with pytest.raises(StaticKeyError, match="is a key already"):
        key.__init__("another name")
    key.enable()
    assert_state(key, gate, 1, True)


# ---- from anywhere ----


def test_counts_are_right_after_toggles_from_many_threads(key):
    gate = gated(key)
    start = threading.Barrier(6)

    def work():
        start.wait()
        for _ in range(500):
            key.inc()
            gate(1)
            key.dec()
        key.inc()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_state(key, gate, 6, True)
    for count in range(5, -1, -1):
        key.dec()
        assert_state(key, gate, count, count > 0)


def test_a_toggle_is_seen_by_other_threads_once_it_has_returned(key):
    gate = gated(key)
    turns, wrong = 300, []
    toggled, checked = threading.Semaphore(0), threading.Semaphore(0)
    stop = threading.Event()

    def call_without_pause():
        while not stop.is_set():
            gate(1)

    def check():
        for turn in range(turns):
            toggled.acquire()
            if gate(1) != (None if turn % 2 else 1):
                wrong.append(turn)
            checked.release()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    threads = [threading.Thread(target=check), threading.Thread(target=call_without_pause)]
    for thread in threads:
        thread.start()
    for turn in range(turns):
        key.dec() if turn % 2 else key.inc()
        toggled.release()
        checked.acquire()
    stop.set()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)
    assert wrong == []


def test_toggling_in_a_signal_handler_in_the_middle_of_toggles(keys):
    key, other, _ = keys
    gate = gated(key)
    fired = 0

    def handler(number, frame):
        nonlocal fired
        fired += 1
        key.inc()

    held = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        while fired < 100:
            key.inc()
            other.inc()
            key.dec()
            with batch():
                other.dec()
            assert gate(1) in (None, 1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, held)
    assert_state(key, gate, fired, True)
    assert other.count == 0


def test_toggling_in_a_finalizer_in_the_middle_of_toggles(keys):
    key, other, _ = keys
    gate = gated(key)
    died = 0

    class Garbage:
        def __init__(self):
            self.me = self

        def __del__(self):
            nonlocal died
            died += 1
            key.inc()

    threshold = gc.get_threshold()
    gc.set_threshold(3)
    try:
        for _ in range(500):
            Garbage()
            other.inc()
            jumplabel.jump_table()
            with batch():
                other.dec()
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert died == 500
    assert_state(key, gate, 500, True)
