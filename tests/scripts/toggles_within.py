"""A gated function toggles its own keys."""

from sites import key, other, whole

from jumplabel import batch, static_branches, static_gate


@static_gate(other)
@static_branches
def inner(depth):
    """Runs while `other` is on: toggles the key, and `other` itself under its own feet."""
    if not other:
        return "off"
    key.inc()
    other.inc()
    result = inner(depth - 1) if depth else "done"
    other.dec()
    key.dec()
    return result


assert inner(3) is None
with other.override(True):
    assert inner(3) == "done"
    whole(False)
    with key.override(True):
        assert inner(3) == "done"
        whole(True)
assert not other and key.count == other.count == 0
other.enable()
with batch():
    assert inner(3) == "done"
    key.inc()
    assert inner(3) == "done"
    whole(False)
whole(True)
assert (key.count, other.count) == (1, 1)


@static_gate(other)
@static_branches
def turns_itself_off():
    other.disable()
    return "still on" if other else "off"


assert (turns_itself_off(), turns_itself_off()) == ("off", None)
