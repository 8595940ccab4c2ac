"""Functions of forms.py, run and traced, for tests of debuggers, profilers and other tools."""

import sys
import threading
import traceback
from pathlib import Path
from types import FunctionType

import forms

from jumplabel import static_branches

FILE = forms.__file__
CLOSURES = ["closure", "closure_on_several_lines"]
FORMS = [name for name, value in vars(forms).items() if isinstance(value, FunctionType) and value.__module__ == "forms"]
FORMS[FORMS.index("make_closures") :] = CLOSURES
_CODE = compile(Path(FILE).read_text(), FILE, "exec")


def make(name, key, other_key):
    """Return a function of forms.py, with keys."""
    namespace = {"__name__": "forms"}
    exec(_CODE, namespace)
    namespace.update(key=key, other_key=other_key)
    namespace["switches"].key = key
    namespace.update(zip(CLOSURES, namespace["make_closures"](key, other_key), strict=True))
    return namespace[name]


def pair(name, key, other_key):
    """Return the same function twice: plain and with sites."""
    before = len(key.entries)
    plain, decorated = make(name, key, other_key), static_branches(make(name, key, other_key))
    assert len(key.entries) > before
    return plain, decorated


def turn(key):
    key.disable() if key.enabled else key.enable()


def run(function, at=None, action=None):
    """Call it. Returns its hits, each with its line, and what it returned or the traceback of what it raised.

    at, action  what to do at which hit
    """
    hits = []

    def hit(value=None):
        hits.append((value, sys._getframe(1).f_lineno))
        if len(hits) == at:
            action()
        return value

    try:
        result = function(hit)
    except Exception as error:
        result = "".join(traceback.format_exception(error))
    return hits, result


def fail():
    raise ZeroDivisionError


def warm(function, times=100):
    """Have the interpreter specialize its code."""
    for _ in range(times):
        run(function)


def in_another_thread(function, *args):
    thread = threading.Thread(target=function, args=args)
    thread.start()
    thread.join()


class Tracer:
    """Keeps the events of functions in forms.py, and does something at one of them."""

    def __init__(self, at=None, action=None):
        self.events = []
        self.at, self.action = at, action

    def __call__(self, frame, event, arg):
        if frame.f_code.co_filename != FILE:
            return None
        self.events.append((event, frame.f_code.co_name, frame.f_lineno))
        if len(self.events) == self.at:
            self.action()
        return self


def traced(function, at=None, action=None, install=sys.settrace):
    """Call it. Returns the events, and what run() returns."""
    tracer = Tracer(at, action)
    before = sys.getprofile() if install is sys.setprofile else sys.gettrace()
    install(tracer)
    try:
        outcome = run(function)
    finally:
        install(before)
    return tracer.events, outcome


def jump_at(function, line, to):
    """Call it, and have a tracer go on at another line; both are counted from the function's first one."""

    def trace(frame, event, arg):
        if frame.f_code is function.__code__ and event == "line" and frame.f_lineno == first + line and not jumped:
            jumped.append(True)
            frame.f_lineno = first + to
        return trace

    first, jumped = function.__code__.co_firstlineno, []
    sys.settrace(trace)
    try:
        return run(function)
    finally:
        sys.settrace(None)
