"""Keys that follow loggers while other threads, or signal handlers, change the loggers."""

import gc
import logging
import signal
import sys
import threading
import time

import pytest
from logger_checks import WATCHED, answers, keys_of, shown, states
from site_checks import in_thread

from jumplabel import static_branches
from jumplabel._keys.static_key import address
from jumplabel._loggers import change_hooks
from jumplabel._loggers.log_keys import LogKey, bind, unbind
from jumplabel._program import name_watch


@pytest.mark.parametrize("rounds", [200])
def test_no_record_is_lost_after_a_level_is_set(logger, shop, rounds):
    keys = keys_of(shop, "logger")
    bind(keys)
    records, turn, answer = [], threading.Semaphore(0), threading.Semaphore(0)

    debug = keys[0]
    work = static_branches(strict=True)(lambda: records.append(1) if debug else None)

    def other():
        while turn.acquire() and not stop:
            work()
            answer.release()

    stop = []
    thread = threading.Thread(target=other)
    thread.start()
    for n in range(rounds):
        logger.setLevel(60 if n % 2 else 10)
        records.clear()
        turn.release()
        answer.acquire()
        assert len(records) == (n + 1) % 2
    stop.append(1)
    turn.release()
    thread.join()


@pytest.mark.stress
def test_levels_names_and_bindings_change_at_once(logger, shop, stress_seconds):
    """Several threads change levels, names and bindings. In the end each key is right."""
    others = [logging.getLogger(f"{logger.name}.{n}") for n in range(3)]
    for n, each in enumerate(others):
        setattr(shop, f"other{n}", each)
    failed, end = [], time.monotonic() + stress_seconds / 3

    def levels():
        for n, each in enumerate(others):
            each.setLevel((10, 30, 60)[n])
            each.disabled = not each.disabled
        logger.setLevel(20)

    def names():
        shop.other0, shop.other1 = shop.other1, shop.other0
        if WATCHED:
            vars(shop)["other2"] = logger
            vars(shop)["other2"] = others[2]
        else:
            shop.other2 = logger
            shop.other2 = others[2]

    def bindings():
        keys = keys_of(shop, "other1", name=f"{shop.__name__}.{threading.get_ident()}")
        bind(keys)
        unbind(keys[:3])
        bind(keys[:2])

    def repeat(function):
        try:
            while time.monotonic() < end:
                function()
        except BaseException as error:
            failed.append(error)

    keys = [key for n in range(3) for key in keys_of(shop, f"other{n}")]
    bind(keys)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=repeat, args=(each,)) for each in (levels, names, bindings, gc.collect)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not failed
    logger.setLevel(10)
    for each in others:
        each.disabled = False
    expected = [answer for n in range(3) for answer in answers(getattr(shop, f"other{n}"))]
    assert states(keys) == expected


def test_a_name_rebound_while_another_thread_has_the_lock(logger, shop):
    """The key is on at once. The next thread that takes the lock turns it off."""
    logger.setLevel(60)
    keys = keys_of(shop, "logger")
    bind(keys)
    other = logging.getLogger(f"{logger.name}.other")
    has, let_go = threading.Event(), threading.Event()

    def hold():
        with logging._lock:
            has.set()
            let_go.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    has.wait()
    if WATCHED:
        shop.logger = other
        assert all(states(keys))
    let_go.set()
    thread.join()
    if WATCHED:
        LogKey.of(logger, "debug")
        assert states(keys) == [False] * 6
    else:
        shop.logger = other
        assert not any(states(keys))


def test_a_thread_may_rebind_a_name(logger, shop):
    logger.setLevel(60)
    keys = keys_of(shop, "logger")
    bind(keys)
    in_thread(setattr, shop, "logger", 7)
    assert all(states(keys))
    in_thread(setattr, shop, "logger", logger)
    assert not any(states(keys))


def set_level(logger):
    logger.setLevel(10)


def set_it_directly(logger):
    logger.level = 10


def clear_the_caches(logger):
    vars(logger)["level"] = 10  # not heard
    logging.root._cache.clear()


