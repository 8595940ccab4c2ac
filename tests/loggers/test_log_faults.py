"""Keys that follow loggers while signal handlers raise, other threads interfere, or the interpreter ends."""

import logging
import signal
import sys
import threading
import time

import pytest
from logger_checks import WATCHED, keys_of, shown
from processes import run
from site_checks import in_thread

import jumplabel
from jumplabel import StaticKey, errors
from jumplabel._keys import toggles
from jumplabel._loggers import change_hooks, followed_loggers, logger_changes, logging_lock, turn_keys
from jumplabel._loggers.log_keys import LogKey, bind
from jumplabel._program import name_watch


class Interrupted(BaseException):
    pass


@pytest.fixture
def interrupt():
    """Return a function that has a signal handler called at once, which raises."""

    def raises(*_):
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, raises)
    yield lambda *_: signal.raise_signal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)


def at_each_line(modules, functions, work, others, check):
    """Call ``work`` again and again. Each time call ``others`` once in the middle of it, one line later than before.

    modules, functions  where the lines are counted
    check               called after each time
    """
    files = [module.__file__ for module in modules]
    number, done = 0, False
    while not done:
        number, done, left = number + 1, True, number

        def trace(frame, event, _):
            nonlocal left, done
            if frame.f_code.co_filename not in files or frame.f_code.co_name not in functions:
                return trace if event == "call" else None
            if event == "line":
                left -= 1
                if left == -1:
                    done = False
                    others()
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            with shown():
                work()
        except Interrupted:
            pass
        finally:
            sys.settrace(before)
        check()
    assert number > 5


def test_a_signal_handler_that_raises_at_the_end_of_a_change(logger, shop, monkeypatch, interrupt):
    keys = keys_of(shop, "logger")
    bind(keys)
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(logging_lock, "forget_keys_gone", interrupt)
        logger.disabled = True
    assert logging_lock._depth == 0
    logger.disabled = False
    keys.clear()
    assert not followed_loggers.bound


@pytest.mark.skipif(not WATCHED, reason="there are no watchers")
@pytest.mark.parametrize("raised", [Interrupted, TimeoutError, errors.PatchError, RecursionError])
def test_an_exception_between_two_instructions(logger, shop, monkeypatch, raised):
    """An exception of a signal handler passes to the running code. An exception of the library's is reported."""
    keys = keys_of(shop, "logger")
    bind(keys)

    def raises():
        raise raised

    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda told: reported.append(told.exc_type))
    monkeypatch.setattr(name_watch.listeners, "settle", raises)
    passed = []
    try:
        shop.logger = logging.getLogger("another")
        for _ in range(10):
            id(shop)
    except BaseException as error:
        passed.append(type(error))
    ours = raised in (errors.PatchError, RecursionError)
    assert (passed, reported) == (([], [raised]) if ours else ([raised], []))


def test_nothing_is_printed_at_the_end_of_the_interpreter(tmp_path):
    (tmp_path / "shop.py").write_text(
        "import logging\nlogger = logging.getLogger('shop')\ndef buy():\n    logger.info('')"
    )
    run(
        f"""
        import logging
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        jumplabel.install("shop")
        import shop

        class Handler(logging.Handler):
            def emit(self, record):
                shop

        logging.root.addHandler(Handler())
        buy = shop.buy
        """
    )


def test_a_value_that_is_set_again_while_another_thread_sets_another(logger, shop):
    logger.setLevel(10)
    (key,) = keys_of(shop, "logger", methods=["debug"])
    bind([key])

    def check():
        assert key.enabled or logger.disabled

    logger.disabled = False
    at_each_line(
        [change_hooks],
        ["__setattr__", "_report_change"],
        lambda: setattr(logger, "disabled", False),
        lambda: in_thread(setattr, logger, "disabled", True),
        check,
    )


def test_a_name_that_comes_to_stand_for_a_logger_while_that_changes(logger, shop):
    other = logging.getLogger(logger.name + " other")
    other.setLevel(10)
    logger.setLevel(60)
    (key,) = keys_of(shop, "logger", methods=["debug"])
    and_another = keys_of(shop, "other", methods=["debug"], name="another")
    shop.other = other
    bind([key, *and_another])

    def check():
        assert key.enabled == (shop.logger is other)
        shop.logger = logger
        other.disabled = True
        assert not key.enabled

    check()
    at_each_line(
        [logger_changes],
        ["work", "_make_change"],
        lambda: setattr(other, "disabled", False),
        lambda: setattr(shop, "logger", other),
        check,
    )


def test_a_signal_handler_that_raises_while_a_name_is_rebound(logger, shop):
    other = logging.getLogger(logger.name + " other")
    other.setLevel(10)
    logger.setLevel(60)
    (key,) = keys_of(shop, "logger", methods=["debug"])
    bind([key])

    def rebind():
        setattr(shop, "logger", other)  # noqa: B010  # names are settled after a call

    def interrupt():
        raise Interrupted

    def check():
        logging.getLogger("tests another").setLevel(10)
        assert key.enabled == (shop.logger is other)
        shop.logger = logger
        id(shop)
        assert not key.enabled

    check()
    modules = logger_changes, followed_loggers, turn_keys
    functions = ["work", "_rebind_name", "bring_up_to_date", "_as_loggers_are", "look_up", "_watch_only", "turn"]
    at_each_line(modules, functions, rebind, interrupt, check)


