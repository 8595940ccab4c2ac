"""Deferred keys, and waiting for them, by the clock that no tool replaces; for scripts in processes of their own."""

from jumplabel._process.unpatched import monotonic, sleep


def wait_for(condition):
    end = monotonic() + 60
    while not condition():
        assert monotonic() < end
        sleep(0.001)


def use(key):
    key.inc()
    key.dec()
