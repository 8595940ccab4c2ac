"""A test that chooses what is called: up to 3.12 its first load also pushes the NULL that belongs to the call."""

import gc
import sys
from unittest import mock

import pytest

from jumplabel import DecorationError, StaticKey, static_branches

key = StaticKey("called_choices.key")
gone = StaticKey("called_choices.gone")


class Flags:
    key = key


def one(x):
    return "one", x


def two(x):
    return "two", x


FORMS = {
    "and, or": "(({key} and one) or two)({x})",
    "choice": "(one if {key} else two)({x})",
    "negated": "(one if not {key} else two)({x})",
    "two in an expression": "[(one if {key} else two)({x}), (two if {key} else one)({x})]",
    "nested": "(one if {key} else (two if {key} else one))({x})",
    "within arguments": "one((one if {key} else two)({x}))",
    "with keywords": "(one if {key} else two)(x={x})",
    "in a comprehension": "[(one if {key} else two)(i) for i in range(3)]",
}


def functions(form, where):
    """Return the function with the key, and with a plain variable in its place."""
    made = []
    for tested in where, "plain":
        source = f"def function(x):\n    return {FORMS[form].format(key=tested, x='x')}\n"
        space = {"key": key, "Flags": Flags, "one": one, "two": two}
        exec(compile(source, f"<{form}>", "exec", dont_inherit=True), space)
        made.append(space["function"])
    return made


@pytest.fixture(autouse=True)
def off_again():
    gc.collect()
    yield
    key.disable()


@pytest.mark.parametrize("where", ["key", "Flags.key"])
@pytest.mark.parametrize("form", FORMS)
def test_it_is_a_site(form, where):
    before = len(key.entries)
    function, plain = functions(form, where)
    function = static_branches(strict=True)(function)
    assert len(key.entries) - before == FORMS[form].count("{key}")
    with mock.patch.object(StaticKey, "__bool__", side_effect=AssertionError("asked")):
        for enabled in (False, True, False, True):
            key.enable() if enabled else key.disable()
            plain.__globals__["plain"] = enabled
            assert function(5) == plain(5)


@pytest.mark.parametrize("where", ["key", "Flags.key"])
@pytest.mark.parametrize("form", FORMS)
def test_a_snapshot_keeps_it(form, where):
    function, plain = functions(form, where)
    function = static_branches(snapshot=True, strict=True)(function)
    for enabled in (False, True, False):
        key.enable() if enabled else key.disable()
        plain.__globals__["plain"] = enabled
        assert function(5) == plain(5)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="on 3.11 no name is followed")
@pytest.mark.parametrize("form", FORMS)
def test_a_name_that_stands_for_something_else_decides(form):
    function, plain = functions(form, "key")
    function = static_branches(strict=True)(function)
    for value in (True, False, [], "x", gone):
        with mock.patch.dict(function.__globals__, key=value):
            plain.__globals__["plain"] = value
            assert function(5) == plain(5)
        plain.__globals__["plain"] = key.enabled
        assert function(5) == plain(5)


@pytest.mark.parametrize("enabled", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_a_tracer_sees_what_it_saw(form, enabled):
    function, plain = functions(form, "key")
    function = static_branches(strict=True)(function)
    key.enable() if enabled else key.disable()
    plain.__globals__["plain"] = enabled

    def events(function):
        seen = []

        def trace(frame, event, argument):
            seen.append((event, frame.f_lineno, frame.f_code.co_name))
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            function(5)
        finally:
            sys.settrace(before)
        return seen

    assert events(function) == events(plain)


def test_a_chosen_object_that_cannot_be_called_raises_as_before():
    space = {"key": key, "two": two}
    exec("def function(x):\n    return (None if key else two)(x)\n", space)
    function = static_branches(strict=True)(space["function"])
    assert function(1) == ("two", 1)
    key.enable()
    with pytest.raises(TypeError, match="'NoneType' object is not callable"):
        function(1)


def test_one_that_cannot_be_looked_up_is_refused_by_strict():
    class Flags:
        def __getattr__(self, name):
            return key

    space = {"flags": Flags(), "one": one, "two": two}
    exec("def function(x):\n    return (one if flags.key else two)(x)\n", space)
    with pytest.raises(DecorationError, match=r"the test of flags\.key cannot become a site"):
        static_branches(strict=True)(space["function"])
