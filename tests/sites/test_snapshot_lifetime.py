"""Variants of snapshots: when they are made, how many are kept, what keeps what alive; and threads."""

import gc
import itertools
import sys
import threading
import types
import weakref

import pytest
from site_checks import in_thread
from snapshots import make, set_state, snapshot, variants

import jumplabel._sites.snapshots
from jumplabel import StaticKey
from jumplabel._sites.snapshots import MOST_VARIANTS


@pytest.fixture
def keys(request):
    return [StaticKey(f"{request.node.nodeid} {i}") for i in range(5)]


# ---- how many ----


def test_a_variant_is_made_when_it_is_needed_and_then_kept(keys):
    function = make(keys)
    assert variants(function) == []
    codes = {}
    for state in (0, 3, 0, 3, 16, 0):
        set_state(keys, state)
        assert len(variants(function)) == len(codes)
        seen, code = function()
        assert seen == state and codes.setdefault(state, code) is code
        assert function()[1] is code
    assert len(variants(function)) == 3


def test_never_more_variants_than_the_bound(keys):
    function = make(keys)
    made = weakref.WeakSet()
    for state in [*range(17), *range(31, -1, -1), *range(17)]:
        set_state(keys, state)
        assert function()[0] == state
        made.add(function.__target__(function.__state__))
        assert len(made) <= MOST_VARIANTS and len({one.__code__ for one in made}) == len(made)
    assert len(variants(function)) == len(made) == MOST_VARIANTS


def test_the_variant_that_has_not_been_needed_for_longest_goes(keys):
    """A variant that is called again and again stays, though it was made first."""
    function = make(keys)
    function()
    used, last = function.__target__(0), []
    for state in range(1, 32):
        set_state(keys, state)
        function()
        last.append(weakref.ref(function.__target__(function.__state__)))
        set_state(keys, 0)
        function()
        assert function.__target__(0) is used
    assert [one() is not None for one in last] == [False] * (32 - MOST_VARIANTS) + [True] * (MOST_VARIANTS - 1)
    assert len(variants(function)) == MOST_VARIANTS


def test_a_variant_that_was_dropped_lives_on_where_it_runs(keys):
    a, b, c, d, e = keys

    @snapshot
    def states():
        while True:
            yield [1 if a else 0, 1 if b else 0, 1 if c else 0, 1 if d else 0]
            yield 1 if e else 0

    set_state(keys, 5)
    running = states()
    code = weakref.ref(running.gi_code)
    for state in range(32):
        set_state(keys, state)
        assert next(running) == [1, 0, 1, 0] and next(running) == 0
        next(states())
    assert code() is not None and states.__target__(0b101) is None
    assert len(variants(states)) == MOST_VARIANTS + 1
    del running
    assert code() is None and len(variants(states)) == MOST_VARIANTS


def test_closures_share_the_code_of_their_variants(key, monkeypatch):
    def make_one():
        @snapshot
        def function():
            return (1 if key else 0), [1 for _ in "a" if key], sys._getframe().f_code

        return function

    functions = [make_one() for _ in range(3)]
    for enabled in (0, 1):
        with key.override(bool(enabled)):
            codes = [function()[2] for function in functions]
            assert codes[0] is codes[1] is codes[2]
            assert functions[0]()[:2] == (enabled, [1] * enabled)
    monkeypatch.setattr("jumplabel._bytecode.tests_become_sites.Plan.fix", lambda *_: pytest.fail("made again"))
    assert make_one()()[2] is functions[0]()[2]


def test_closures_of_the_same_code_with_other_keys_have_their_own(keys):
    def make_one(key):
        return snapshot(lambda: (1 if key else 0, sys._getframe().f_code))

    functions = [make_one(key) for key in keys]
    keys[1].enable()
    assert [function()[0] for function in functions] == [0, 1, 0, 0, 0]
    del functions[:]
    for number in range(20):  # at the addresses of those before
        other = StaticKey(f"tests.test_snapshot_lifetime.{number}", default=bool(number % 2))
        assert make_one(other)()[0] == number % 2
        del other


# ---- what keeps what alive ----


def test_everything_goes_with_the_snapshot_at_once(key):
    def function():
        return 1 if key else 0

    made = snapshot(function)
    gone = [weakref.ref(function), weakref.ref(made)]
    del function
    for _ in range(2):
        gone.append(weakref.ref(made.__target__(key.enabled) if made() else made.__target__(0)))
        key.enable()
    assert len(key.entries) == 1
    del made
    assert [one() for one in gone] == [None] * 4 and key.entries == ()


def test_cycles_through_a_snapshot_are_collected():
    class Key(StaticKey):
        pass

    def make_one():
        key = Key("tests.test_snapshot_lifetime.cycle")

        @snapshot
        def function(n):
            return function(n - 1) if n else 1 if key else 0

        key.function = function
        function.key = key
        assert function(3) == 0
        key.enable()
        assert function(3) == 1
        return weakref.ref(key), weakref.ref(function)

    gc.collect()
    before = jumplabel.jump_table()
    gone = make_one()
    assert len(jumplabel.jump_table()) == len(before) + 1
    gc.collect()
    assert [one() for one in gone] == [None, None] and jumplabel.jump_table() == before


