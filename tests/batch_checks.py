"""What tests of batches in tasks have in common: whether a batch of another task takes a toggle."""


def waits(key):
    """To be called within the batch: it is in it."""
    key.enable()
    assert not key.enabled


def does_not_wait(key):
    key.enable()
    assert key.enabled
    key.disable()
    assert not key.enabled
