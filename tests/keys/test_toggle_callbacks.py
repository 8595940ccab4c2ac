"""Callbacks of toggles: what they raise, and how they come and go."""

import gc
import sys
import weakref

import pytest
from interrupting import Interrupt
from lingering_checks import HOUR, pass_time
from probes import Oops
from site_checks import in_thread, nothing_made

from jumplabel import CallbackError, StaticKey, batch, off_toggle, on_toggle
from jumplabel._keys import lingering, overrides, toggles, transactions


@pytest.fixture(autouse=True)
def none_before_and_none_left():
    assert not toggles.callbacks
    yield
    toggles.callbacks.clear()


# ---- what callbacks raise ----


def raiser(error):
    def raiser(toggle):
        raise error

    return on_toggle(raiser)


def test_an_exception_is_reported_and_stops_no_other_callback(key, reported):
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


def test_a_hook_that_raises_stops_no_callback(key, told, monkeypatch, capsys):
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
    """The outermost toggle tells them off. If each did, and went on, three callbacks would take for ever."""
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


def test_a_callback_that_was_taken_away_hears_of_no_other_key_of_the_batch(key, other_key):
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


def test_no_report_is_asked_for_where_there_is_no_callback(key, point, deferred, monkeypatch):
    def fail(*args):
        raise AssertionError("a report was asked for")

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
