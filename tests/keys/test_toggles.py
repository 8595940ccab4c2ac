"""on_toggle: what is told, to whom, when, in which thread; what callbacks may do, and what is refused."""

import functools
import gc
import os
import sys
import threading
import time
import weakref

import pytest
from interrupting import Interrupt, interrupted
from probes import Oops
from processes import run
from site_checks import fork_quietly, in_thread, nothing_made

import jumplabel
from jumplabel import (
    CallbackError,
    StaticKey,
    StaticKeyError,
    Toggle,
    Tracepoint,
    batch,
    off_toggle,
    on_toggle,
    static_branches,
    static_gate,
)
from jumplabel._engine import lib
from jumplabel._keys import lingering, overrides, toggles, transactions

HOUR = 3600
keys_module = sys.modules[StaticKey.__module__]  # jumplabel.keys is the function


@pytest.fixture(autouse=True)
def none_before_and_none_left():
    assert not toggles.callbacks
    yield
    toggles.callbacks.clear()


@pytest.fixture
def told():
    """What a callback of ours is given, without the time."""
    told = []

    @on_toggle
    def tell(toggle):
        assert type(toggle) is Toggle and toggle.old is (not toggle.new)
        assert type(toggle.nanoseconds) is int and toggle.nanoseconds > 0
        told.append((toggle.key, toggle.new, toggle.sites))

    return told


@pytest.fixture
def deferred(request):
    key = StaticKey(f"{request.node.nodeid} deferred", deferred=HOUR)
    yield key
    key.flush()


def pass_time(seconds):
    return lingering._expire(time.monotonic_ns() + seconds * 10**9)


def branch(key):
    @static_branches
    def function():
        return "on" if key else "off"

    return function


# ---- what is told ----


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


def test_who_comes_within_an_override_is_told_when_it_ends(key):
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
    """Else another thread would wait for it, and we for that thread."""

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


# ---- what callbacks raise ----


def raiser(error):
    def raiser(toggle):
        raise error

    return on_toggle(raiser)


def test_an_exception_is_reported_and_hurts_nobody(key, reported):
    seen = []
    on_toggle(lambda toggle: seen.append(1))
    raises = raiser(Oops("here"))
    on_toggle(lambda toggle: seen.append(2))
    try:
        raise ZeroDivisionError
    except ZeroDivisionError as error:
        key.enable()
        assert sys.exc_info()[1] is error
    assert seen == [1, 2] and key.enabled
    assert [(function, type(error), str(error)) for function, error in reported] == [(raises, Oops, "here")]
    assert reported[0][1].__traceback__.tb_next.tb_frame.f_code is raises.__code__


def test_a_hook_that_raises_hurts_nobody(key, told, monkeypatch, capsys):
    def hook(unraisable):
        raise ValueError("the hook's own")

    monkeypatch.setattr(sys, "unraisablehook", hook)
    raiser(Oops)
    key.enable()
    assert told == [(key, True, 0)] and "the hook's own" in capsys.readouterr().err


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, Interrupt])
def test_what_is_no_exception_passes_on_at_once_and_the_toggle_has_taken_place(key, other_key, reported, error):
    seen = []
    on_toggle(lambda toggle: seen.append(toggle.key))
    raises = raiser(error)
    on_toggle(lambda toggle: seen.append("not reached"))
    with pytest.raises(error):
        key.enable()
    with pytest.raises(error), batch():
        other_key.enable()
        key.disable()
    assert seen == [key, other_key] and reported == [] and (key.enabled, other_key.enabled) == (False, True)
    with pytest.raises(error), key.override(True):
        raise AssertionError("the block is not entered")
    assert not key.enabled
    off_toggle(raises)
    key.enable()
    assert seen[-2:] == [key, "not reached"]


@pytest.mark.parametrize("n", [1, 3])
def test_callbacks_that_toggle_without_end_are_told_off_once(key, reported, n):
    """By the outermost one; where each told it, and went on, three callbacks would take for ever."""
    functions = []
    for _ in range(n):
        functions.append(on_toggle(lambda toggle: key.disable() if key else key.enable()))
    key.enable()
    assert [(function, type(error)) for function, error in reported] == [(each, RecursionError) for each in functions]
    toggles.callbacks.clear()
    del reported[:]
    raiser(RecursionError())  # and what is said of the outermost one is still said
    key.disable()
    key.enable()
    assert len(reported) > 0


def test_within_a_callback_of_one_thread_another_threads_is_the_outermost(key, other_key, reported):
    done = []

    @on_toggle
    def both(toggle):
        if toggle.key is not key:
            raise RecursionError
        in_thread(other_key.enable)
        done.append(len(reported))

    key.enable()
    assert done == [1] and other_key.enabled and isinstance(reported[0][1], RecursionError)


# ---- coming and going ----


