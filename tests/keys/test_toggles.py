"""on_toggle: which toggles are told, deferred keys included, to which callbacks, when, and in which thread."""

import functools
import gc
import threading
import time

import pytest
from lingering_checks import HOUR, pass_time
from probes import Oops
from site_checks import in_thread

import jumplabel
from jumplabel import StaticKey, StaticKeyError, Tracepoint, batch, off_toggle, on_toggle, static_branches, static_gate
from jumplabel._keys import lingering, overrides, toggles


@pytest.fixture(autouse=True)
def none_before_and_none_left():
    assert not toggles.callbacks
    yield
    toggles.callbacks.clear()


def branch(key):
    @static_branches
    def function():
        return "on" if key else "off"

    return function


# ---- toggles that callbacks are told of ----


def test_every_way_to_set_a_key_is_told(key, told):
    gate, function = static_gate(key)(abs), branch(key)
    for change, new in (
        (key.enable, True),
        (key.disable, False),
        (key.inc, True),
        (key.dec, False),
    ):
        change()
        assert told == [(key, new, 2)] and key.enabled is new
        told.clear()
    assert gate(-1) is None and function() == "off"


def test_what_changes_no_state_is_not_told(key, told):
    key.disable()
    key.flush()
    key.inc()
    del told[:]
    key.enable()
    key.inc()
    key.dec()
    key.flush()
    with key.override(True):
        key.dec()
        key.inc()
    with batch():
        key.disable()
        key.enable()
    StaticKey(f"{key.name} new", default=True)
    assert told == [] and key.enabled


def test_what_is_refused_is_not_told(key, other_key, told):
    for change in (key.dec, lambda: key.override(1).__enter__()):
        with pytest.raises(StaticKeyError):
            change()
    with pytest.raises(StaticKeyError), batch():
        other_key.enable()
        key.dec()
    with pytest.raises(Oops), batch():
        key.enable()
        raise Oops
    assert told == [] and not key.enabled and not other_key.enabled


def test_the_error_names_the_key_as_it_does_without_callbacks(key, told):
    with pytest.raises(StaticKeyError, match=f"{key.name!r}.*it has no users"):
        key.dec()


def test_a_batch_is_told_key_by_key_in_the_order_of_its_steps(key, other_key, told, request):
    times = []
    on_toggle(lambda toggle: times.append(toggle.nanoseconds))
    last, still = (StaticKey(f"{request.node.nodeid} {name}", default=True) for name in ("last", "still"))
    gates = [static_gate(each)(abs) for each in (key, key, last)]
    with batch():
        other_key.inc()
        still.inc()
        key.enable()
        other_key.inc()
        last.disable()
        assert told == []
    assert told == [(other_key, True, 0), (key, True, 2), (last, False, 1)] and len(gates) == 3
    assert len(set(times)) == 1


def test_an_inner_batch_is_told_with_the_outer_one(key, told):
    with batch():
        with batch():
            key.enable()
        assert told == []
    assert told == [(key, True, 0)]


def test_an_override_is_told_when_it_begins_and_when_it_ends(key, told):
    static_gate(key)
    with key.override(True):
        assert told == [(key, True, 0)]
        key.inc()
        with key.override(False):
            assert told[1:] == [(key, False, 0)]
        assert told[2:] == [(key, True, 0)]
        key.dec()
        assert len(told) == 3
    assert told[3:] == [(key, False, 0)]
    with pytest.raises(Oops), key.override(True):
        raise Oops
    assert told[4:] == [(key, True, 0), (key, False, 0)]


def test_a_callback_that_comes_within_an_override_is_told_when_it_ends(key):
    told = []
    with key.override(True):
        on_toggle(told.append)
    assert [(toggle.key, toggle.new) for toggle in told] == [(key, False)]


def test_an_override_ends_also_where_there_is_no_memory_to_tell_of_it(key, told, monkeypatch):
    def no_memory(keys):
        raise MemoryError

    (tell,) = toggles.callbacks
    toggles.callbacks.clear()
    with pytest.raises(MemoryError), key.override(True):
        on_toggle(tell)
        monkeypatch.setattr(overrides, "new_report", no_memory)
    assert not key.enabled


def test_a_key_without_sites_is_told(key, told):
    key.enable()
    assert told == [(key, True, 0)]


def test_a_tracepoints_key_is_told(point, probes, told):
    point.register(probes[0])
    assert told == [(point.enabled, True, 1)]
    point.register(probes[1])
    point.unregister(probes[0])
    assert len(told) == 1
    point.unregister(probes[1])
    assert told[1:] == [(point.enabled, False, 1)]


def test_a_probe_is_told_at_once_within_a_batch(point, probes, told):
    with batch():
        point.register(probes[0])
        assert told == [(point.enabled, True, 1)]


def test_a_tracepoint_that_goes_with_its_probes_is_told(request, told):
    point = Tracepoint(request.node.nodeid)
    point.register(print)
    key = point.enabled
    del told[:], point
    gc.collect()
    assert told == [(key, False, 1)] and not key.enabled


def test_a_static_call_has_no_key_to_tell_of(told):
    call = jumplabel.StaticCall(abs)
    call.update(None)
    assert told == []


# ---- deferred keys ----


def test_a_deferred_key_is_told_when_its_time_is_over(deferred, told):
    gate = static_gate(deferred, default="off")(lambda: "on")
    deferred.inc()
    assert told == [(deferred, True, 1)]
    deferred.dec()
    assert len(told) == 1
    pass_time(HOUR)
    assert told[1:] == [(deferred, False, 1)] and gate() == "off"


