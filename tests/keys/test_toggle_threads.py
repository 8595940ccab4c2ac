"""Callbacks of toggles under signals, in threads and in children of forks."""

import os
import sys
import threading
import time

import pytest
from interrupting import Interrupt, interrupted
from processes import run
from site_checks import fork_quietly

import jumplabel
from jumplabel import batch, off_toggle, on_toggle, static_gate
from jumplabel._engine import lib
from jumplabel._keys import toggles, transactions


@pytest.fixture(autouse=True)
def none_before_and_none_left():
    assert not toggles.callbacks
    yield
    toggles.callbacks.clear()


def toggled(key):
    key.disable() if key else key.enable()


def applied(key):
    transactions.apply([(key, lib.KEY_DISABLE if key else lib.KEY_ENABLE)])


def overridden(key):
    with key.override(not key.enabled):
        pass


@pytest.mark.parametrize("change", [toggled, applied, overridden])
def test_a_toggle_is_told_where_a_signal_handler_raises_right_behind_it(key, told, change):
    """The handler raises at each point (interrupting.py) before callbacks are called; later, it is as if one raised."""

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
    """The second toggle comes at each point, as from a signal handler or thread: both are told, each as it was."""
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


@pytest.mark.stress
def test_each_transition_is_told_once_however_many_threads_make_them(key, other_key, told, stress_seconds):
    """Each key has one site: the toggles that were told are as many as the patched sites."""
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


@pytest.mark.stress
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
    """The toggle that makes up for an override that could not be lifted tells of it."""
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
    """A toggle then is told, or the interpreter has no callbacks any more; stderr stays empty."""
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