def test_a_key_for_a_logger_is_made_without_the_lock(logger, monkeypatch):
    """Another thread takes the lock and asks for the same key while the key gets its name."""
    found = []

    def make(key, *arguments):
        monkeypatch.undo()
        thread = threading.Thread(target=lambda: found.append(LogKey.of(logger, "debug")), daemon=True)
        thread.start()
        thread.join(2)
        LogKey._make(key, *arguments)

    monkeypatch.setattr(LogKey, "_make", make)
    key = LogKey.of(logger, "debug")
    assert [key] == found and LogKey.of(logger, "debug") is key and isinstance(key, StaticKey)


@pytest.fixture
def told():
    """Return the threads that called back; "stuck" for a callback in which another thread could not take the lock."""
    threads = []

    def tell(toggle):
        def take():
            with logging._lock:
                pass

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        thread.join(2)
        threads.append("stuck" if thread.is_alive() else threading.get_ident())

    jumplabel.on_toggle(tell)
    yield threads
    jumplabel.off_toggle(tell)


def wait_for(condition):
    end = time.monotonic() + 5
    while not condition() and time.monotonic() < end:
        time.sleep(0.001)
    assert condition()


def test_callbacks_are_called_without_the_lock(logger, shop, told):
    logger.setLevel(10)
    keys = keys_of(shop, "logger", methods=["debug"])
    logger.isEnabledFor(10)  # the logger caches the answer until the caches are cleared
    bind(keys)
    here = threading.get_ident()
    for level in (60, 10, 60):
        logger.setLevel(level)
        logger.isEnabledFor(10)
    assert told == [here] * 3


def test_callbacks_are_called_in_another_thread_while_the_lock_is_held(logger, shop, told):
    logger.setLevel(10)
    keys = keys_of(shop, "logger", methods=["debug"])
    logger.isEnabledFor(10)
    bind(keys)
    with logging._lock:
        logger.setLevel(60)
        logger.setLevel(10)
    wait_for(lambda: len(told) == 2)
    assert "stuck" not in told and threading.get_ident() not in told
    wait_for(lambda: not toggles._teller)


@pytest.mark.skipif(not WATCHED, reason="there are no watchers")
def test_callbacks_are_called_in_another_thread_when_a_name_is_rebound(logger, shop, told):
    logger.setLevel(60)
    keys = keys_of(shop, "logger", methods=["debug"])
    bind(keys)
    shop.logger = None
    wait_for(lambda: len(told) == 2)
    assert "stuck" not in told and told[1] != threading.get_ident()


class Elsewhere:
    """Has another thread hold the lock of ``logging``."""

    def __enter__(self):
        taken, self.done = threading.Event(), threading.Event()

        def hold():
            with logging._lock:
                taken.set()
                self.done.wait(2)

        self.thread = threading.Thread(target=hold)
        self.thread.start()
        taken.wait()

    def __exit__(self, *_):
        assert self.thread.is_alive()  # this thread has not waited for it
        self.done.set()
        self.thread.join()


def test_an_attribute_is_set_without_waiting_for_the_lock(logger, shop):
    logger.setLevel(10)
    keys = keys_of(shop, "logger", methods=["debug"])
    bind(keys)
    logger.disabled = True
    assert not keys[0].enabled
    with Elsewhere():
        logger.disabled = False
        assert keys[0].enabled
        logger.disabled = True
        assert keys[0].enabled
    logging.getLogger("tests another").setLevel(10)
    assert not keys[0].enabled


def test_a_property_of_a_logger_is_set_without_the_lock(logger, shop):
    held = []

    class Logger(logging.Logger):
        @property
        def tag(self):
            return self.level

        @tag.setter
        def tag(self, value):
            held.append(logging._lock._is_owned())
            self.disabled = value

    shop.logger = Logger("of its own", 10)
    keys = keys_of(shop, "logger", methods=["debug"])
    bind(keys)
    states = []
    for value in (True, False):
        shop.logger.tag = value
        states.append(keys[0].enabled)
    assert held == [False, False] and states == [False, True]


@pytest.mark.skipif(not WATCHED, reason="there are no watchers")
def test_a_metaclass_gets_an_attribute_of_the_path(logger, shop):
    other = logging.getLogger(logger.name + " other")
    other.setLevel(10)
    logger.setLevel(60)
    meta = type("Meta", (type,), {})
    shop.Cart = meta("Cart", (), {"logger": logger})
    (key,) = keys_of(shop, "Cart", "logger", methods=["debug"])
    bind([key])
    assert not key.enabled
    meta.logger = property(lambda kind: other)
    assert shop.Cart.logger is other and key.enabled
    del meta.logger
    id(shop)
    assert shop.Cart.logger is logger and not key.enabled
