"""How the jump table names the place that made a site which stands for no function."""

import ctypes
import queue
import sys
from _thread import start_new_thread
from functools import partial

import pytest

import jumplabel
from jumplabel import Tracepoint, native_branch

GETPID = ctypes.CDLL(None).getpid
MAKERS = {
    "tracepoint": lambda key: partial(Tracepoint, "shop.sold"),
    "native branch": lambda key: partial(native_branch, key, off=GETPID, on=GETPID),
}
makers = pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)


def owner(made):
    (entry,) = [entry for entry in jumplabel.jump_table() if entry.address == made.__site__()]
    return entry.owner


@makers
def test_a_function(key, maker):
    make = maker(key)
    made = make()
    assert owner(made) == f"{__name__}.test_a_function:{sys._getframe().f_lineno - 1}"


@makers
def test_a_method_and_a_lambda(key, maker):
    class Shop:
        def open(self, make):
            return (lambda: make())()

    made = Shop().open(maker(key))
    qualname = "test_a_method_and_a_lambda.<locals>.Shop.open.<locals>.<lambda>"
    assert owner(made) == f"{__name__}.{qualname}:{Shop.open.__code__.co_firstlineno + 1}"


@makers
@pytest.mark.parametrize(
    ("name", "shown"),
    [("shop", "shop:3"), ("shop \0 \udc80", r"shop \x00 \udc80:3"), ("", "?:3"), (None, "?:3"), (bytearray(), "?:3")],
)
def test_a_statement_of_a_module(key, maker, name, shown):
    names = {"__name__": name, "make": maker(key)}
    exec("\n\nmade = make()", names)
    assert owner(names["made"]) == shown


@makers
def test_a_thread_that_begins_with_it(key, maker):
    """No Python code is below it then."""
    answers = queue.SimpleQueue()
    # Written in C, all of them.
    start_new_thread(next, (map(answers.put, iter(maker(key), None)),))
    assert owner(answers.get(timeout=60)).startswith("jumplabel._sites.")
