"""Stacked decorators, and what the decorators refuse."""

import functools
import weakref

import pytest
from site_checks import echo, nothing_made, off_on_off, other_echo

from jumplabel import DecorationError, StaticKey, static_gate, static_switch

# ---- stacking ----


def test_a_gate_over_a_switch(key, other_key):
    switch = static_switch(other_key, to=other_echo)(echo)
    gate = static_gate(key, default="off")(switch)
    for _ in off_on_off(key):
        for _ in off_on_off(other_key):
            through = ("other", (1,), {"a": 2}) if other_key else ((1,), {"a": 2})
            assert gate(1, a=2) == (through if key else "off")


def test_a_switch_over_a_gate_of_the_same_key(key):
    gate = static_gate(key, default="off")(echo)
    switch = static_switch(key, to=gate)(lambda n: "not there")
    below = static_switch(key, to=other_echo)(gate)
    for enabled in off_on_off(key):
        assert switch(1) == (((1,), {}) if enabled else "not there")
        assert below(1) == (("other", (1,), {}) if enabled else "off")
    inner = weakref.ref(gate)
    del gate, below
    key.enable()
    assert switch(1) == ((1,), {}) and inner() is not None


@pytest.mark.parametrize("wrap", [lambda function: function, classmethod, staticmethod])
def test_stacking_the_same_kind_is_refused(key, other_key, wrap):
    gate, switch = static_gate(key)(echo), static_switch(key, to=other_echo)(echo)
    gate_over_switch, switch_over_gate = static_gate(key)(switch), static_switch(key, to=other_echo)(gate)
    for function in (gate, gate_over_switch, switch_over_gate):
        with nothing_made(), pytest.raises(DecorationError, match=r"is a static_gate already.*use one key for both"):
            static_gate(other_key)(wrap(function))
    for function in (switch, switch_over_gate, gate_over_switch):
        with nothing_made(), pytest.raises(DecorationError, match=r"is a static_switch already.*use one key for both"):
            static_switch(other_key, to=other_echo)(wrap(function))


# ---- refusals ----


class Plain:
    pass


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (None, "decorates a function, not None"),
        (7, "decorates a function, not 7"),
        (property(lambda self: 1), "decorate the function inside it"),
        (functools.cached_property(lambda self: 1), "decorate the function inside it"),
        (functools.partialmethod(echo, 1), "decorate the function inside it"),
        (Plain, "Plain is a class; decorate its methods"),
        (Plain(), "decorates a function, not <"),
        (classmethod(property()), "decorates a function, not <property"),
    ],
)
def test_what_is_not_a_function_is_refused(key, function, message):
    for decorate in (static_gate(key), static_switch(key, to=echo)):
        with nothing_made(), pytest.raises(DecorationError, match=message):
            decorate(function)
    assert issubclass(DecorationError, TypeError)


def test_what_is_not_a_key_is_refused(key):
    for bad in (None, "shop.tracing", True, StaticKey):
        with pytest.raises(DecorationError, match="static_gate needs a StaticKey first"):
            static_gate(bad)
        with pytest.raises(DecorationError, match="static_switch needs a StaticKey first"):
            static_switch(bad, to=echo)
    with pytest.raises(DecorationError, match=r"write @static_gate\(key\)"):

        @static_gate
        def without_parentheses():
            pass


def test_what_cannot_be_switched_to_is_refused(key):
    for bad in (None, 7, property()):
        with pytest.raises(DecorationError, match="needs a callable to switch to"):
            static_switch(key, to=bad)
    assert key.entries == ()
