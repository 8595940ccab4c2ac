"""Functions and checks that tests of sites share."""

import contextlib
import gc
import os
import threading
import warnings

import jumplabel


def echo(*args, **kwargs):
    return args, kwargs


def other_echo(*args, **kwargs):
    return "other", args, kwargs


CALLS = [
    ((), {}),
    ((1,), {}),
    ((1, 2, 3), {}),
    ((), {"a": 1}),
    ((1,), {"b": 2, "more": 3}),
    (tuple(range(50)), {f"k{n}": n for n in range(50)}),
]


@contextlib.contextmanager
def nothing_made():
    """Check that the block makes no site and changes none."""
    gc.collect()
    before = jumplabel.jump_table(), jumplabel.info().batches
    yield
    assert (jumplabel.jump_table(), jumplabel.info().batches) == before


def off_on_off(key):
    """Yields each state twice, so that it is also met after the way back."""
    for enabled in (False, True, False, True, False):
        key.enable() if enabled else key.disable()
        yield enabled


def make(key):
    """Return a function that tests the key of its closure. Its code is the same each time."""

    def function(x=None):
        if key:
            return "on"
        return "off"

    return function


def fork_quietly():
    """Fork without the warning of 3.12 and later about threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def in_thread(function, *args):
    """Run it in another thread; raise here what it raises there."""
    failed = []

    def run():
        try:
            function(*args)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
