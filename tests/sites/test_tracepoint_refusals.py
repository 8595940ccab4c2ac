"""What cannot be registered with a tracepoint, and what the error says."""

import functools
import gc

import pytest
from probes import Oops, called, holds
from site_checks import nothing_made

import jumplabel
from jumplabel import DecorationError, TracepointError


class Pair(tuple):
    """A probe that is a tuple, as a namedtuple with a __call__ is."""

    __slots__ = ()

    def __call__(self, seen):
        seen.append(tuple(self))


@pytest.mark.parametrize("probe", [None, 7, "print", classmethod(print)])
def test_a_probe_must_be_callable(point, probe):
    with nothing_made(), pytest.raises(DecorationError, match="must be callable, not"):
        point.register(probe)
    holds(point, ())


async def coroutine():
    pass


async def asynchronous():
    yield


def generator():
    yield


class Awaited:
    async def __call__(self):
        pass


@pytest.mark.parametrize(
    ("probe", "says"),
    [
        (coroutine, "a coroutine function"),
        (functools.partial(coroutine), "a coroutine function"),
        (Awaited(), "a coroutine function"),
        (asynchronous, "an async generator function"),
        (generator, "a generator function"),
    ],
)
def test_what_a_call_would_not_run_is_refused(point, probe, says):
    with nothing_made(), pytest.raises(DecorationError, match=f"{says}; a call would not run it"):
        point.register(probe)
    holds(point, ())


def test_a_probe_is_registered_once(point, probes, seen):
    for n in (1, 2):
        point.register(probes[n])
        with nothing_made(), pytest.raises(TracepointError, match="registered already; unregister"):
            point.register(probes[1])
    assert called(point, seen) == [1, 2]


def test_a_probe_that_is_not_registered(point, probes, seen):
    for n in (1, 2, 3):
        with nothing_made(), pytest.raises(TracepointError, match="is not registered"):
            point.unregister(probes[0])
        assert called(point, seen) == list(range(1, n))
        point.register(probes[n])
    assert issubclass(TracepointError, jumplabel.JumpLabelError) and issubclass(TracepointError, ValueError)


def test_bound_methods_are_found_by_equality(point):
    class Shop:
        def __init__(self):
            self.sold = []

        def sell(self, what):
            self.sold.append(what)

    one, other = Shop(), Shop()
    point.register(one.sell)
    point.register(other.sell)
    with pytest.raises(TracepointError):
        point.register(one.sell)
    gc.collect()
    point("book")
    point.unregister(one.sell)
    point("pen")
    assert (one.sold, other.sold) == (["book"], ["book", "pen"])


def test_equality_that_raises_changes_nothing(point, probes):
    class Odd:
        __hash__ = None

        def __eq__(self, other):
            raise Oops

        def __call__(self):
            pass

    odd = Odd()
    point.register(odd)
    for change in (point.register, point.unregister):
        with nothing_made(), pytest.raises(Oops):
            change(probes[0])
    point.unregister(odd)  # itself needs no asking
    holds(point, ())


def test_the_type_below_takes_tuples_only(point):
    for arguments in ((1, print, True), (1, Pair((print,)), True), (1, (print,), True, print)):
        with nothing_made(), pytest.raises(TypeError, match="a tuple of probes, or None"):
            point.__lead__(*arguments)
    holds(point, ())


def test_it_is_no_probe_of_itself(point):
    with pytest.raises(TracepointError, match="without end"):
        point.register(point)
    holds(point, ())