def test_it_keeps_its_keys(request):
    key = StaticKey(request.node.nodeid)
    space = {"key": key}
    exec("def function(): return 1 if key else 0", space)
    function = snapshot(space.pop("function"))
    del space["key"], key
    assert function() == 0
    jumplabel.key(request.node.nodeid).enable()
    assert function() == 1


def test_nothing_grows(keys):
    function = make(keys)

    def some():
        for state in itertools.chain(range(32), range(0, 32, 3)):
            set_state(keys, state)
            assert function()[0] == state
            assert make(keys)()[0] == state

    for _ in range(2):
        some()
    gc.collect()
    mapped, before = jumplabel.info().arena_bytes, sys.getallocatedblocks()
    for _ in range(3):
        some()
    gc.collect()
    # blocks, not bytes: the traces that a JIT makes are few and large; one object kept by each function would be 129
    assert sys.getallocatedblocks() - before < 60
    assert jumplabel.info().arena_bytes == mapped and len(keys[0].entries) == 1


# ---- threads ----


def test_two_threads_that_need_the_same_variant_get_one(keys, monkeypatch):
    """The second one begins and ends while the first one makes it."""
    function = make(keys)
    second = []
    real = jumplabel._sites.snapshots._Variants._make

    def slow(self, state):
        made = real(self, state)
        if not second:
            second.append(None)
            in_thread(lambda: second.append(function()[1]))
            second.append(function.__target__(state))
        return made

    monkeypatch.setattr("jumplabel._sites.snapshots._Variants._make", slow)
    first = function()[1]
    assert first is second[1] and variants(function) == second[2:] == [function.__target__(0)]


def test_a_variant_that_is_dropped_while_it_is_led_to_is_not_kept(keys, monkeypatch):
    """Other threads need so many others, between the moment when it is kept and that when the site knows it."""
    function = make(keys)
    real, told = jumplabel._sites.snapshots.lead, []

    def slow(site, state, target):
        if state == 1 and not told:
            told.append(site)

            def need_others():
                for other in range(2, 2 + MOST_VARIANTS):
                    set_state(keys, other)
                    assert function()[0] == other

            in_thread(need_others)
        real(site, state, target)

    monkeypatch.setattr("jumplabel._sites.snapshots.lead", slow)
    set_state(keys, 1)
    assert function()[0] == 1 and told
    assert function.__target__(1) is None
    assert len(variants(function)) == MOST_VARIANTS
    set_state(keys, 1)
    assert function()[0] == 1 and function.__target__(1) is not None


def test_a_variant_that_is_needed_while_it_is_dropped_is_not_kept(keys):
    """Another thread needs it after it was chosen to be dropped, and before it is."""
    function = make(keys)
    for state in range(MOST_VARIANTS):
        set_state(keys, state)
        function()
    newest = function.__state__
    (find,) = (one for one in gc.get_referents(function) if isinstance(one, types.MethodType))
    done = []

    def need_oldest():
        set_state(keys, 0)
        done.append(function()[0])
        set_state(keys, MOST_VARIANTS)

    class Needed(dict):
        def get(self, state, default=None):
            last = dict.get(self, state, default)
            if state == newest and not done:
                in_thread(need_oldest)
            return last

    find.__self__.needed = Needed(find.__self__.needed)
    set_state(keys, MOST_VARIANTS)
    assert function()[0] == MOST_VARIANTS and done == [0]
    assert function.__target__(0) is None and len(variants(function)) == MOST_VARIANTS
    set_state(keys, 0)
    assert function()[0] == 0 and len(variants(function)) == MOST_VARIANTS


STATES = [0, 3, 12, 15, 31, 19, 16, 28]
"""In which the first two keys agree, and the next two."""


@pytest.mark.stress
def test_calls_agree_with_themselves_while_keys_are_turned(keys, stress_seconds, monkeypatch):
    """Two keys are turned at a time, to more states than there are variants: these come and go all the time."""
    monkeypatch.setattr("jumplabel._sites.snapshots.MOST_VARIANTS", 3)
    function = make(keys)
    stop, seen = threading.Event(), set()

    def turn():
        for number in itertools.count():
            if stop.is_set():
                break
            set_state(keys, STATES[number % 8])

    def call():
        while not stop.is_set():
            seen.update(state for state, _ in map(function, itertools.repeat(None, 50)))

    def call_another():
        while not stop.is_set():
            seen.update(function()[0] for function in [make(keys)] * 3)
            gc.collect()

    threads = [threading.Thread(target=target) for target in (turn, call, call, call_another)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        stop.wait(stress_seconds)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(before)
    assert seen <= set(STATES) and len(seen) > 1
    set_state(keys, 7)
    assert function()[0] == 7 and len(variants(function)) <= 3
