"""StaticCall: what it keeps and lets go of, threads that call and update it, forks, and every way of the engine."""

import functools
import gc
import sys
import threading
import time
import weakref

import pytest
from processes import SITES, run
from site_checks import echo, in_thread, other_echo

import jumplabel
from jumplabel import StaticCall
from jumplabel._engine import lib

# ---- lifetimes ----


class Target:
    """Not a Python function, and known when it goes."""

    def __init__(self, body=lambda: None):
        self.body = body

    def __call__(self):
        return self.body()


def make_function():
    return lambda: "made"


@pytest.mark.parametrize("make", [Target, make_function])
def test_a_target_goes_with_the_update_that_replaces_it(make):
    call = StaticCall(echo)
    for replacement in (other_echo, None, Target()):
        target = make()
        gone = weakref.ref(target)
        call.update(target)
        del target
        gc.collect()
        assert gone() is call.func is not None
        call.update(replacement)
        assert gone() is None
        assert call.func is replacement


def test_references_are_counted_exactly_over_many_updates():
    first, second = Target(), make_function()
    call = StaticCall(echo)
    before = sys.getrefcount(first), sys.getrefcount(second), sys.getrefcount(None)
    for _ in range(3000):
        for target in (first, second, first, None):
            call.update(target)
            call()
    after = sys.getrefcount(first), sys.getrefcount(second), sys.getrefcount(None)
    assert after[:2] == before[:2] and abs(after[2] - before[2]) < 20


def test_the_first_function_is_kept():
    def function():
        return "the first"

    call = StaticCall(function)
    gone = weakref.ref(function)
    call.update(echo)
    del function
    assert gone()() == "the first"
    del call
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("make", [Target, lambda body: lambda: body()])
def test_a_target_that_is_replaced_while_it_runs_lives_on(make):
    """The thread is in the call when the update returns, and goes on with what it was called with."""
    inside, go_on = threading.Event(), threading.Event()
    results = []

    def body():
        inside.set()
        assert go_on.wait(60)
        return "whole"

    target = make(body)
    gone = weakref.ref(target)
    call = StaticCall(echo)
    call.update(target)
    del target
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()
    assert inside.wait(60)
    call.update(None)
    gc.collect()
    assert gone() is not None and call() is None
    go_on.set()
    thread.join()
    assert results == ["whole"]
    assert gone() is None


def test_what_is_no_python_function_is_held_while_it_runs():
    """The target is a method of a C object. Once it is replaced, only the running call has a reference to it."""
    inside, go_on = threading.Event(), threading.Event()

    class Items(list):
        pass

    def more():
        inside.set()
        assert go_on.wait(60)
        yield "more"

    items = Items()
    gone = weakref.ref(items)
    call = StaticCall(len)
    call.update(items.extend)
    del items
    thread = threading.Thread(target=call, args=(more(),))
    thread.start()
    assert inside.wait(60)
    call.update(None)
    gc.collect()
    running = gone()
    go_on.set()
    thread.join()
    assert running == ["more"]
    del running
    assert gone() is None


def test_a_target_goes_with_the_call():
    for make in (Target, make_function):
        target = make()
        gone = weakref.ref(target)
        call = StaticCall(echo)
        call.update(target)
        del target
        assert gone() is not None
        del call
        assert gone() is None


def test_a_target_that_it_did_not_get_is_let_go():
    call, target = StaticCall(echo), Target()
    before = sys.getrefcount(target)
    assert call.__lead__(1, target, True, other_echo) == lib.CALL_CHANGED
    assert call.func is echo and sys.getrefcount(target) == before


def test_a_cycle_through_it_is_collected():
    def make():
        call = StaticCall(lambda: call)
        other = StaticCall(echo)
        other.update(lambda: other)
        return weakref.ref(call), weakref.ref(other), call.__site__(), other.__site__()

    gc.collect()
    keys = jumplabel.info().keys
    *gone, first, second = make()
    gc.collect()
    assert [reference() for reference in gone] == [None, None]
    assert jumplabel.info().keys == keys
    assert not {first, second} & {entry.address for entry in jumplabel.jump_table()}


def test_slots_are_used_again():
    def churn():
        for _ in range(3000):
            call = StaticCall(echo)
            call.update(other_echo)
            call.update(None)

    churn()
    before = jumplabel.info().arena_bytes
    churn()
    assert jumplabel.info().arena_bytes == before


# ---- threads ----


def test_any_thread_may_make_call_and_update_it():
    call = StaticCall(echo)
    in_thread(call.update, other_echo)
    assert call() == ("other", (), {})

    def make():
        made = StaticCall(echo)
        made.update(None)
        assert made() is None

    in_thread(make)


