"""Tracepoints over time: who keeps what alive, several threads at once, forks, and what the kernel refuses."""

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
from processes import run
from site_checks import in_thread

import jumplabel
from jumplabel import StaticKeyError, Tracepoint, TracepointError, static_gate

# ---- who keeps what ----


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
    """Nobody could turn it off any more."""
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

    probe = functools.partial(wait)  # whose frame, unlike a function's, holds nothing
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
    """Of a signal that interrupts whoever is here."""

    def raise_signal():
        before = signal.signal(signal.SIGUSR1, lambda number, frame: function())
        try:
            signal.raise_signal(signal.SIGUSR1)
        finally:
            signal.signal(signal.SIGUSR1, before)

    return raise_signal


@pytest.mark.parametrize("elsewhere", [in_another_thread, in_a_handler])
def test_who_is_slower_loses_nothing(point, probes, seen, elsewhere):
    """Forced: while one thread looks whether its probe is there already, others come and go."""
    register, unregister = point.register, point.unregister
    meddler = Meddler(elsewhere(lambda: register(probes[0])), elsewhere(lambda: register(probes[1])))
    register(meddler)
    register(probes[2])
    assert point.probes == (meddler, probes[1], probes[0], probes[2])  # who began first came last
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
    """At each point of each operation where one may (interrupting.py). A weak reference's callback reports it."""
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


def test_calls_see_probes_that_there_were_while_they_ran(point, stress_seconds):
    """From Python and from C, without pause, while another thread registers and unregisters without pause."""

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


# ---- in processes of their own (processes.py) ----

POINT = """
    from jumplabel import Tracepoint, static_branches

    point, seen = Tracepoint("point"), []

    def first(*args, **kwargs):
        seen.append(("first", args, kwargs))

    def second(*args, **kwargs):
        seen.append(("second", args, kwargs))

    @static_branches(strict=True)
    def branch():
        if point.enabled:
            point(seen.append("evaluated"))

    def whole(*probes):
        '''Everything agrees on these.'''
        names = [probe.__name__ for probe in probes]
        assert point.probes == probes and point.enabled.enabled is bool(probes)
        assert [entry.state for entry in point.enabled.entries] == [bool(probes)] * 2
        seen.clear()
        assert point(1, a=2) is None and seen == [(name, (1,), {"a": 2}) for name in names]
        seen.clear()
        branch()
        assert seen == (["evaluated"] if probes else []) + [(name, (None,), {}) for name in names]

    def turn():
        point.register(first)
        whole(first)
        point.register(second)
        whole(first, second)
        point.unregister(first)
        whole(second)
        point.unregister(second)
        whole()
"""


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"JUMPLABEL_NATIVE": "0"},
        {"JUMPLABEL_POKE": "word"},
        {"JUMPLABEL_SYNC": "signal"},
        {"JUMPLABEL_SYNCS": "3"},
    ],
    ids=str,
)
def test_every_way_of_patching(settings):
    run(
        POINT,
        f"""
        for _ in range(3):
            turn()
        with OtherThread(lambda: point(1)):
            for _ in range(5):
                point.register(first)
                point.register(second)
                point.unregister(first)
                point.unregister(second)
        with point.enabled.override(False):
            point.register(first)
            point()
        whole(first)
        (entry,) = [entry for entry in point.enabled.entries if entry.kind == "tracepoint"]
        assert entry.native is {settings.get("JUMPLABEL_NATIVE") != "0"}
        assert entry.what == {"plain tracepoint" if "JUMPLABEL_NATIVE" in settings else "tracepoint"!r}
        assert info().word_batches or {"JUMPLABEL_POKE" not in settings}
        """,
        **settings,
    )


