"""Keys that follow loggers where others come in between: signal handlers that raise, threads, the interpreter's end."""

import signal

import pytest
from loggers import keys_of, states

from jumplabel import log_keys
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