@pytest.mark.parametrize("change", [StaticKey.flush, StaticKey.disable])
def test_a_deferred_key_that_goes_off_before_its_time_is_told(deferred, told, change):
    deferred.inc()
    deferred.dec()
    del told[:]
    change(deferred)
    assert told == [(deferred, False, 0)]
    pass_time(HOUR)
    assert len(told) == 1


def test_the_librarys_thread_tells_of_the_keys_that_it_switches_off(request):
    key = StaticKey(request.node.nodeid, deferred=0.01)
    told, done = [], threading.Event()

    @on_toggle
    def tell(toggle):
        told.append((toggle.key, toggle.new, threading.get_ident()))
        if not toggle.new:
            done.set()

    key.inc()
    key.dec()
    assert done.wait(30)
    (_, first, ours), (_, second, its) = told
    assert (first, second, ours) == (True, False, threading.get_ident()) and its != ours


def test_what_raises_in_the_librarys_thread_does_not_keep_it_from_its_work(request, reported):
    done = threading.Event()
    keys = [StaticKey(f"{request.node.nodeid} {i}", deferred=0.01 * (i + 1)) for i in range(2)]

    @on_toggle
    def raises(toggle):
        if toggle == (keys[1], True, False, 0, toggle.nanoseconds):
            done.set()
        if not toggle.new:
            raise Oops

    for key in keys:
        key.inc()
        key.dec()
    assert done.wait(30)
    while len(reported) < 2:
        time.sleep(0.001)
    assert [(function, type(error)) for function, error in reported] == [(raises, Oops)] * 2


def test_more_keys_are_due_than_were_counted(request, told, monkeypatch):
    """They were made, and dropped, after the count: there is no room for them, so they stay due and come next."""
    all_of_them = [StaticKey(f"{request.node.nodeid} {i}", deferred=HOUR) for i in range(20)]
    for key in all_of_them:
        key.inc()
        key.dec()
    del told[:]
    few = [all_of_them[3]]
    with monkeypatch.context() as patched:
        patched.setattr(lingering, "living", lambda: few)
        due = pass_time(2 * HOUR)
        assert 0 < due < time.monotonic_ns() + 2 * HOUR * 10**9
        assert sum(not key.enabled for key in all_of_them) == 2  # as there is room for one more
        with pytest.raises(Oops):
            lingering.without_a_thread(Oops())
    assert not any(all_of_them) and told == [(few[0], False, 0)]


# ---- how it is told ----


def test_callbacks_are_called_in_order_when_the_toggle_has_taken_effect(key):
    gate = static_gate(key, default="off")(lambda: "on")
    seen = []
    for n in range(3):
        on_toggle(lambda toggle, n=n: seen.append((n, key.enabled, gate(), threading.get_ident())))
    key.enable()
    in_thread(key.disable)
    here = threading.get_ident()
    assert [each[:3] for each in seen] == [
        (n, state, gate) for state, gate in ((True, "on"), (False, "off")) for n in range(3)
    ]
    assert {each[3] == here for each in seen[:3]} == {True} and {each[3] == here for each in seen[3:]} == {False}


def test_it_is_a_decorator_and_takes_methods_and_partial_objects(key):
    class Log(list):
        def line(self, *args):
            self.append(args)

    log = Log()
    partial = functools.partial(log.line, "partial")

    @on_toggle
    def function(toggle):
        log.line("function", toggle)

    assert on_toggle(log.line) == log.line and on_toggle(partial) is partial
    key.enable()
    toggle = log[0][1]
    assert log == [("function", toggle), (toggle,), ("partial", toggle)] and toggle.key is key
    for each in (log.line, partial, function):
        off_toggle(each)
    key.disable()
    assert len(log) == 3


def test_what_is_told_is_what_the_engine_did_and_not_what_is_now(key, other_key):
    """The first callback turns the key back before the second one is called, as another thread might."""
    seen = []

    @on_toggle
    def back(toggle):
        if toggle.new:
            key.disable()
            other_key.inc()

    on_toggle(lambda toggle: seen.append((toggle.key, toggle.old, toggle.new)))
    key.enable()
    assert seen == [(key, True, False), (other_key, False, True), (key, False, True)] and not key.enabled


def test_no_lock_of_ours_is_held(key, request, deferred):
    """With a lock held, another thread would wait for it, and the callback for that thread."""

    def everything():
        name = f"{request.node.nodeid} inner"
        inner = StaticKey(name)
        gate = static_gate(inner)(abs)
        with batch():
            inner.inc()
        inner.dec()
        assert gate(-1) is None and inner in jumplabel.keys() and jumplabel.key(name) is inner
        jumplabel.info(), jumplabel.jump_table()
        deferred.inc()
        deferred.dec()
        deferred.flush()

    done = []

    @on_toggle
    def other_thread(toggle):
        if toggle.key is key:
            thread = threading.Thread(target=everything, daemon=True)
            thread.start()
            thread.join(30)
            done.append(not thread.is_alive())

    key.enable()
    with key.override(False):
        pass
    with batch():
        key.disable()
    assert done == [True] * 4


def test_a_callback_that_toggles_within_a_batch_of_its_thread_adds_to_it(key, point, probes):
    on_toggle(lambda toggle: toggle.key is point.enabled and key.enable())
    with batch():
        point.register(probes[0])
        assert not key.enabled
    assert key.enabled
