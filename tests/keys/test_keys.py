"""StaticKey: its state and its users, its name, overrides and batches."""

import asyncio
import contextlib
import contextvars
import copy
import gc
import pickle
import re
import signal
import sys
import threading
import types

import pytest
from places import maker
from site_checks import in_thread

import jumplabel
from jumplabel import StaticKey, StaticKeyError, batch, static_gate


def gated(key):
    return static_gate(key)(lambda value: value)


@pytest.fixture
def keys(request):
    return [StaticKey(f"{request.node.nodeid} {n}") for n in range(3)]


def assert_state(key, gate, count, enabled):
    assert (key.count, key.enabled, bool(key)) == (count, enabled, enabled)
    assert key.entries[0].state is enabled
    assert gate("called") == ("called" if enabled else None)


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


def test_unpickling_a_key_that_is_not_made_yet_says_so():
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


# ---- override ----


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


# ---- batch ----


def test_a_batch_shows_nothing_until_it_ends(key):
    gate = gated(key)
    with batch():
        key.inc()
        key.inc()
        assert_state(key, gate, 0, False)
    assert_state(key, gate, 2, True)


def test_a_batch_is_one_transaction_of_two_syncs(keys):
    gates = [gated(key) for key in keys for _ in range(20)]
    before = jumplabel.info()
    with batch():
        for key in keys:
            key.inc()
            key.enable()
    after = jumplabel.info()
    assert after.batches == before.batches + 1
    assert after.sync_calls == before.sync_calls + 2
    assert after.sites_patched == before.sites_patched + 60
    assert [gate(1) for gate in gates] == [1] * 60


def test_a_batch_that_changes_no_state_patches_nothing(key):
    gate = gated(key)
    before = jumplabel.info()
    with batch():
        key.enable()
        key.disable()
    with batch():
        pass
    assert jumplabel.info() == before
    assert_state(key, gate, 0, False)


def test_steps_of_a_batch_are_taken_in_order(key):
    gate = gated(key)
    with batch():
        key.inc()
        key.inc()
        key.dec()
        key.disable()
        key.enable()
    assert_state(key, gate, 1, True)


def test_an_exception_drops_the_batch(keys):
    with pytest.raises(ZeroDivisionError), batch():
        keys[0].enable()
        raise ZeroDivisionError
    assert [key.count for key in keys] == [0, 0, 0]
    keys[1].enable()
    assert keys[1].enabled


@pytest.mark.parametrize("step", ["dec", "disable"])
def test_an_impossible_step_drops_the_batch_and_is_named(keys, step):
    gates = [gated(key) for key in keys]
    if step == "disable":
        keys[1].inc()
        keys[1].inc()
    before = [key.count for key in keys], jumplabel.info()
    with pytest.raises(StaticKeyError) as caught, batch():
        keys[0].enable()
        getattr(keys[1], step)()
        keys[2].enable()
    assert keys[1].name in str(caught.value) and f"{step}()" in str(caught.value)
    assert ([key.count for key in keys], jumplabel.info()) == before
    assert [gate(1) for gate in gates] == [None, 1 if step == "disable" else None, None]


def test_a_nested_batch_is_applied_with_the_outer_one(keys):
    with batch():
        keys[0].enable()
        with batch():
            keys[1].enable()
        assert not keys[1]
        with pytest.raises(ZeroDivisionError), batch():
            keys[2].enable()
            raise ZeroDivisionError
    assert [key.enabled for key in keys] == [True, True, False]


def test_the_outer_batch_drops_its_nested_ones(keys):
    with pytest.raises(ZeroDivisionError), batch():
        with batch():
            keys[0].enable()
        raise ZeroDivisionError
    assert not keys[0]


def test_a_batch_belongs_to_its_thread(keys):
    ours, theirs, _ = keys
    with batch():
        ours.enable()
        in_thread(theirs.enable)
        assert theirs.enabled and not ours.enabled
    assert ours.enabled


def test_a_batch_belongs_to_its_task(keys):
    async def task(key, entered, others):
        with batch():
            key.enable()
            entered.set()
            await others.wait()
            assert not key
        assert key

    async def main():
        first, second, third = asyncio.Event(), asyncio.Event(), asyncio.Event()
        # The first task's batch is open while the second one's opens and ends.
        tasks = [asyncio.create_task(task(keys[0], first, third)), asyncio.create_task(task(keys[1], second, first))]
        await tasks[1]
        assert keys[1].enabled and not keys[0].enabled
        keys[2].enable()
        assert keys[2].enabled
        third.set()
        await tasks[0]
        assert keys[0].enabled

    asyncio.run(main())


def test_a_task_made_in_a_batch_is_not_in_it(keys):
    ours, theirs, _ = keys

    async def enable(key):
        key.enable()

    async def main():
        with batch():
            ours.enable()
            await asyncio.create_task(enable(theirs))
            assert theirs.enabled and not ours.enabled

    asyncio.run(main())


def test_a_thread_with_a_copy_of_the_context_is_not_in_the_batch(keys):
    ours, theirs, _ = keys
    with batch():
        ours.enable()
        in_thread(contextvars.copy_context().run, theirs.enable)
        assert theirs.enabled and not ours.enabled


def test_no_toggle_is_lost_to_a_batch_that_has_ended(keys):
    ours, theirs, late = keys

    async def enable(key):
        key.enable()

    async def main():
        with batch():
            ours.enable()
            task = asyncio.create_task(enable(theirs))
            asyncio.get_running_loop().call_soon(late.enable)
        await task

    asyncio.run(main())
    assert [key.enabled for key in keys] == [True, True, True]


def test_batches_that_end_out_of_order(keys):
    first, second, _ = keys
    outer, inner = batch(), batch()
    outer.__enter__()
    first.inc()
    inner.__enter__()
    second.inc()
    outer.__exit__(None, None, None)
    assert (first.count, second.count) == (1, 0)
    inner.__exit__(None, None, None)
    assert (first.count, second.count) == (1, 1)


def test_a_batch_while_asyncio_is_being_imported(keys, monkeypatch):
    monkeypatch.setitem(sys.modules, "asyncio.tasks", types.ModuleType("asyncio.tasks"))
    with batch():
        keys[0].enable()
        assert not keys[0].enabled
    assert keys[0].enabled


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
