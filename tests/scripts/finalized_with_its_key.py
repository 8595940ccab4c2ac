"""Finalizers of a cycle use the key that goes with them."""

import gc

from jumplabel import StaticKey, info


class Owner:
    def __init__(self, key):
        self.key, self.me = key, self
        key.owner = self

    def __del__(self):
        for _ in range(9):
            self.key.inc()
        counts.append((self.key.count, repr(self.key)))


class Key(StaticKey):
    pass


def held(key):
    with key.override(True):
        yield
    assert not key.enabled


counts = []
for i in range(100):
    Owner(Key(f"deleted {i}"))
    key = Key(f"held {i}")
    key.held = held(key)
    next(key.held)
    key = None
    gc.collect()
    new = [StaticKey("new" * n) for n in range(1, 20)]  # in the memory of keys that are gone too early
    assert counts.pop() == (9, f"<StaticKey 'deleted {i}' on, 9 users, 0 sites>")
    new.clear()
assert info().keys == 0
