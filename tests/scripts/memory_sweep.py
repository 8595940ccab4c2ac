"""Calls that get no memory for one allocation after the other."""

import gc
import sys
import traceback

from denied_sites import make, toggles_work

import jumplabel
from jumplabel import StaticKey

try:
    from _testcapi import remove_mem_hooks, set_nomemory
except ImportError:
    sys.exit(0)

other = StaticKey("other")


def without_memory(function, *args):
    """Call it once for each n without memory for the n-th allocation, until it needs no more of them than n."""
    calm = 0
    for n in range(10_000):
        result = raised = None
        set_nomemory(n, n + 1)
        try:
            result = function(*args)
        except (MemoryError, SystemError) as error:
            remove_mem_hooks()
            # CPython 3.11 goes on where it has no memory for a frame object: frame.f_back is None then.
            if not isinstance(error, MemoryError) and not isinstance(error.__cause__, MemoryError):
                raise
            traceback.clear_frames(error.__traceback__)
            raised = True
        finally:
            remove_mem_hooks()
        yield result, raised
        del result
        calm = 0 if raised else calm + 1
        if calm == 30:  # some are done without
            return
    raise AssertionError("never enough")


def entries():
    gc.collect()
    return len(jumplabel.jump_table())


sites = make()
toggles_work()
