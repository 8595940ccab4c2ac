"""What ``static_branches(snapshot=True)`` refuses, with nothing changed."""

import copy
import functools
import types

import pytest
from site_checks import nothing_made

from jumplabel import DecorationError, StaticCall, StaticKey, static_branches, static_gate, static_switch

snapshot = static_branches(snapshot=True)
tracing = StaticKey("tests.test_snapshot_refusals.tracing")


def plain(x):
    return "on" if tracing else "off"


decorated = snapshot(plain)


class Callable:
    def __call__(self):
        return 1 if tracing else 0


WRONG = {
    "a class": (Callable, "Callable is a class; decorate its methods"),
    "an object": (Callable(), "decorates a Python function, not <"),
    "a property": (property(lambda self: tracing), "decorate the function inside it"),
    "a cached property": (functools.cached_property(lambda self: tracing), "decorate the function inside it"),
    "a partial": (functools.partial(plain), "decorates a Python function, not functools.partial"),
    "a built-in": (len, "decorates a Python function, not <built-in function len>"),
    "a number": (3, "decorates a Python function, not 3"),
    "a cache": (functools.cache(plain), "decorate the function inside it"),
    "a snapshot": (decorated, "is one already"),
    "a class method over one": (classmethod(decorated), "is one already"),
    "a bound method": (Callable().__call__, "decorates a Python function, not <bound method"),
    "a gate": (static_gate(tracing)(plain), "put static_gate over the snapshot, not under it"),
    "a switch": (static_switch(tracing, to=len)(plain), "put static_switch over the snapshot, not under it"),
    "a static call": (StaticCall(plain), "decorates a Python function, not <StaticCall"),
    "a wrapper": (functools.wraps(plain)(lambda: plain(1)), "plain tests no key, and wraps .*plain, which does; dec"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_function(what):
    target, message = WRONG[what]
    with nothing_made(), pytest.raises(DecorationError, match=message):
        snapshot(target)


def in_a_class_body():
    class Made:
        if tracing:
            found = True

    return Made


def binds_it_itself():
    global tracing
    tracing = tracing
    return 1 if tracing else 0


def negates(x):
    if tracing:
        return x
    return [not tracing, x]


def keeps_the_key(x):
    debug = tracing and x
    return debug


def keeps_the_key_too(x):
    return [tracing or x]


REFUSED = {
    in_a_class_body: r"Made, .*: the test of tracing cannot be kept for a call: a class's body may find another",
    binds_it_itself: "the test of tracing cannot be kept for a call: the function itself binds that name",
    negates: "tracing' for key, the value of `not key` would change during a call; write a conditional expression",
    keeps_the_key: "tracing' for key, the value of `key and ..., key or ...` would change during a call; write a cond",
    keeps_the_key_too: "would change during a call",
}


@pytest.mark.parametrize("function", REFUSED)
def test_a_test_that_must_stay_is_refused(function):
    line = function.__code__.co_firstlineno
    with nothing_made(), pytest.raises(DecorationError, match=REFUSED[function]) as caught:
        snapshot(function)
    at = int(str(caught.value).split(f"{__file__}:")[1].split(":")[0])
    assert line < at < line + 5


def test_a_value_with_a_live_site_is_refused():
    function = types.FunctionType(keeps_the_key.__code__.replace(), globals())
    static_branches(function)
    assert [entry.kind for entry in tracing.entries if "keeps_the_key" in entry.owner] == ["branch"]
    with nothing_made(), pytest.raises(DecorationError, match="would change during a call"):
        snapshot(function)


def test_no_room_for_a_site_is_refused(key):
    """The test leads too far for its room, or is on two lines, depending on the version."""
    space = {"key": key}
    source = "def f(x):\n    return [y\n        for y in x\n        if key\n        and y]\n"
    exec(compile(source, "<lines>", "exec"), space)
    before = static_branches(types.FunctionType(space["f"].__code__, space))
    if key.entries:
        assert snapshot(space["f"])([1]) == before([1])
        return
    with nothing_made(), pytest.raises(DecorationError, match=r"<lines>:4: .* cannot be kept for a call: it is on sev"):
        snapshot(space["f"])


def test_bytecode_that_is_not_known(monkeypatch):
    monkeypatch.setattr("jumplabel._bytecode.plan_sites.KNOWN", False)
    function = types.FunctionType(plain.__code__.replace(), plain.__globals__)
    with nothing_made(), pytest.raises(DecorationError, match=r"the bytecode of Python 3.\d+ is not known"):
        snapshot(function)
    assert snapshot(copy.copy) is copy.copy