@pytest.mark.stress
def test_threads_see_the_targets_of_their_time(stress_seconds):
    """Each call goes to the target that the last update left, or to one of an update that overlaps it."""
    kinds = [lambda n: (lambda: n), lambda n: Target(lambda: n), lambda n: functools.partial(int, n)]
    state = {"begun": 0, "done": 0}
    call = StaticCall(lambda: 0)
    wrong, calls = [], [0, 0]
    stop = threading.Event()

    def call_without_pause(number):
        while not stop.is_set():
            done = state["done"]
            result = call()
            if not done <= result <= state["begun"]:
                wrong.append((done, result, state["begun"]))
            calls[number] += 1

    threads = [threading.Thread(target=call_without_pause, args=(number,)) for number in range(2)]
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    for thread in threads:
        thread.start()
    end = time.monotonic() + min(stress_seconds, 3)
    while time.monotonic() < end or not all(calls):
        number = state["begun"] + 1
        state["begun"] = number
        call.update(kinds[number % 3](number))
        state["done"] = number
    stop.set()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(old)
    assert not wrong
    assert state["done"] > 100


@pytest.mark.stress
def test_updates_from_several_threads(stress_seconds):
    """One of the targets stays, the others go: what is called is what `func` says, and nothing else is kept."""
    call = StaticCall(lambda: None)
    alive = weakref.WeakSet()
    end = time.monotonic() + min(stress_seconds, 2)

    def update_without_pause(number):
        while time.monotonic() < end:
            target = Target(lambda: number)
            alive.add(target)
            call.update(target)
            assert call() in range(3)

    threads = [threading.Thread(target=in_thread, args=(update_without_pause, number)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    assert list(alive) == [call.func]


# ---- processes ----


def test_a_child_has_its_own_target():
    run("""
        from jumplabel import StaticCall
        call = StaticCall(lambda: "first")
        call.update(lambda: "second")

        def child():
            assert call() == "second"
            call.update(lambda: "the child's")
            assert call() == "the child's"
            os.write(updated, b"x")
            os.read(look_again, 1)
            assert call() == "the child's"

        has_updated, updated = os.pipe()
        look_again, look = os.pipe()
        pid = fork(child)
        os.close(updated)
        assert os.read(has_updated, 1) == b"x"
        assert call() == "second"
        call.update(None)
        os.write(look, b"x")
        assert ended(pid) == 0
        assert call() is None
        """)


def test_a_child_that_is_forked_in_mid_update():
    """By another thread, while one updates without pause: the child finds one target or the other, and its own way."""
    run("""
        from jumplabel import StaticCall
        values = ["a", "b", None]
        targets = [lambda: "a", lambda: "b", None]
        call = StaticCall(targets[0])
        stop = threading.Event()

        def update():
            while not stop.is_set():
                for target in targets:
                    call.update(target)

        thread = threading.Thread(target=update)
        thread.start()

        def child():
            assert call() in values
            for value, target in zip(values, targets):
                call.update(target)
                assert call() == value and call.func is target

        for _ in range(20):
            forked(child)
        stop.set()
        thread.join()
        """)


def test_a_refused_update_changes_nothing():
    run(
        """
        from jumplabel import StaticCall
        import weakref

        class Target:
            def __call__(self):
                return "the new one"

        call = StaticCall(lambda: "the old one")
        kept = call.func
        other = BlockingThread()  # which does not answer the signal
        for _ in range(3):
            target = Target()
            gone = weakref.ref(target)
            error = refused(errno.EDEADLK, call.update, target)
            assert "StaticCall" in str(error) and "is as it was" in str(error)
            del target, error
            gc.collect()
            assert gone() is None
            assert call() == "the old one" and call.func is kept
            refused(errno.EDEADLK, call.update, None)
            assert call() == "the old one" and call.func is kept
        other.unblock()
        call.update(None)
        assert call() is None
        """,
        JUMPLABEL_SYNC="signal",
    )


WAYS = [
    {"JUMPLABEL_NATIVE": "0"},
    {"JUMPLABEL_POKE": "word"},
    {"JUMPLABEL_SYNC": "signal"},
    {"JUMPLABEL_SYNCS": "3"},
]


@pytest.mark.parametrize("settings", WAYS, ids=lambda settings: next(iter(settings)))
def test_every_way_of_the_engine(settings):
    run(
        SITES,
        """
        from jumplabel import StaticCall

        class Target:
            def __call__(self, *args, **kwargs):
                return "object", args, kwargs

        call = StaticCall(lambda *args, **kwargs: ("function", args, kwargs))
        native = os.environ.get("JUMPLABEL_NATIVE") != "0"
        assert [entry.native for entry in jumplabel.jump_table() if entry.kind == "call"] == [native]
        first = call.func
        for _ in range(3):
            assert call(1, a=2) == ("function", (1,), {"a": 2})
            call.update(Target())
            assert call(1, a=2) == ("object", (1,), {"a": 2})
            call.update(None)
            assert call(1, a=2) is None and call.func is None
            with OtherThread(call):
                turn()
                call.update(first)
        batches = info().batches
        call.update(None)
        assert info().batches - batches == native
        assert info().word_batches == (info().batches if os.environ.get("JUMPLABEL_POKE") else 0)
        """,
        **settings,
    )
