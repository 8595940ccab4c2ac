"""A key with a gate, a switch and a branch, another key, and whether all is as the key says."""

from preamble import code

from jumplabel import StaticKey, static_branches, static_gate, static_switch

key, other = StaticKey("key"), StaticKey("other")
gate = static_gate(key, default="off")(lambda: "on")
switch = static_switch(key, to=lambda: "on")(lambda: "off")


@static_branches
def branch():
    return "on" if key else "off"


def whole(state):
    """Every site is in this state, and none is armed."""
    assert key.enabled is state
    assert (gate(), switch(), branch()) == (("on",) * 3 if state else ("off",) * 3)
    assert [
        entry.kind for entry, bytes in zip(key.entries, code(key), strict=True) if bytes[0] == 0xCC and entry.native
    ] == []


def turn():
    state = not key.enabled
    key.enable() if state else key.disable()
    whole(state)


def toggle():
    key.enable()
    key.disable()
