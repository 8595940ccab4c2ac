"""Checks of lingering keys and of their thread, and time that passes by hand."""

import sys
import time

import jumplabel
from jumplabel._keys import lingering

HOUR = 3600


def lingers(key):
    return key._key.until != 0


def patches():
    return jumplabel.info().batches


def pass_time(seconds):
    """Expire keys as the thread would, so many seconds later."""
    return lingering._expire(time.monotonic_ns() + seconds * 10**9)


def there_is_a_thread():
    """Return how many threads run the loop."""
    return sum(frame.f_code is lingering._run.__code__ for frame in frames())


def frames():
    for frame in sys._current_frames().values():
        while frame:
            yield frame
            frame = frame.f_back


def wait_for(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)
