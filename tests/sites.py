"""What tests of sites have in common."""

import contextlib
import gc

import jumplabel


def echo(*args, **kwargs):
    return args, kwargs


def other_echo(*args, **kwargs):
    return "other", args, kwargs


@contextlib.contextmanager
def nothing_made():
    """Neither a new site nor a change of an old one."""
    gc.collect()
    before = jumplabel.jump_table(), jumplabel.info().batches
    yield
    assert (jumplabel.jump_table(), jumplabel.info().batches) == before


def off_on_off(key):
    """Each state, twice: also after the way back."""
    for enabled in (False, True, False, True, False):
        key.enable() if enabled else key.disable()
        yield enabled


def make(key):
    """A function to decorate with static_branches: the code is the same each time, the key is in a closure."""

    def function(x=None):
        if key:
            return "on"
        return "off"

    return function
