"""Finalizers toggle while other threads toggle and decorate."""

import gc
import threading

from preamble import OtherThread
from sites import key, other, whole

from jumplabel import batch, info, static_branches, static_gate, static_switch

finalized = 0


class Garbage:
    def __init__(self):
        self.me = self

    def __del__(self):
        global finalized
        finalized += 1
        other.inc()
        if threading.current_thread() is threading.main_thread():  # which looks at the key, between two collections
            key.inc()
            whole(True)
            branch = static_branches(lambda: "on" if key else "off")
            assert (static_gate(key)(lambda: "on")(), branch()) == ("on", "on")
            key.dec()
        other.dec()


def make():
    def function():
        return "on" if key else "off"

    return function


with OtherThread(lambda: (other.inc(), other.dec())):
    for threshold in [1, 2, 3, 5, 7, 11, 13] * 5:
        gc.set_threshold(threshold)
        for _ in range(4):
            Garbage()
            made = static_gate(key, default="off")(make()), static_switch(key, to=make())(make())
            made += (static_branches(make()), static_branches(eval("lambda: 'on' if key else 'off'")))
            state = key.enabled
            for function in made:
                assert function() == ("on" if state else "off")
            Garbage()
            key.inc()
            for function in made:
                assert function() == "on"
            Garbage()
            with key.override(True), batch() as _:
                Garbage()
                other.inc()
                other.dec()
            Garbage()
            key.dec()
            repr(key), key.entries, info()
            for function in made:
                assert function() == "off"
del made, function
gc.collect()
assert finalized > 500 and len(key.entries) == 3
whole(False)
assert key.count == other.count == 0
