"""An exception at any point of the library where a signal handler may raise one, such as Ctrl-C's KeyboardInterrupt.

The interpreter runs Python's signal handlers when it has entered a function, behind a call, and when it jumps back. A
tracer raises there instead, at the n-th such point: each of them can be had, and had again.
"""

import contextlib
import dis
import sys
import threading
from functools import cache
from pathlib import Path

import jumplabel
from jumplabel._engine import lib

_FILES = str(Path(jumplabel.__file__).parent), contextlib.__file__


class Interrupt(BaseException):
    """Stands for KeyboardInterrupt, which pytest takes for its own."""


@cache
def _points(code):
    """Return the offsets of instructions before which a handler may run."""
    points = set()
    before = ""
    for instruction in dis.get_instructions(code):
        if before.startswith(("CALL", "RESUME", "JUMP_BACKWARD")):
            points.add(instruction.offset)
        before = instruction.opname
    return frozenset(points)


def _raise():
    raise Interrupt


def interrupted_in_a_thread(n, function):
    """The same: an exception within the handling of another one may leave that one as what the thread handles."""
    struck = []
    thread = threading.Thread(target=lambda: struck.append(interrupted(n, function)))
    thread.start()
    thread.join()
    return struck[0]


def interrupted(n, function, handler=_raise):
    """Call it, and raise Interrupt at the n-th point, or do something else there. Returns whether there was one."""
    left = n
    struck = False

    def trace(frame, event, _):
        nonlocal left, struck
        if struck or not frame.f_code.co_filename.startswith(_FILES):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and frame.f_lasti in _points(frame.f_code):
            left -= 1
            if left < 0:
                struck = True
                handler()
        return trace

    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # 3.12 reports no function's instructions before a frame has asked for some
    sys.settrace(trace)
    lib.unseen_is_shown = 1
    try:
        function()
    except Interrupt:
        pass
    finally:
        lib.unseen_is_shown = 0
        sys.settrace(before)
    return struck
