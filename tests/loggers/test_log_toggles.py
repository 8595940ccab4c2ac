"""on_toggle and the keys of logging statements: callbacks are told of each toggle, whatever has changed the logger."""

import logging
import sys
import threading
import time
import types

import pytest
from interrupting import Interrupt, interrupted

import jumplabel
from jumplabel import batch, off_toggle, on_toggle, pytest_plugin, static_gate
from jumplabel._keys import toggles
from jumplabel._loggers import logging_lock
from jumplabel._loggers.log_keys import LogKey, bind, unbind
from jumplabel._loggers.turn_keys import untold
from jumplabel._program import name_watch
from jumplabel.errors import StaticKeyError


def wait_until_told():
    """Wait: names are settled between two instructions, and a thread of the library's calls the callbacks."""
    end = time.monotonic() + 5
    while (name_watch.to_look_up or toggles._teller) and time.monotonic() < end:
        time.sleep(0.001)


@pytest.fixture
def logger(request):
    logger = logging.getLogger(request.node.name)
    logger.setLevel(logging.WARNING)
    yield logger
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def module(request, logger):
    module = types.ModuleType(f"module of {request.node.name}")
    module.log = logger
    return module


@pytest.fixture
def log_key(request, module):
    key = LogKey(f"logging.{request.node.name}", module, ("log",), "debug")
    bind([key])
    assert not key.enabled
    yield key
    unbind([key])


@pytest.fixture
def told():
    told = []

    @on_toggle
    def tell(toggle):
        assert toggle.old is not toggle.new and toggle.nanoseconds > 0
        assert logging_lock._depth == 0
        told.append((toggle.key, toggle.new, toggle.sites))

    yield told
    off_toggle(tell)


def test_binding_and_unbinding_are_told(request, module, told):
    key = LogKey(f"logging.{request.node.name}", module, ("log",), "debug")
    assert told == []
    bind([key])
    assert told == [(key, False, 0)]
    bind([key])
    unbind([key])
    assert told == [(key, False, 0), (key, True, 0)]


def test_levels_are_told_at_once_within_a_batch_too(log_key, logger, told):
    gate = static_gate(log_key)(abs)
    with batch():
        logger.setLevel(logging.DEBUG)
        assert told == [(log_key, True, 1)] and gate(-1) == 1
        logger.setLevel(logging.DEBUG)
    logging.disable(logging.CRITICAL)
    try:
        assert told[1:] == [(log_key, False, 1)]
    finally:
        logging.disable(logging.NOTSET)
    assert told[2:] == [(log_key, True, 1)]
    logger.setLevel(logging.WARNING)
    assert told[3:] == [(log_key, False, 1)]


def test_the_toggles_by_a_rebound_name_are_told(log_key, module, logger, told):
    """The key turns on in the middle of the change, where no callback may run. It turns off later if need be."""
    other = logging.getLogger(f"{logger.name} other")
    other.setLevel(logging.DEBUG)
    module.log = other
    wait_until_told()
    assert told == [(log_key, True, 0)] and log_key.enabled
    del told[:]
    module.log = logger
    wait_until_told()
    assert [new for _, new, _ in told] == [False] and not log_key.enabled
    del told[:]
    other.setLevel(logging.CRITICAL)
    module.log = other
    wait_until_told()
    assert [new for _, new, _ in told] in ([True, False], []) and not log_key.enabled
    assert not name_watch.turned and not untold


def test_toggles_are_not_kept_without_callbacks(log_key, module, logger):
    for _ in range(3):
        module.log = logging.getLogger(f"{logger.name} other")
        module.log = logger
    wait_until_told()
    assert not name_watch.turned and not untold and not log_key.enabled


def test_a_callback_may_change_the_logger(log_key, logger, told):
    @on_toggle
    def back(toggle):
        if toggle.new:
            logger.setLevel(logging.WARNING)

    logger.setLevel(logging.DEBUG)
    off_toggle(back)
    assert sorted(new for _, new, _ in told) == [False, True] and not log_key.enabled


def test_each_thread_tells_its_own_toggles(log_key, logger):
    told = []
    tell = on_toggle(lambda toggle: told.append((threading.get_ident(), toggle.new)))

    def work():
        for _ in range(50):
            logger.setLevel(logging.DEBUG)
            logger.setLevel(logging.WARNING)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    off_toggle(tell)
    news = [new for _, new in told]
    assert news.count(True) == news.count(False) > 0 and not log_key.enabled


@pytest.mark.usefixtures("reported")  # an interrupted end of a generator is reported
def test_toggles_are_told_although_a_signal_handler_raises(log_key, logger, told):
    gate = static_gate(log_key)(abs)

    def handler():
        frame = sys._getframe(2)
        if frame.f_code.co_name in ("popped", "exclusively"):  # where the toggles to tell are taken
            return
        if frame.f_code.co_name == "_clear_and_report" and frame.f_lasti <= 2:
            return  # it has just been entered: up to 3.12 Manager._clear_cache leaves its lock taken if that raises
        while frame:
            if frame.f_code.co_filename == toggles.__file__ or frame.f_code.co_name == "_tell":  # they are being told
                return
            frame = frame.f_back
        raise Interrupt

    struck, n = True, 0
    while struck:
        patched = jumplabel.info().sites_patched
        struck = interrupted(n, lambda: logger.setLevel(logging.DEBUG), handler)
        logger.setLevel(logging.WARNING)
        assert len(told) == jumplabel.info().sites_patched - patched and not log_key.enabled
        del told[:]
        n += 1 + n // 10
    assert n > 5 and gate(-1) is None


def test_the_pytest_fixture_refuses_log_keys(log_key):
    held = pytest_plugin.StaticKeys()
    with held._stack:
        with pytest.raises(StaticKeyError):
            held.enable(log_key)
        with pytest.raises(StaticKeyError, match="finds only keys that cannot be held"):
            held.enable(f"{log_key.name[:-1]}?")
        assert not log_key.enabled
