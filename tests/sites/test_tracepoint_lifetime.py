"""Tracepoints over time: what keeps what alive, and several threads at once."""

import functools
import gc
import signal
import sys
import threading
import types
import weakref

import pytest
from interrupting import interrupted
from probes import Oops, called, holds
from site_checks import in_thread

import jumplabel
from jumplabel import StaticKeyError, Tracepoint, TracepointError, static_gate

# ---- what keeps what ----


class Thing:
    def __call__(self, *args, **kwargs):
        pass


def test_it_keeps_its_probes_and_lets_them_go(point):
    references = []
    for _ in range(3):
        probe = Thing()
        references.append(weakref.ref(probe))
        assert point.register(probe) is probe
    del probe
    point()
    for n, reference in enumerate(references):
        assert all(each() for each in references[n:])
        point.unregister(reference())
        assert reference() is None


def test_references_are_counted_exactly(point):
    probes, argument = [Thing(), Thing(), Thing()], object()
    counted = [point, argument, *probes]
    before = [sys.getrefcount(each) for each in counted]
    for _ in range(50):
        for probe in probes:
            point.register(probe)
            for _ in range(10):
                point(argument, keyword=argument)
            assert len(point.probes) > 0
        for probe in probes:
            point.unregister(probe)
    del probe
    assert [sys.getrefcount(each) for each in counted] == before


