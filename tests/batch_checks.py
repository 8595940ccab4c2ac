"""Checks that tests of batches in tasks share: whether the open batch takes a toggle."""


def waits(key):
    """Enable the key within a batch, and check that the toggle waits for its end."""
    key.enable()
    assert not key.enabled


def does_not_wait(key):
    """Enable the key, and check that no batch takes the toggle."""
    key.enable()
    assert key.enabled
    key.disable()
    assert not key.enabled