def test_a_callback_may_take_away_itself_and_others(key):
    seen = []

    @on_toggle
    def first(toggle):
        seen.append(1)
        off_toggle(first)
        off_toggle(second)
        on_toggle(third)

    @on_toggle
    def second(toggle):
        seen.append(2)

    def third(toggle):
        seen.append(3)

    key.enable()
    assert seen == [1, 2]  # this toggle goes on with those that it found
    key.disable()
    assert seen == [1, 2, 3]


def test_one_that_was_taken_away_hears_of_no_other_key_of_the_batch(key, other_key):
    seen = []

    @on_toggle
    def once(toggle):
        seen.append(toggle.key)
        off_toggle(once)

    with batch():
        key.enable()
        other_key.enable()
    assert seen == [key]


def test_callbacks_are_held_until_they_are_taken_away_and_hold_no_key(request):
    def callback(toggle):
        pass

    key, reference = StaticKey(request.node.nodeid), weakref.ref(callback)
    on_toggle(callback)
    del callback
    gc.collect()
    key.enable()
    key = weakref.ref(key)
    gc.collect()
    assert reference() is not None and key() is None
    off_toggle(reference())
    gc.collect()
    assert reference() is None


async def coroutine(toggle):
    pass


def generator(toggle):
    yield


class Unhashable:
    __hash__ = None

    def __call__(self, toggle):
        pass


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (None, "needs a function that takes a Toggle, not None"),
        ("print", "not 'print'"),
        (coroutine, "coroutine is a coroutine function"),
        (generator, "generator is a generator function"),
        (Unhashable(), "cannot be hashed"),
    ],
)
def test_what_cannot_be_a_callback(function, why):
    with nothing_made(), pytest.raises(CallbackError, match=why):
        on_toggle(function)
    assert not toggles.callbacks
    with pytest.raises(CallbackError):
        off_toggle(function)


def test_twice_is_refused_and_so_is_to_take_away_what_is_not_there(key, told):
    (tell,) = toggles.callbacks
    with pytest.raises(CallbackError, match="is registered already"):
        on_toggle(tell)
    key.enable()
    assert len(told) == 1
    off_toggle(tell)
    with pytest.raises(CallbackError, match="is not registered"):
        off_toggle(tell)
    key.disable()
    assert len(told) == 1


def test_nobody_asks_for_a_report_where_there_is_no_callback(key, point, deferred, monkeypatch):
    def fail(*args):
        raise AssertionError("somebody asked")

    for module in (overrides, transactions, lingering, sys.modules["jumplabel._sites.call_sites"]):
        for name in ("new_report", "Telling" if module is lingering else "tell"):
            monkeypatch.setattr(module, name, fail)
    key.inc()
    with batch():
        key.dec()
    deferred.inc()
    deferred.dec()
    pass_time(HOUR)
    point.register(print)
    point.unregister(print)
    assert not deferred.enabled and not key.enabled


# ---- signals, threads, forks ----


def toggled(key):
    key.disable() if key else key.enable()


def applied(key):
    keys_module.apply([(key, lib.KEY_DISABLE if key else lib.KEY_ENABLE)])


def overridden(key):
    with key.override(not key.enabled):
        pass


@pytest.mark.parametrize("change", [toggled, applied, overridden])
def test_a_toggle_is_told_where_a_signal_handler_raises_right_behind_it(key, told, change):
    """At each point (interrupting.py) up to where the telling begins; raised there, it is as from a callback."""

    def handler():
        frame = sys._getframe(2)
        while frame:
            if frame.f_code.co_filename == toggles.__file__:
                return
            frame = frame.f_back
        raise Interrupt

    gate = static_gate(key)(abs)
    struck, n = True, 0
    while struck:
        before, patched = key.enabled, jumplabel.info().sites_patched
        struck = interrupted(n, lambda: change(key), handler)
        assert len(told) == jumplabel.info().sites_patched - patched
        assert [new for _, new, _ in told] == [not before, before][: len(told)]
        assert key.enabled is (told[-1][1] if told else before)
        del told[:]
        n += 1
    assert n > 5 and gate(-1) in (1, None)


def test_a_toggle_that_undoes_another_one_before_that_is_told(key, told):
    """At each point, as a signal handler or another thread may: both are told, each as it was."""
    struck, n = True, 0
    while struck:
        struck = interrupted(n, key.enable, key.disable)
        news = [new for _, new, _ in told]
        assert sorted(news) == ([True] if key else [False, True])
        key.disable()
        del told[:]
        n += 1
    assert n > 5


def test_a_toggle_in_a_signal_handler_within_a_toggle_is_told(key, other_key, told):
    struck, n = True, 0
    while struck:
        struck = interrupted(n, key.inc, other_key.inc)
        assert told.count((key, True, 0)) == 1 and told.count((other_key, True, 0)) == struck
        assert len(told) == 1 + struck
        key.disable()
        other_key.disable()
        del told[:]
        n += 1
    assert n > 5


