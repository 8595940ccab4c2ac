"""``static_branches(snapshot=True)``: what a call sees of its keys, from its beginning to its end."""

import asyncio
import sys
import threading

import pytest
from site_checks import in_thread, off_on_off
from snapshots import combinations, snapshot, turn

from jumplabel import DecorationError, StaticKey, batch, likely, unlikely


def make_watched(key, other_key):
    """It calls its argument between any two tests, and returns what all tests of each key said."""

    @snapshot
    def watched(hook):
        seen, others = set(), set()
        hook()
        if key:
            seen.add(True)
        else:
            seen.add(False)
        hook()
        others.add(True if other_key else False)
        hook()
        seen.add(False if not key else True)
        for last in (False, True):
            hook()
            seen.update(bool(last or True) for _ in "a" if key)
            others.update(False for _ in "a" if not other_key)
        hook()
        while unlikely(other_key):
            others.add(True)
            hook()
            if not other_key:
                others.add(False)
            break
        seen.add(hook() is None if likely(key) else False)
        if other_key and hook() is None:
            others.add(True)
        others.add(True if other_key or hook() else False)
        return seen, others

    return watched


N_HOOKS = 9


@pytest.mark.parametrize("elsewhere", [False, True], ids=["itself", "thread"])
@pytest.mark.parametrize("which", ["key", "other", "both"])
def test_a_call_keeps_what_it_began_with(key, other_key, which, elsewhere):
    """Keys are turned at every point of a call: by what it calls, and by another thread."""
    watched = make_watched(key, other_key)
    turned = {"key": [key], "other": [other_key], "both": [key, other_key]}[which]
    most = 0
    for at in range(N_HOOKS):
        for state in combinations(key, other_key):
            hooks = []

            def hook(at=at, hooks=hooks):
                hooks.append(at)
                if len(hooks) - 1 == at:
                    in_thread(turn, *turned) if elsewhere else turn(*turned)

            assert watched(hook) == ({state[0]}, {state[1]})
            assert watched(lambda: None) == ({key.enabled}, {other_key.enabled})
            most = max(most, len(hooks))
    assert most == N_HOOKS


def test_a_lock_taken_under_a_key_is_released_under_it(key):
    lock = threading.Lock()

    @snapshot
    def work(hook):
        if key:
            lock.acquire()
        try:
            hook()
        finally:
            if key:
                lock.release()

    for _ in off_on_off(key):
        for hook in (lambda: turn(key), lambda: None, lambda: turn(key)):
            work(hook)
            assert not lock.locked()


def test_recursion_sees_the_state_of_each_call(key):
    @snapshot
    def count(n):
        before = 1 if key else 0
        if n:
            turn(key)
            below = count(n - 1)
        else:
            below = []
        return [(before, 1 if key else 0), *below]

    assert count(3) == [(0, 0), (1, 1), (0, 0), (1, 1)]


# ---- what lasts ----


def test_a_generator_keeps_its_own_for_life(key):
    @snapshot
    def states():
        while True:
            yield "on" if key else "off"

    running = []
    for enabled in off_on_off(key):
        running.append((states(), "on" if enabled else "off"))
        for generator, began in running:
            assert next(generator) == next(generator) == began


def test_a_generator_expression_and_an_inner_loop_are_parts_of_the_call(key):
    @snapshot
    def parts():
        return (
            ((i, j) for i in range(3) if key for j in range(1)),
            [[j for j in range(2) if key] for _ in range(1)],
            {i: [1 if key else 0 for _ in "a"] for i in range(1)},
            {1 for _ in range(1) if not key},
        )

    for enabled in off_on_off(key):
        late, *others = parts()
        turn(key)
        assert list(late) == [(i, 0) for i in range(3) if enabled]
        assert others == [[[0, 1] if enabled else []], {0: [int(enabled)]}, set() if enabled else {1}]
        turn(key)


def test_a_class_body_is_a_part_of_the_call_and_its_methods_are_not(key):
    @snapshot
    def classes(hook):
        hook()

        class Made:
            found = tuple(1 for _ in "a" if key)

            def method(self):
                return "on" if key else "off"

        return Made, 1 if key else 0

    for enabled in off_on_off(key):
        made, kept = classes(lambda: turn(key))
        assert (made.found, kept) == ((1,) * enabled, enabled)
        assert made().method() == ("off" if enabled else "on")
        turn(key)
        assert made().method() == ("on" if enabled else "off")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="PEP 695")
