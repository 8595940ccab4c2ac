"""Recursion through sites to the end of the stack, and toggles there."""

from preamble import OtherThread
from sites import branch, gate, key, other, whole

from jumplabel import batch, static_branches, static_gate, static_switch

gate_of_other, branch_of_other = static_gate(other)(lambda: None), static_branches(lambda: 1 if other else 2)


def through_all(n):
    gate_of_other()
    branch_of_other()
    return gated(n + 1)


@static_branches
def branching(n):
    if key:
        return through_all(n)
    return n


gated = static_gate(key)(static_switch(key, to=branching)(len))


def toggles_on_the_way_back():
    try:
        toggles_on_the_way_back()
    except RecursionError:
        pass
    for use in uses:
        try:
            use()
        except RecursionError:
            pass


def override():
    with key.override(True):
        gate()


def both():
    with batch():
        key.inc()
        other.inc()
    with batch():
        other.dec()
        key.dec()


uses = [lambda: (key.inc(), key.dec()), override, gate, branch]
for _ in range(3):
    with OtherThread(lambda: (other.inc(), other.dec())):
        key.enable()
        try:
            gated(0)
            raise AssertionError("it ended")
        except RecursionError:
            whole(True)
        key.disable()
        assert gated(0) is None
    toggles_on_the_way_back()
    whole(False)
    assert key.count == 0
    both()