def test_each_transition_is_told_once_however_many_threads_make_them(key, other_key, told, stress_seconds):
    """Of one site for each key: what was patched is what was told."""
    gates = [static_gate(each)(abs) for each in (key, other_key)]
    end = time.monotonic() + stress_seconds / 3
    before = jumplabel.info().sites_patched

    def work(number):
        while time.monotonic() < end:
            with batch():
                key.inc()
                other_key.inc()
            key.dec()
            with other_key.override(bool(number % 2)):
                pass
            other_key.dec()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == jumplabel.info().sites_patched - before > 0 and len(gates) == 2
    for each in (key, other_key):
        news = [new for which, new, _ in told if which is each]
        assert news.count(True) == news.count(False) > 0 and not each.enabled


def test_coming_and_going_in_other_threads_while_keys_are_toggled(key, stress_seconds, reported):
    end = time.monotonic() + stress_seconds / 6
    calls = []

    def come_and_go(number):
        def mine(toggle):
            calls.append(number)

        while time.monotonic() < end:
            on_toggle(mine)
            off_toggle(mine)

    threads = [threading.Thread(target=come_and_go, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    while time.monotonic() < end:
        key.enable()
        key.disable()
    for thread in threads:
        thread.join()
    assert not toggles.callbacks and reported == []


def test_callbacks_stay_in_the_child_of_a_fork_and_tell_of_its_own_toggles(key, told):
    gate = static_gate(key, default="off")(lambda: "on")
    pid = fork_quietly()
    if not pid:
        try:
            key.enable()
            os._exit(0 if told == [(key, True, 1)] and gate() == "on" else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert told == [] and gate() == "off"
    key.enable()
    assert told == [(key, True, 1)]


def test_a_callback_may_fork(key):
    """The child goes on from there, with the toggle made."""
    children = []
    on_toggle(lambda toggle: children.append(fork_quietly()))
    key.enable()
    if not children[-1]:
        os._exit(0 if key.enabled and len(children) == 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(children[-1], 0)[1]) == 0


EVERYTHING = """
told = []
jumplabel.on_toggle(lambda toggle: told.append((toggle.key.name, toggle.new, toggle.sites)))
key, point = StaticKey("key"), jumplabel.Tracepoint("point")
gate = static_gate(key)(abs)
key.enable()
with key.override(False):
    pass
with batch():
    key.disable()
point.register(print)
point.unregister(print)
assert told == [("key", new, 1) for new in (True, False, True, False)] + [("point", new, 1) for new in (True, False)]
"""


@pytest.mark.parametrize(
    "settings", [{"JUMPLABEL_NATIVE": "0"}, {"JUMPLABEL_POKE": "word"}, {"JUMPLABEL_SYNC": "signal"}], ids=str
)
def test_it_is_told_by_whatever_way_sites_are_rewritten(settings):
    run(EVERYTHING, **settings)


@pytest.mark.usefixtures("seccomp_filters")
def test_a_toggle_that_could_not_be_patched_is_not_told():
    """And an override that could not be lifted is told by the toggle that makes up for it."""
    run(
        """
        told = []
        jumplabel.on_toggle(lambda toggle: told.append((toggle.key.name, toggle.new)))
        key, other = StaticKey("key"), StaticKey("other", default=True)
        gates = [static_gate(each)(abs) for each in (key, other)]
        override = key.override(True)
        override.__enter__()
        with OtherThread():
            seccomp.refuse("membarrier")
            seccomp.refuse("rt_tgsigqueueinfo")

            def both():
                with batch():
                    other.disable()
                    key.inc()

            refused(errno.EPERM, both)
            assert str(refused(errno.EPERM, other.disable)).startswith("[Errno 1] <StaticKey 'other' on")
            refused(errno.EPERM, override.__exit__, None, None, None)
            refused(errno.EPERM, key.disable)
            assert told == [("key", True)] and key.enabled and other.enabled
            key.enable()  # what the sites show already
        assert told == [("key", True)] and gates[0](-1) == 1
        """
    )


def test_a_callback_at_the_end_of_the_interpreter():
    """What toggles then is told, or the interpreter has no callbacks any more; nothing is said on stderr."""
    run(
        """
        import atexit
        told = []
        jumplabel.on_toggle(told.append)
        key = StaticKey("key", deferred=3600)
        key.inc()
        key.dec()
        @atexit.register
        def last():
            key.flush()
            key.inc()
            assert [toggle.new for toggle in told] == [True, False, True]
        class AtTheVeryEnd:
            def __del__(self, key=key):
                key.disable()
        sys.at_the_very_end = AtTheVeryEnd()
        """
    )