def test_what_has_type_parameters_is_no_different(key):
    space = {"key": key, "snapshot": snapshot}
    source = """
@snapshot
def outer[T](hook):
    hook()
    class Made[U]:
        found = tuple(1 for _ in "a" if key)
    def inner[V]():
        return bool(1 if key else 0)
    return Made.found, 1 if key else 0, inner
"""
    exec(source, space)
    for enabled in off_on_off(key):
        found, kept, inner = space["outer"](lambda: turn(key))
        assert (found, kept, inner()) == ((1,) * enabled, enabled, not enabled)
        turn(key)


def test_functions_within_are_live_and_have_their_sites_once(key, other_key):
    @snapshot
    def outer():
        def inner():
            return "on" if key else "off"

        lambdas = [lambda: "on" if key else "off" for _ in "a"]
        return "on" if key else "off", inner, (1 if other_key else 0, lambdas[0])[1]

    kinds = sorted(entry.kind for entry in key.entries)
    assert kinds == ["branch", "branch", "snapshot"]
    functions = []
    for _ in combinations(key, other_key):
        state, *made = outer()
        functions += made
        assert {function() for function in functions} == {state}
        turn(key)
        assert {function() for function in functions} == {"off" if state == "on" else "on"}
        turn(key)
    assert len({function.__code__.co_firstlineno for function in functions}) == 2
    assert len({id(function.__code__) for function in functions}) == 2
    assert sorted(entry.kind for entry in key.entries) == kinds


def test_coroutines_and_async_generators_keep_theirs_while_they_wait(key):
    @snapshot
    async def ticks():
        for _ in range(3):
            yield "on" if key else "off"
            await asyncio.sleep(0)

    @snapshot
    async def collect():
        seen = []
        async for tick in ticks():
            turn(key)
            await asyncio.sleep(0)
            seen.append((tick, "on" if key else "off"))
        return seen

    async def together():
        first = collect()  # in this state, though it has not begun to run
        turn(key)
        return await asyncio.gather(first, collect(), collect())

    for enabled in off_on_off(key):
        one, other = ("on", "off") if enabled else ("off", "on")
        results = asyncio.run(together())
        assert [{mine for _, mine in seen} for seen in results] == [{one}, {other}, {other}]
        assert all(len({tick for tick, _ in seen}) == 1 for seen in results)
        if key.enabled != enabled:
            turn(key)


# ---- several keys, at one instant ----


@pytest.mark.stress
def test_a_call_sees_all_of_a_batch_or_nothing_of_it(key, other_key, stress_seconds):
    """Another thread turns both keys meanwhile, together and as fast as it can."""

    @snapshot
    def look():
        first = 1 if key else 0
        second = 1 if other_key else 0
        again = [i for i in (1,) if other_key] or [0]
        return first, second, again[0], 1 if key else 0

    stop = threading.Event()

    def storm():
        while not stop.is_set():
            turn(key, other_key)

    thread = threading.Thread(target=storm)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread.start()
    try:
        counts = {0: 0, 1: 0}
        while min(counts.values()) < 1000 * stress_seconds:
            for first, second, again, last in (look() for _ in range(100)):
                assert first == second == again == last
                counts[first] += 1
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(before)


def test_keys_of_two_snapshots_are_those_of_their_own_calls(key, other_key):
    @snapshot
    def inner():
        return (1 if key else 0), (1 if other_key else 0)

    @snapshot
    def outer():
        before = (1 if other_key else 0), inner()
        turn(key, other_key)
        return before, ((1 if other_key else 0), inner())

    assert outer() == ((0, (0, 0)), (0, (1, 1)))
    assert outer() == ((1, (1, 1)), (1, (0, 0)))


@pytest.mark.parametrize("n", [64, 65])
def test_sixty_four_keys_are_a_snapshot_and_no_more(request, n):
    names = [f"key_{i}" for i in range(n)]
    keys = {name: StaticKey(f"{request.node.nodeid} {name}") for name in names}
    space = dict(keys)
    tests = ", ".join(f"1 if {name} else 0" for name in names)
    exec(f"def function():\n    return [{tests}]", space)
    if n > 64:
        with pytest.raises(DecorationError, match="function tests 65 keys, and a snapshot is of at most 64; divide"):
            snapshot(space["function"])
        return
    function = snapshot(space["function"])
    assert function() == [0] * n
    for i in (0, 31, 32, 62, 63):
        with keys[names[i]].override(True):
            assert function() == [int(j == i) for j in range(n)]
    with batch():
        for key in keys.values():
            key.enable()
    assert function() == [1] * n
