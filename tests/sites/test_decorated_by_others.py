"""``@static_branches`` over and under other packages' decorators."""

import contextlib
import dataclasses
import functools
import gc
import sys
import types
import typing

import attrs
import pytest
import wrapt
from site_checks import nothing_made, off_on_off

from jumplabel import DecorationError, static_branches


@wrapt.decorator
def passes(wrapped, instance, args, kwargs):
    return wrapped(*args, **kwargs)


class Counted(wrapt.FunctionWrapper):
    """A wrapper in Python, of a type in C."""

    def __init__(self, wrapped):
        super().__init__(wrapped, self.count)

    def count(self, wrapped, instance, args, kwargs):
        return wrapped(*args, **kwargs)


def wraps(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


class Slotted:
    __slots__ = ("__wrapped__",)

    def __init__(self, function):
        self.__wrapped__ = function

    def __call__(self, *args):
        return self.__wrapped__(*args)


class WithDict(Slotted):
    __slots__ = ("__dict__",)


class ByAttribute:
    """Its own attributes are for the program only."""

    def __init__(self, function):
        object.__getattribute__(self, "__dict__")["__wrapped__"] = function

    def __call__(self, *args):
        return object.__getattribute__(self, "__wrapped__")(*args)

    def __getattribute__(self, name):
        pytest.fail(f"{name} was asked for")


WRAPPERS = {
    "wrapt.decorator": passes,
    "wrapt.decorator twice": lambda function: passes(passes(function)),
    "wrapt over wraps": lambda function: passes(wraps(function)),
    "wraps over wrapt": lambda function: wraps(passes(function)),
    "wrapt.synchronized": wrapt.synchronized,
    "wrapt.FunctionWrapper of one's own": Counted,
    "wrapt.CallableObjectProxy": wrapt.CallableObjectProxy,
    "wrapt over lru_cache": lambda function: passes(functools.lru_cache(function)),
    "lru_cache over wrapt": lambda function: functools.lru_cache(passes(function)),
    "wraps over wraps": lambda function: wraps(wraps(function)),
    "cache": functools.cache,
    "partial": functools.partial,
    "partial of wrapt": lambda function: functools.partial(passes(function)),
    "singledispatch": functools.singledispatch,
    "slot": Slotted,
    "slot and dict": WithDict,
    "instance": ByAttribute,
}


@pytest.mark.parametrize("how", WRAPPERS)
def test_over_a_wrapper(how, key):
    def function(x=1):
        return "on" if key else "off"

    wrapped = WRAPPERS[how](function)
    assert static_branches(wrapped) is wrapped
    assert len(key.entries) == 1
    for enabled in off_on_off(key):
        if "cache" in how:
            assert function() == ("on" if enabled else "off")
        else:
            assert wrapped(1) == ("on" if enabled else "off")


@pytest.mark.parametrize("how", WRAPPERS)
def test_under_a_wrapper(how, key):
    @static_branches(strict=True)
    def function(x=1):
        return "on" if key else "off"

    wrapped = WRAPPERS[how](function)
    assert len(key.entries) == 1
    static_branches(wrapped)
    assert len(key.entries) == 1
    for enabled in off_on_off(key):
        assert function() == ("on" if enabled else "off")
        assert "cache" in how or wrapped(1) == function()


def test_strict_refuses_below_a_wrapper(key):
    @passes
    def function(x):
        return 1 if x.key else 2

    with nothing_made(), pytest.raises(DecorationError, match=r"x\.key"):
        static_branches(strict=True)(function)


CALLED = ["by_wrapt", "class_over", "class_under", "static_over", "static_under", "locked", "prop", "plain"]


def test_a_class_with_wrapped_methods(key):
    @static_branches(strict=True)
    class Cart:
        @passes
        def by_wrapt(self):
            return "on" if key else "off"

        @passes
        @classmethod
        def class_over(cls):
            return "on" if key else "off"

        @classmethod
        @passes
        def class_under(cls):
            return "on" if key else "off"

        @passes
        @staticmethod
        def static_over():
            return "on" if key else "off"

        @staticmethod
        @passes
        def static_under():
            return "on" if key else "off"

        @wrapt.synchronized
        def locked(self):
            return "on" if key else "off"

        @property
        @passes
        def prop(self):
            return "on" if key else "off"

        @contextlib.contextmanager
        @passes
        def manager(self):
            yield "on" if key else "off"

        def plain(self, x=1):
            return "on" if key else "off"

        half = functools.partialmethod(passes(plain), 1)

        @functools.singledispatchmethod
        def kind(self, x):
            return "on" if key else "off"

        @kind.register
        def _(self, x: int):
            return "int on" if key else "int off"

        @kind.register
        def _(self, x: str):
            return "str on" if key else "str off"

    assert len(key.entries) == 12
    cart = Cart()
    for enabled in off_on_off(key):
        state = "on" if enabled else "off"
        values = [value() if callable(value) else value for value in (getattr(cart, name) for name in CALLED)]
        assert {*values, cart.half()} == {state}
        assert [cart.kind(x) for x in (1.0, 1, "")] == [state, f"int {state}", f"str {state}"]
        with cart.manager() as value:
            assert value == state


def test_strict_asks_what_is_below_a_wrapper_in_a_class(key):
    class Cart:
        @passes
        def sell(self):
            return 1 if self.key else 2

    with nothing_made(), pytest.raises(DecorationError, match=r"Cart\.sell.*self\.key"):
        static_branches(strict=True)(Cart)


def test_strict_asks_the_own_code_of_a_wrapped_class(key):
    @static_branches(strict=True)
    @passes
    class Shown(typing.Protocol):  # which has functions of typing's
        def shown(self):
            return "on" if key else "off"

    assert len(key.entries) == 1
    for enabled in off_on_off(key):
        assert Shown.shown(None) == ("on" if enabled else "off")

    @passes
    class Refused(typing.Protocol):
        def shown(self):
            return 1 if self.key else 2

    with pytest.raises(DecorationError, match=r"Refused\.shown.*self\.key"):
        static_branches(strict=True)(Refused)


def test_wrappers_that_wrap_each_other_end(key):
    one, other = Slotted(None), Slotted(None)
    one.__wrapped__, other.__wrapped__ = other, one
    with nothing_made(), pytest.raises(DecorationError, match="decorates a Python function or a class, not"):
        static_branches(one, strict=True)


def bare(function):
    return lambda *args: function(*args)


def with_a_default(function):
    return lambda *args, _function=function: _function(*args)


def by_attribute(function):
    def wrapper(*args):
        return wrapper.original(*args)

    wrapper.original = function
    return wrapper


class Held:
    """A decorator that keeps the function under a name of its own."""

    def __init__(self, function):
        self.function = function

    def __get__(self, instance, owner):
        return types.MethodType(self.function, instance)


class HeldInSlot(Held):
    __slots__ = ("function",)

    def __call__(self, *args):
        return self.function(*args)


class Lazy(Held):
    def __getattribute__(self, name):
        if sys._getframe(1).f_globals["__name__"].startswith("jumplabel"):
            pytest.fail(f"{name} was asked for")
        return object.__getattribute__(self, name)


NO_HINT = {
    "closure": bare,
    "closure in a closure": lambda function: bare(bare(function)),
    "default": with_a_default,
    "attribute of a function": by_attribute,
    "attribute": Held,
    "slot": HeldInSlot,
    "attribute that code decides about": Lazy,
    "closure over attribute": lambda function: bare(HeldInSlot(function)),
    "memory": lambda function: functools.lru_cache(bare(function)),
    "static": lambda function: staticmethod(bare(function)),
}


@pytest.mark.parametrize("how", NO_HINT)
def test_a_method_in_a_wrapper_that_does_not_say_what_it_wraps(how, key):
    wrap = NO_HINT[how]

    class Cart:
        def sell(self=None):
            return "on" if key else "off"

        sell = wrap(sell)
        table = dict.fromkeys(range(1000), 1)

    static_branches(strict=True)(Cart)
    assert len(key.entries) == 1
    if how != "memory":
        for enabled in off_on_off(key):
            assert Cart().sell() == ("on" if enabled else "off")

    class Refused:
        def sell(self):
            return 1 if self.key else 2

        sell = wrap(sell)

    with pytest.raises(DecorationError, match=r"Refused\.sell.*self\.key"):
        static_branches(strict=True)(Refused)


def test_looking_gives_functions_no_dictionary(key):
    def function():
        return 1 if key else 2

    class Cart:
        sell = bare(function)
        buy = function

    static_branches(Cart)
    for one in (function, Cart.sell):
        assert not [part for part in gc.get_referents(one) if part == {}]


def test_other_functions_in_a_closure_are_left_alone(key):
    def elsewhere():
        return 1 if key else 2

    def namesake():
        return 1 if key else 2

    namesake.__module__ = "elsewhere"
    namesake.__qualname__ = "test_other_functions_in_a_closure_are_left_alone.<locals>.Cart.buy"

    @static_branches
    class Cart:
        sell = bare(elsewhere)
        buy = bare(namesake)
        handler = Held(elsewhere)

    assert not key.entries


def test_implementations_of_a_single_dispatch(key):
    @functools.singledispatch
    def kind(x):
        return "on" if key else "off"

    @kind.register
    def _(x: int):
        return "int on" if key else "int off"

    static_branches(kind)
    assert len(key.entries) == 2
    for enabled in off_on_off(key):
        assert kind(1) == ("int on" if enabled else "int off")


@pytest.mark.parametrize("make", [attrs.define, attrs.frozen, dataclasses.dataclass(slots=True)])
@pytest.mark.parametrize("over", [True, False])
def test_a_class_that_is_made_again(make, over, key):
    class Point:
        x: int

        def show(self):
            return (self.x, __class__.__name__, "on" if key else "off")

    decorated = static_branches(strict=True)(make(Point)) if over else make(static_branches(strict=True)(Point))
    assert len(key.entries) == 1
    for enabled in off_on_off(key):
        assert decorated(1).show() == (1, "Point", "on" if enabled else "off")