@pytest.mark.parametrize("settings", [{}, {"JUMPLABEL_NATIVE": "0"}], ids=str)
def test_parent_and_child_have_probes_of_their_own(settings):
    run(
        POINT,
        """
        def child():
            whole(first)
            point.register(second)
            os.write(changed, b"x")
            os.read(look_again, 1)
            whole(first, second)
            point.unregister(first)
            point.unregister(second)
            turn()

        point.register(first)
        has_changed, changed = os.pipe()
        look_again, look = os.pipe()
        pid = fork(child)
        assert os.read(has_changed, 1) == b"x"
        whole(first)
        point.unregister(first)
        whole()
        os.write(look, b"x")
        assert ended(pid) == 0
        turn()
        """,
        **settings,
    )


def test_a_child_that_is_made_while_another_thread_registers():
    run(
        POINT,
        """
        def child():
            assert point.probes in ((), (first,), (second,), (first, second))
            whole(*point.probes)
            for probe in point.probes:
                point.unregister(probe)
            turn()

        def change():
            point.register(first)
            point.register(second)
            point.unregister(first)
            point.unregister(second)

        with OtherThread(change):
            for _ in range(30):
                forked(child)
        turn()
        """,
    )


def test_the_collector_takes_the_only_probe_away_while_somebody_looks_at_it():
    """Forced, up to 3.11: it runs when the tuple is made, and what it finds unregisters the probe."""
    run(
        """
        from jumplabel import Tracepoint

        class Probe:
            def __call__(self):
                return "alive"

        class Last:
            def __del__(self):
                point.unregister(reference())

        point, probe, last = Tracepoint("point"), Probe(), Last()
        reference, last.me = __import__("weakref").ref(probe), last
        point.register(probe)
        look, held, range_of = point.__target__, [None] * 5000, range(5000)
        gc.disable()
        gc.set_threshold(1)
        del probe, last
        for i in range_of:
            held[i] = (i,)  # of which the interpreter keeps some at hand
        gc.enable()
        probes = look(1)
        gc.disable()
        assert probes[0]() == "alive" and probes == (reference(),)
        assert point.probes == () or sys.version_info >= (3, 12)
        """
    )


@pytest.mark.usefixtures("seccomp_filters")
@pytest.mark.parametrize(
    "error", ["EACCES", "EAGAIN"]
)  # the second one is what rt_sigqueueinfo(2) has for a full queue
def test_what_cannot_be_patched_stays_as_it_was(error):
    run(
        POINT,
        f"ERROR = errno.{error}",
        """
        point.register(first)
        empty = Tracepoint("empty")

        def state():
            gc.collect()
            return code(point.enabled), point.enabled.entries, code(empty.enabled), sys.getrefcount(second)

        def is_refused(function, *args):
            before = state()
            refused(ERROR, function, *args)
            assert state() == before
            whole(first)
            assert empty.probes == () and not empty.enabled and empty() is None

        with OtherThread():
            seccomp.refuse("membarrier")
            seccomp.refuse("rt_tgsigqueueinfo", error=ERROR)
            for _ in range(20):
                is_refused(point.register, second)
                is_refused(point.unregister, first)
                is_refused(empty.register, second)
        """,
    )


@pytest.mark.parametrize("where", ["import shop", "exec(Path('shop.py').read_text())"])
def test_a_program_with_probes_ends_in_peace(tmp_path, where):
    (tmp_path / "shop.py").write_text(
        "from jumplabel import Tracepoint\n"
        "point, cycle = Tracepoint('shop.point'), Tracepoint('shop.cycle')\n"
        "key = point.enabled\n"
        "@point.register\n"
        "def probe(): point, cycle\n"
        "cycle.register(lambda: cycle)\n"
        "class Late:\n"
        "    def __init__(self): self.point = Tracepoint('shop.late')\n"
        "    def __del__(self, probe=probe): self.point.register(probe), self.point()\n"
        "late = Late()\n"
        "late.me = late\n"
    )
    run(f"os.chdir({str(tmp_path)!r}); sys.path.insert(0, '')", where)
