"""Compares what a gate gives while it is off with what a function gives that returns the default at once."""

import itertools
import sys
import warnings

THROWN = [
    lambda: (ValueError("thrown"),),
    lambda: (GeneratorExit(),),
    lambda: (StopAsyncIteration(),),
    lambda: (ValueError,),
    lambda: (ValueError, "value"),
    lambda: (ValueError, ValueError("instance")),
    lambda: (ValueError, ("two", "values"), None),
    lambda: (ValueError("thrown"), None, None),
    lambda: (),
    lambda: (ValueError, None, None, None),
]
if sys.version_info >= (3, 12):  # before, it became a RuntimeError although the function had not begun
    THROWN.append(lambda: (StopIteration("thrown"),))

NOT_EXCEPTIONS = [
    lambda: (ValueError("thrown"), "value"),
    lambda: (ValueError, None, "no traceback"),
    lambda: (7,),
    lambda: (int,),
]


def throwing(thrown):
    return [(lambda it, each=each: it.throw(*each())) for each in thrown]


OPERATIONS = [lambda it: it.send(None), lambda it: it.send(7), lambda it: it.close(), *throwing(THROWN)]
MISTAKES = throwing(NOT_EXCEPTIONS)


def outcome(function, *args):
    """Return what the operation returned or raised, in words."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # throw() with more than one argument
            return "returned", function(*args)
    except BaseException as error:
        return "raised", type(error), error.args, getattr(error, "value", None), error.__cause__


def compare(real, gate, *more, operations=OPERATIONS, length=3):
    """Check that both do the same under each sequence of operations."""
    for sequence in itertools.product([*operations, *more], repeat=length):
        expected, actual = real(), gate()
        wanted = [outcome(operation, expected) for operation in sequence]
        got = [outcome(operation, actual) for operation in sequence]
        assert got == wanted
        getattr(expected, "close", bool)()  # or it warns that it was never awaited


def after(awaitable):
    """Return what it returns at once, or None if it waits for something."""
    try:
        awaitable.send(None)
    except StopIteration as stopped:
        return stopped.value
    awaitable.close()
    return None