@pytest.mark.parametrize("change", list(enumerate([set_level, set_it_directly, clear_the_caches])))
def test_a_signal_handler_may_set_a_level(logger, shop, change):
    """The handler interrupts another change at each line of it. The level that was set last holds."""
    keys = keys_of(shop, "logger")
    bind(keys)
    logger.setLevel(60)
    child = logging.getLogger(f"{logger.name}.child")
    shop.child = child
    keys += keys_of(shop, "child")
    bind(keys)
    left = 0
    first, to_ten = change

    def handler(*_):
        to_ten(logger)
        assert all(states(keys[:6]))

    def trace(frame, event, argument):
        nonlocal left
        if "jumplabel" in frame.f_code.co_filename and event == "line":
            left -= 1
            if not left:
                sys.settrace(None)
                signal.raise_signal(signal.SIGUSR1)
        return trace

    for place in range(1 + first, 4000, 3):
        left = place
        before = signal.signal(signal.SIGUSR1, handler)
        try:
            sys.settrace(trace)
            with shown():
                child.level = 0 if place % 2 else 20
        finally:
            sys.settrace(None)
            signal.signal(signal.SIGUSR1, before)
        assert states(keys) == answers(logger) + answers(child)
        logger.setLevel(60)
        if left > 0:  # the change was not interrupted
            break
    else:
        raise AssertionError("it never ended")
    assert place > 50


def test_a_logger_that_changes_while_a_key_is_bound_to_it(logger, shop, monkeypatch):
    """Another thread binds the key after the hook has found that no key depends on the logger."""
    keys = keys_of(shop, "logger")
    concerns, looks = change_hooks.listeners.concerns, []
    logger.disabled = True
    shop.root = logging.root
    keep = keys_of(shop, "root")
    bind(keep)

    def bound_behind_its_back(thing):
        if thing is logger and not looks:
            looks.append(thing)
            bind(keys)
            assert not any(states(keys))
            return False
        return concerns(thing)

    monkeypatch.setattr(change_hooks.listeners, "concerns", bound_behind_its_back)
    logger.disabled = False
    assert looks and states(keys) == answers(logger) and any(states(keys))


def test_a_turn_by_outdated_states_is_refused(logger, shop):
    (key,) = keys_of(shop, "logger", methods=["debug"])
    before = name_watch.changes()
    name_watch.changed()
    assert name_watch.turn(before, [], [address(key)]) == name_watch.STALE and key.enabled
    assert name_watch.turn(name_watch.changes(), [], [address(key)]) == 0 and not key.enabled


def test_all_keys_are_on_in_the_middle_of_an_unforeseen_change(logger, shop, monkeypatch):
    keys = keys_of(shop, "logger")
    logger.setLevel(60)
    bind(keys)
    through, seen = change_hooks.listeners.make_change, []

    def spy(changed, attributes, change, wait):
        through(changed, attributes, lambda: (seen.append(states(keys)), change()), wait)

    monkeypatch.setattr(change_hooks.listeners, "make_change", spy)
    logger.__class__ = type("Quiet", (logging.Logger,), {})
    logger.level = 10
    logger.level = 50
    logger.__class__ = logging.Logger
    assert seen == [[True] * 6, [True] * 6, [True] * 6, [True] * 6]
    assert states(keys) == answers(logger)


def test_keys_of_a_change_past_the_lock_stay_on_until_the_lock_is_free(logger, shop):
    """Also if another call has worked the keys out in the middle, from the state before the change."""
    keys = keys_of(shop, "logger")
    logger.setLevel(60)
    bind(keys)
    has, let_go = threading.Event(), threading.Event()

    def hold():
        with logging._lock:
            has.set()
            let_go.wait()

    thread = threading.Thread(target=hold)

    def change():
        assert all(states(keys))
        bind(keys)
        assert not any(states(keys))
        thread.start()
        has.wait()
        vars(logger)["level"] = 10

    try:
        change_hooks.listeners.make_change_past_lock(logger, change)
        assert all(states(keys))
    finally:
        let_go.set()
        thread.join()
