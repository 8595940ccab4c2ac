"""A key with sites of every kind, and what they are while the process is denied something.

The scripts use what it imports.
"""

# ruff: noqa: F401

import resource

from preamble import code, refused

from jumplabel import JumpLabelError, StaticKey, static_branches, static_gate, static_switch

key = StaticKey("key")


def make():
    gate = static_gate(key, default="off")(lambda: "on")
    switch = static_switch(key, to=lambda: "on")(lambda: "off")

    def branch():
        if key:
            return "on"
        return "off"

    return [gate, switch, static_branches(branch)]


def natives():
    return [entry.native for entry in key.entries if entry.kind != "branch"]


def expect(state):
    assert key.enabled is state
    assert {entry.state for entry in key.entries} <= {state}
    assert [site() for site in sites] == ["on" if state else "off"] * len(sites)


def toggles_work():
    for state in (True, False, True, False):
        key.enable() if state else key.disable()
        expect(state)


def toggles_are_refused(error):
    code_before, count = code(key), key.count
    for toggle in (key.enable, key.inc, key.override(True).__enter__):
        refused(error, toggle)
        assert (code(key), key.count) == (code_before, count)
        expect(False)


sites = []
