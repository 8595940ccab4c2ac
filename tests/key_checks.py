"""A gate of a key, and checks of the state of both, for tests of keys."""

from jumplabel import static_gate


def gated(key):
    return static_gate(key)(lambda value: value)


def assert_state(key, gate, count, enabled):
    assert (key.count, key.enabled, bool(key)) == (count, enabled, enabled)
    assert key.entries[0].state is enabled
    assert gate("called") == ("called" if enabled else None)
