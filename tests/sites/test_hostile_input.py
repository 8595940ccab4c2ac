"""Every public callable is given things of every sort: a clear exception or the right answer, and nothing changes.

test_keys.py, test_bad_input.py and test_branches.py have the messages of particular mistakes.
"""

import contextlib
import functools
import gc
import inspect
import types
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from site_checks import echo

import jumplabel
from jumplabel import JumpLabelError, StaticKey, StaticKeyError, static_branches, static_gate, static_switch
from jumplabel._keys.toggles import callbacks
from jumplabel._process.settings import CHOICES, configure


class Strange:
    """Refuses each operation that an object can refuse, one at a time."""

    def __init__(self, refused):
        self.refused = refused

    def __getattribute__(self, name):
        if name == object.__getattribute__(self, "refused"):
            raise RuntimeError(f"no {name}")
        return object.__getattribute__(self, name)


def strange(refused):
    def refuse(self, *args, **kwargs):
        raise RuntimeError(f"no {refused}")

    return type("Strange", (Strange,), {refused: refuse})(refused)


REFUSED = ["__call__", "__wrapped__", "__dict__", "__code__", "__class__", "__eq__", "__hash__", "__bool__", "__repr__"]
REFUSED += ["__name__", "__module__", "__get__", "__func__", "__len__", "__index__", "__str__"]

NAMES = st.one_of(
    st.text(st.characters(), max_size=20),  # with surrogates
    st.sampled_from(["", "\0", "a\0b", "\ud800", "a" * 100_000, "é" * 10_000, "%s%n{}", "\n\r\x1b[0m", "\U0010ffff"]),
)
NUMBERS = st.sampled_from([0, 1, -1, 2**31, 2**63, 2**64, -(2**63), 10**30, 1.5, float("nan"), float("inf"), 1j, True])
THINGS = st.one_of(
    NAMES,
    NUMBERS,
    st.binary(max_size=5),
    st.sampled_from([None, ..., NotImplemented, int, type, abs, len, echo, [], {}, (), object(), types, jumplabel]),
    st.sampled_from(
        [StaticKey, StaticKey.enable, property(), classmethod(int), staticmethod(7), types.SimpleNamespace()]
    ),
    st.sampled_from(
        [functools.partial(echo), types.MethodType(echo, 1), memoryview(b""), (i for i in ()), echo.__code__]
    ),
    st.sampled_from(REFUSED).map(strange),
)
ONE = st.tuples(THINGS)
"""Hypothesis itself looks at what it gives, and the class of some is refused."""
CLEAR = (TypeError, ValueError, JumpLabelError)
MODULE = [name for name in jumplabel.__all__ if callable(getattr(jumplabel, name))]
MODULE = [name for name in MODULE if name not in ("likely", "unlikely", "Info", "JumpEntry")]


@pytest.fixture(autouse=True)
def _nothing_is_left_of_other_tests():
    """Garbage of earlier tests would go some time later, and look like a change."""
    gc.collect()


def state():
    keys = [(key.name, key.count, key.enabled) for key in jumplabel.keys()]
    return jumplabel.jump_table(), keys, jumplabel.info()


def sites_and_keys():
    return state()[:2]


def assert_unchanged(before, look=state):
    if look() != before:
        gc.collect()
        assert look() == before


def given_arguments(function):
    @given(st.lists(ONE, max_size=4), st.dictionaries(NAMES | st.sampled_from(WORDS), ONE, max_size=2))
    def with_arguments(args, kwargs):
        function([thing for (thing,) in args], {name: thing for name, (thing,) in kwargs.items()})

    return with_arguments


WORDS = ["name", "default", "key", "to", "strict", "target", "enabled"]


def attempt(function, *args, **kwargs):
    """What it returns, or the clear exception that it raises; a strange argument may raise one of its own."""
    try:
        return function(*args, **kwargs)
    except CLEAR as error:
        assert str(error)
        return error
    except RuntimeError as error:
        assert str(error).startswith("no __")
        return error


def test_everything_public_is_tried():
    tried = {*MODULE, "Info", "JumpEntry", "likely", "unlikely"}
    assert tried == set(jumplabel.__all__)


