"""A signal handler raises at each point of every operation where one may: it has taken place, or it has not.

No batch or override stays open, no site is left over, and the keys can be toggled as before. interrupting.py raises;
of the long operations not every point is tried.
"""

import gc
import sys
import types

import pytest
from interrupting import interrupted, interrupted_in_a_thread
from site_checks import echo

import jumplabel
from jumplabel import StaticKey, StaticKeyError, batch, static_branches, static_gate, static_switch
from jumplabel._keys import registry
from jumplabel._loggers.log_keys import LogKey


def ups(key):
    with batch():
        key.inc()
        with batch():
            key.inc()
        key.inc()


def dropped_inside(key):
    with batch():
        key.inc()
        try:
            with batch():
                key.inc()
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass


def overridden(key):
    with key.override(True), key.override(False):
        key.inc()


def function(key):
    def function():
        return [1 for _ in "a" if key], key and 1

    return static_branches(function)


def class_of_two(key):
    class Thing:
        def one(self):
            return 1 if key else 2

        @classmethod
        def two(cls):
            return 1 if key else 2

    return static_branches(Thing)


def new_key(key):
    return StaticKey(f"{key.name} new")


log_keys = []


def new_log_key(key):
    log_keys.append(LogKey(f"{key.name} log", sys.modules[__name__], ("logger",), "debug"))


def second_key(key):
    with pytest.raises(StaticKeyError):
        StaticKey(key.name)


def refused(key):
    with pytest.raises(StaticKeyError), batch():
        key.inc()
        for _ in range(key.count + 2):
            key.dec()


OPERATIONS = {  # with the counts that the key may have afterwards, from 0
    StaticKey.enable: {0, 1},
    StaticKey.disable: {0},
    StaticKey.inc: {0, 1},
    ups: {0, 3},
    dropped_inside: {0, 1},
    overridden: {0, 1},
    refused: {0},
    new_key: {0},
    new_log_key: {0},
    second_key: {0},
    function: {0},
    class_of_two: {0},
    lambda key: static_gate(key)(echo): {0},
    lambda key: static_switch(key, to=echo)(echo): {0},
    lambda key: key.entries: {0},
    lambda key: repr(key): {0},
    lambda key: jumplabel.key(key.name): {0},
    lambda key: jumplabel.keys(): {0},
    lambda key: jumplabel.jump_table(): {0},
    lambda key: jumplabel.info(): {0},
}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__qualname__)
def test_an_operation_that_is_interrupted(key, operation):
    gate = static_gate(key, default="off")(lambda: "on")
    struck, n = True, 0
    while struck:
        struck = interrupted_in_a_thread(n, lambda: operation(key))
        n += 1 + n // 50
        assert registry.lock.acquire(False)
        registry.lock.release()
        assert key.count in OPERATIONS[operation]
        while key.count:
            key.dec()
        assert not key.enabled and gate() == "off"
        key.inc()
        assert key.enabled and gate() == "on"  # neither is a batch open, nor an override in force
        key.disable()
    log_keys.clear()
    gc.collect()
    assert len(key.entries) == 1
    with pytest.raises(StaticKeyError):
        jumplabel.key(f"{key.name} new")
    assert n > 2


def test_an_inner_batch_that_is_interrupted_leaves_the_outer_one_open(key, other_key):
    def inner():
        with batch():
            other_key.inc()

    struck, n = True, 0
    while struck:
        with batch():
            key.inc()
            struck = interrupted(n, inner)
            key.inc()
            assert (key.count, other_key.count) == (0, 0)
        assert key.count == 2 and other_key.count in (0, 1)
        key.dec()
        key.dec()
        other_key.disable()
        n += 1 + n // 50
    assert n > 10


SOURCE = """
def function():
    if key:
        return [1 for _ in "a" if key]
    return (lambda: key or 2)()
"""


def test_decorating_again_after_an_interruption(key, monkeypatch):
    """Nothing half made is kept for the next decoration of the same code."""
    monkeypatch.setattr("sys.unraisablehook", lambda _: None)  # a weak reference's callback may be interrupted too
    struck, n = True, 0
    while struck:
        space = {"key": key}
        exec(SOURCE, space)
        code = space["function"].__code__
        first, second = (types.FunctionType(code, space) for _ in range(2))
        struck = interrupted(n, lambda: static_branches(first))  # noqa: B023
        static_branches(second)
        for function in (first, second):
            key.enable()
            assert function() == [1]
            key.disable()
            assert function() == 2
        n += 1 + n // 50
    assert n > 100


def test_what_is_known_of_dead_code_is_not_taken_for_other_code(key, monkeypatch):
    """An interrupted callback has not said that a code object is gone, and another one gets its memory."""
    monkeypatch.setattr("sys.unraisablehook", lambda _: None)
    space = {"key": key}
    numbers, again = set(), 0
    for i in range(200):
        test = "key" if i % 2 else "not key"
        exec(f"def function():\n    if {test}: return {i}\n    return -{i}", space)
        function = space.pop("function")
        held = [function.__code__]
        again += id(held[0]) in numbers
        numbers.add(id(held[0]))
        static_branches(function)
        assert function() == (-i if i % 2 else i)
        del function
        interrupted(0, held.clear)
    assert again > 0
