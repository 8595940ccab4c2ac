"""Keys that follow loggers where others come in between: signal handlers that raise, threads, the interpreter's end."""

import logging
import signal
import sys

import pytest
from loggers import WATCHED, keys_of, states
from processes import run

from jumplabel import errors, log_keys, name_watch
from jumplabel.log_keys import bind


class Interrupted(BaseException):
    pass


@pytest.fixture
def interrupt():
    """A signal handler that raises is called, here and now."""

    def raises(*_):
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, raises)
    yield lambda *_: signal.raise_signal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)


def test_a_signal_handler_that_raises_at_the_end_of_a_change(logger, shop, monkeypatch, interrupt):
    keys = keys_of(shop, "logger")
    bind(keys)
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(log_keys, "_forget_those_left", interrupt)
        logger.disabled = True
    assert log_keys._depth == 0
    logger.disabled = False
    keys.clear()
    assert not log_keys._bound


@pytest.mark.skipif(not WATCHED, reason="there are no watchers")
@pytest.mark.parametrize("raised", [Interrupted, TimeoutError, errors.PatchError, RecursionError])
def test_what_is_raised_between_two_instructions(logger, shop, monkeypatch, raised):
    """A signal handler's is for whoever runs, ours is reported."""
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
            int()
    except BaseException as error:
        passed.append(type(error))
    ours = raised in (errors.PatchError, RecursionError)
    assert (passed, reported) == (([], [raised]) if ours else ([raised], []))


def test_nothing_is_said_at_the_end_of_the_interpreter(tmp_path):
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