@pytest.mark.parametrize("name", [name for name in MODULE if not name.endswith(("Error", "Warning"))])
def test_functions_of_the_module(name):
    @given_arguments
    def check(args, kwargs):
        function = getattr(jumplabel, name)
        before = state()
        made = attempt(function, *args, **kwargs)
        if hasattr(made, "__enter__"):
            with made:
                pass
        if isinstance(made, types.FunctionType) and name in ("static_gate", "static_switch", "static_branches"):
            made = attempt(made, *args)
        if isinstance(made, StaticKey) and name == "StaticKey":
            assert made.name in args or made.name in kwargs.values()
            assert jumplabel.key(made.name) is made and not made.entries
        del made
        for callback in list(callbacks):
            jumplabel.off_toggle(callback)
        assert_unchanged(before)

    check()


@pytest.mark.parametrize("decorator", ["gate", "switch", "switch to", "branches"])
def test_decorated_things(key, decorator):
    @given(ONE)
    def check(one):
        (thing,) = one
        before = sites_and_keys()
        if decorator == "gate":
            made = attempt(static_gate(key, default=thing), thing)
            if not isinstance(made, Exception):
                assert isinstance(made, classmethod | staticmethod) or made() is thing
        elif decorator == "switch":
            made = attempt(static_switch(key, to=echo), thing)
        elif decorator == "switch to":
            made = attempt(lambda: static_switch(key, to=thing)(echo))
            if not isinstance(made, Exception):
                assert made(1) == echo(1)
        else:
            made = attempt(static_branches, thing)
        if not isinstance(made, Exception):
            key.enable()
            attempt(repr, made)
            attempt(inspect.signature, made)
            key.disable()
        del made
        assert_unchanged(before, sites_and_keys)

    check()


METHODS = [
    "enable",
    "disable",
    "inc",
    "dec",
    "override",
    "__init__",
    "__bool__",
    "__repr__",
    "__reduce__",
    "__setattr__",
]


@pytest.mark.parametrize("method", METHODS)
def test_methods_of_a_key(key, method):
    @given_arguments
    def check(args, kwargs):
        """Call it without arguments, too, which may be right."""
        made = attempt(getattr(key, method), *args, **kwargs)
        if hasattr(made, "__enter__"):
            attempt(made.__enter__)
            if key.enabled:
                made.__exit__(None, None, None)
        if method in ("enable", "inc") and key.count:
            key.dec()
        assert (key.count, key.enabled, key.entries) == (0, False, ())

    check()


@given(ONE)
def test_methods_of_what_is_no_key(one):
    (thing,) = one
    before = state()
    for method in ("enable", "disable", "inc", "dec", "__bool__", "__init__"):
        with contextlib.suppress(AttributeError):  # as of any method that is given another self
            attempt(getattr(StaticKey, method), thing)
    assert_unchanged(before)


def test_a_key_that_was_never_made_is_refused_everywhere():
    """A subclass, object.__reduce_ex__ or __new__ did not call its __init__."""
    key = StaticKey.__new__(StaticKey)
    before = state()
    for what in ("enable", "disable", "inc", "dec", "__bool__", "__repr__", "__reduce__"):
        with pytest.raises((AttributeError, StaticKeyError)):
            getattr(key, what)()
    for what in ("enabled", "count", "entries", "name"):
        with pytest.raises((AttributeError, StaticKeyError)):
            getattr(key, what)
    for decorate in (static_gate(key), static_switch(key, to=echo)):
        with pytest.raises((AttributeError, JumpLabelError)):
            decorate(echo)
    space = {"key": key}
    exec("def function():\n    return 1 if key else 2", space)
    code = space["function"].__code__
    assert static_branches(space["function"]).__code__ is code
    assert_unchanged(before)


@given(NAMES)
def test_names(name):
    before = sites_and_keys()
    made = attempt(StaticKey, name)
    if isinstance(made, StaticKey):
        gate = static_gate(made)(echo)
        assert jumplabel.key(name) is made and [entry.key for entry in made.entries] == [name]
        assert [entry.key for entry in jumplabel.jump_table() if entry.key == name] == [name]
        assert name in {key.name for key in jumplabel.keys()} and repr(name) in repr(made)
        del gate
    else:
        assert isinstance(made, StaticKeyError) and (
            not name
            or name != name.strip()
            or len(name) > 300
            or any(c in "\0*?,!" or "\ud800" <= c <= "\udfff" for c in name)
        )
    del made
    assert_unchanged(before, sites_and_keys)


@given(st.dictionaries(st.sampled_from(["JUMPLABEL_NATIVE", "JUMPLABEL_SYNC", "JUMPLABEL_SYNCS"]), NAMES, min_size=1))
def test_settings_of_any_text(environment):
    before = state()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        configure(environment)
    assert len(told) == sum(text not in CHOICES[name] for name, text in environment.items())
    configure()
    assert_unchanged(before)
