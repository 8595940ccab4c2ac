"""Functions that test five keys by a snapshot."""

import itertools

from jumplabel import StaticKey, batch, static_branches

snapshot = static_branches(snapshot=True)
keys = [StaticKey(f"key {i}") for i in range(5)]
a, b, c, d, e = keys


@snapshot
def function(hook=None):
    state = (1 if a else 0) + (2 if b else 0)
    if hook:
        hook()
    for bit in [4 for _ in "c" if c] + [8 for _ in "d" if d]:
        state += bit
    return state + (16 if e else 0)


@snapshot
def states():
    while True:
        yield (1 if a else 0) + (2 if b else 0)


def set_state(state):
    with batch():
        for i, key in enumerate(keys):
            key.enable() if state >> i & 1 else key.disable()


def cycle():
    for state in itertools.chain(range(17), range(31, -1, -3)):
        set_state(state)
        for turned in (state ^ 31, state ^ 5, state):
            assert function() == state == function(lambda turned=turned: set_state(turned)), state
            assert function() == turned
            set_state(state)
        generator = states()
        assert next(generator) == state & 3
        set_state(~state & 31)
        assert next(generator) == state & 3