def test_slots_of_targets_are_used_again(point, probes):
    point.register(probes[0])
    before = jumplabel.info().arena_bytes
    for _ in range(before // 64 + 100):  # more than there are slots
        point.register(probes[1])
        point.unregister(probes[1])
    assert jumplabel.info().arena_bytes == before


def test_a_tracepoint_that_goes_takes_all_with_it(request):
    point, probe = Tracepoint(request.node.nodeid), Thing()
    point.register(probe)
    address, reference, gone = point.__site__(), weakref.ref(point), weakref.ref(probe)
    del point, probe
    assert reference() is None and gone() is None
    assert address not in [entry.address for entry in jumplabel.jump_table()]
    Tracepoint(request.node.nodeid)


def test_a_key_that_outlives_its_tracepoint_is_off(request):
    """It could not be turned off any more."""
    point = Tracepoint(request.node.nodeid)
    key, gate = point.enabled, static_gate(point.enabled, default="off")(lambda: "on")
    point.register(print)
    assert gate() == "on"
    del point
    assert (gate(), key.enabled, key.count) == ("off", False, 0) and [entry.kind for entry in key.entries] == ["gate"]


def cycle_through_method(point):
    thing = Thing()
    thing.point = point
    point.register(types.MethodType(lambda self: None, thing))
    return weakref.ref(thing)


def cycle_through_closure(point):
    def probe():
        point()

    point.register(probe)
    return weakref.ref(probe)


def cycle_through_dict(point):
    point.me = [point]
    return weakref.ref(point)


def cycle_through_its_key(point):
    thing = Thing()
    thing.key, thing.point = point.enabled, point
    point.register(thing)
    point.register(print)
    return weakref.ref(thing)


@pytest.mark.parametrize(
    "make", [cycle_through_method, cycle_through_closure, cycle_through_dict, cycle_through_its_key]
)
def test_cycles_are_collected(request, make):
    point = Tracepoint(request.node.nodeid)
    reference = make(point)
    gc.collect()
    assert reference() is not None
    del point
    gc.collect()
    assert reference() is None
    with pytest.raises(StaticKeyError):
        jumplabel.key(request.node.nodeid)


@pytest.mark.parametrize("others", [0, 2])
def test_a_probe_that_is_unregistered_while_it_runs(point, reported, others):
    """Forced: it is in the middle of a call when it goes. That call needs it to the end, and lets it go then."""
    entered, leave = threading.Event(), threading.Event()

    def wait():
        entered.set()
        leave.wait()
        raise Oops

    probe = functools.partial(wait)  # its frame, unlike a function's, holds nothing
    later = [lambda: after.append(1) for _ in range(others)]
    after, reference = [], weakref.ref(probe)
    for each in (probe, *later):
        point.register(each)
    thread = threading.Thread(target=point)
    thread.start()
    entered.wait()
    for each in (probe, *later):
        point.unregister(each)
    del probe, each
    gc.collect()
    assert reference() is not None and point.probes == ()
    assert point() is None and after == []
    leave.set()
    thread.join()
    assert len(after) == others
    assert reported.pop()[0] is reference()
    assert reference() is None


# ---- several at once ----


class Meddler:
    """A probe that does something when it is compared: between the look at the probes and the change of them."""

    __hash__ = None

    def __init__(self, *actions):
        self.actions = list(actions)

    def __eq__(self, other):
        if self.actions:
            self.actions.pop(0)()
        return self is other

    def __call__(self):
        pass


def in_another_thread(function):
    return lambda: in_thread(function)


def in_a_handler(function):
    """Have the handler of a signal call the function here."""

    def raise_signal():
        before = signal.signal(signal.SIGUSR1, lambda number, frame: function())
        try:
            signal.raise_signal(signal.SIGUSR1)
        finally:
            signal.signal(signal.SIGUSR1, before)

    return raise_signal


@pytest.mark.parametrize("elsewhere", [in_another_thread, in_a_handler])
def test_the_slower_thread_loses_nothing(point, probes, seen, elsewhere):
    """Forced: while one thread looks whether its probe is there already, others come and go."""
    register, unregister = point.register, point.unregister
    meddler = Meddler(elsewhere(lambda: register(probes[0])), elsewhere(lambda: register(probes[1])))
    register(meddler)
    register(probes[2])
    assert point.probes == (meddler, probes[1], probes[0], probes[2])  # the first to begin came last
    assert called(point, seen) == [1, 0, 2]
    meddler.actions += [elsewhere(lambda: unregister(probes[0])), elsewhere(lambda: register(probes[3]))]
    unregister(probes[1])
    assert point.probes == (meddler, probes[2], probes[3]) and meddler.actions == []
    meddler.actions += [elsewhere(lambda: unregister(probes[2]))]
    with pytest.raises(TracepointError):
        unregister(probes[2])
    meddler.actions += [elsewhere(lambda: register(probes[1]))]
    with pytest.raises(TracepointError):
        register(probes[1])
    assert called(point, seen) == [3, 1]


@pytest.mark.usefixtures("reported")
def test_a_signal_handler_that_raises_leaves_it_done_or_not(request, probes, seen):
    """It raises at each point of each operation (interrupting.py). A weak reference's callback reports it."""
    for n in range(1000):
        struck = interrupted(n, lambda: Tracepoint(request.node.nodeid))
        assert request.node.nodeid not in [entry.key for entry in jumplabel.jump_table()]
        if not struck:
            break
    assert n > 3
    point = Tracepoint(request.node.nodeid)
    for change, before, after in (
        (lambda: point.register(probes[0]), [], [0]),
        (lambda: point.register(probes[1]), [0], [0, 1]),
        (lambda: point.unregister(probes[0]), [0, 1], [1]),
        (lambda: point.unregister(probes[1]), [1], []),
    ):
        for n in range(1000):
            struck = interrupted(n, change)
            now = called(point, seen)
            holds(point, [probes[each] for each in now])
            if now == after:
                break
            assert struck and now == before
        assert n > 3


@pytest.mark.stress
def test_calls_see_probes_that_there_were_while_they_ran(point, stress_seconds):
    """Calls come from Python and from C without pause while another thread registers and unregisters without pause."""

    def probe(n):
        return lambda seen: seen.append(n)

    probes = [probe(n) for n in range(3)]
    sets = [(), (0,), (0, 1), (0, 1, 2), (1, 2), (2,), (2, 0), (2,)]
    begun = done = calls = 0
    wrong = []
    stop = threading.Event()

    def change():
        nonlocal begun, done
        while not stop.wait(1e-5):
            begun += 1
            wanted = sets[begun % len(sets)]
            for each in set(sets[done % len(sets)]) ^ set(wanted):
                (point.register if each in wanted else point.unregister)(probes[each])
            done += 1

    def call(number):
        nonlocal calls
        while not stop.is_set():
            first = done
            lists = [[] for _ in range(number)]
            point(lists[0]) if number == 1 else [None for _ in map(point, lists)]
            allowed = {sets[n % len(sets)] for n in range(first, begun + 1)}
            wrong.extend(each for each in lists if tuple(each) not in allowed)
            calls += 1

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    threads = [threading.Thread(target=change), *(threading.Thread(target=call, args=(n,)) for n in (1, 1, 7))]
    for thread in threads:
        thread.start()
    stop.wait(min(stress_seconds, 3) / 2)
    stop.set()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)
    assert wrong == [] and calls > 0 and done > len(sets)
