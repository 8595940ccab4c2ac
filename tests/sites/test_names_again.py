"""Names that stand for something else, in code that is read, decorated or copied once more."""

import logging
from unittest import mock

import pytest
from packages import Packages
from places import run

import jumplabel
from jumplabel import StaticKey
from jumplabel._bytecode.find_tests import read
from jumplabel._program import name_watch

watched = pytest.mark.skipif(not name_watch.HEARS_ALL, reason="no watchers of dicts before CPython 3.12")

FUNCTION = """
tracing = StaticKey({name!r})

@static_branches
def state():
    if tracing:
        return "on"
    return "off"

@static_branches
def hinted():
    if likely(tracing):
        return "on"
    return "off"

def make():
    @static_branches
    def made():
        return "on" if tracing else "off"
    return made
"""


@pytest.fixture
def shop(request):
    """The variables of a module with such a function."""
    return run(FUNCTION.format(name=request.node.name))


@pytest.mark.parametrize("function", ["state", "hinted"])
def test_a_site_is_not_read_as_another_test(shop, function):
    """The room behind it has an ordinary test, for while the name stands for something else."""
    assert read(shop[function].__code__).tests == []


@watched
def test_functions_with_the_same_code_are_watched_once(shop):
    made = [shop["make"]() for _ in range(3)]
    assert len({id(function.__code__) for function in made}) == 1
    followed = name_watch.followed(id(made[0].__code__))
    assert followed is not None and len(followed[1]) == 2  # its variables and builtins, once
    with mock.patch.dict(shop, tracing=True):
        assert [function() for function in made] == ["on"] * 3
    assert [function() for function in made] == ["off"] * 3


def test_a_logger_in_a_closure_and_a_key_in_one_function(packages: Packages, request):
    """Each logger has code of its own, a copy with the sites for keys, also where the code around it keeps the key."""
    jumplabel.install("shop")
    key = StaticKey(request.node.name)
    with mock.patch.object(logging, "shop_key", key, create=True):
        shop = packages.load("shop", CLOSURES)
    name = f"{request.node.name} logger"
    functions = [shop.first, shop.make(logging.getLogger(name)), shop.make(logging.getLogger(f"{name} 2"))]
    names = [one.name for one in jumplabel.keys()]
    for logger in "shop first", name, f"{name} 2":
        assert f"logging.({logger}).debug" in names
    for function in functions:
        assert function() == "off"
        key.enable()
        assert function() == "on"
        key.disable()
        assert function() == "off"
        if not name_watch.HEARS_ALL:
            continue
        with mock.patch.object(shop, "tracing", True):
            assert function() == "on"
        assert function() == "off"


CLOSURES = """
import logging
from logging import shop_key as tracing

def make(logger):
    def state():
        logger.debug("asked")
        if tracing:
            return "on"
        return "off"
    return state

first = make(logging.getLogger("shop first"))
"""
