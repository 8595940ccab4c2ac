"""To decorate a function runs none of the program's code: looking at what others have made of it calls nothing."""

import functools
import os
import subprocess
import sys
import types

import pytest
import wrapt

from jumplabel import static_branches


class Slotted:
    __slots__ = ("__wrapped__",)

    def __init__(self, function):
        self.__wrapped__ = function

    def __call__(self, *args):
        return self.__wrapped__(*args)


class Meta(type):
    def __getattribute__(cls, name):
        pytest.fail(f"{name} was asked for")


def test_what_decides_about_its_attributes_is_not_asked(key):
    def function(self=None):
        return "on" if key else "off"

    class Property(property):
        fget = fset = fdel = property(lambda self: pytest.fail("was run"))

    class Partial(functools.partial):
        func = property(lambda self: pytest.fail("was run"))

    class Method(functools.partialmethod):
        def __getattribute__(self, name):
            pytest.fail(f"{name} was asked for")

    class Liar:
        __class__ = property(lambda self: pytest.fail("was run"))
        __dict__ = property(lambda self: pytest.fail("was run"))
        __wrapped__ = property(lambda self: pytest.fail("was run"))

    class View(dict):
        def values(self):
            pytest.fail("was run")

    def dispatcher():
        pass

    dispatcher.registry = types.MappingProxyType(View(a=function))
    space = {
        "prop": Property(function),
        "partial": Partial(function),
        "half": Method(function, 1),
        "liar": Liar(),
        "lazy": wrapt.LazyObjectProxy(lambda: pytest.fail("was run")),
        "empty": wrapt.ObjectProxy.__new__(wrapt.ObjectProxy),
        "empty_slot": Slotted.__new__(Slotted),
        "meta": Meta("Inner", (), {"method": function}),
        "dispatcher": dispatcher,
        "no_module": type("Inner", (), {"__module__": 1}),
    }
    cart = type("Cart", (), space)
    static_branches(cart, strict=True)
    assert len(key.entries) == 1


def test_a_class_whose_metaclass_decides(key):
    space = {"key": key, "Meta": Meta, "__name__": "built"}
    exec("class Cart(metaclass=Meta):\n    def sell(self): return 'on' if key else 'off'", space)
    static_branches(space["Cart"], strict=True)
    assert len(key.entries) == 1


def test_wrapt_without_its_module_in_c():
    script = """
import wrapt
from jumplabel import StaticKey, static_branches
key = StaticKey("shop.tracing")
@wrapt.decorator
def passes(wrapped, instance, args, kwargs):
    return wrapped(*args, **kwargs)
assert type(wrapt.ObjectProxy) is not type
@static_branches(strict=True)
class Cart:
    @passes
    def sell(self):
        return 1 if key else 2
    @passes
    @classmethod
    def buy(cls):
        return 1 if key else 2
@static_branches
@passes
def function():
    return 1 if key else 2
assert len(key.entries) == 3, key.entries
key.enable()
assert (Cart().sell(), Cart.buy(), function()) == (1, 1, 1)
"""
    environment = {**os.environ, "WRAPT_DISABLE_EXTENSIONS": "true"}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
