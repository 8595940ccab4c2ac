"""The interpreter ends while daemon threads call and toggle."""

import atexit
import random
import time

from preamble import OtherThread
from sites import branch, gate, key, other, switch

from jumplabel import batch, info, static_branches, static_gate


def calls():
    assert {gate(), switch(), branch()} <= {"on", "off"}


def toggles():
    key.inc()
    with batch():
        other.inc()
        key.dec()
    with key.override(True):
        other.dec()


def makes():
    static_gate(key)(lambda: None)
    static_branches(lambda: 1 if key else 2)()
    repr(key), info()


def toggles_at_the_end(key=key, gate=gate, switch=switch, branch=branch):
    key.inc()
    assert (gate(), switch(), branch()) == ("on",) * 3
    key.dec()


class Last:
    def __del__(self, toggles=toggles_at_the_end):
        toggles()


last = Last()
gate_of_other = static_gate(other)(lambda: None)
atexit.register(toggles_at_the_end)
for work in (calls, toggles, toggles, makes):
    OtherThread(work).__enter__()
time.sleep(random.random() / 50)
