"""References, cycles, slots and threads: what is left of a site, and when it goes."""

import functools
import gc
import subprocess
import sys
import textwrap
import threading
import types
import weakref

import pytest
from site_checks import echo, off_on_off

import jumplabel
from jumplabel import static_gate, static_switch

# ---- references ----


@pytest.mark.parametrize(
    ("make", "noise"),  # others use None and 7 too
    [
        pytest.param(lambda: None, 20, id="None"),
        pytest.param(lambda: 7, 20, id="small int"),
        pytest.param(lambda: 10**30 + 1, 0, id="big int"),
        pytest.param(lambda: [], 0, id="list"),
        pytest.param(object, 0, id="object"),
        pytest.param(lambda: "".join(["not ", "interned"]), 0, id="string"),
        pytest.param(lambda: type("Fresh", (), {}), 0, id="class"),
    ],
)
def test_a_default_is_returned_as_it_is_and_counted_exactly(key, make, noise):
    default = make()
    gate = static_gate(key, default=default)(echo)
    before = sys.getrefcount(default)
    immortal = before > 2**30
    for _ in range(100_000):
        gate(1)
    assert abs(sys.getrefcount(default) - before) <= noise
    results = [gate() for _ in range(1000)]
    assert abs(sys.getrefcount(default) - before - (0 if immortal else 1000)) <= noise
    assert all(result is default for result in results)


def test_a_default_lives_as_long_as_its_gate(key):
    class Default:
        pass

    gate = static_gate(key, default=Default())(echo)
    reference = weakref.ref(gate())
    assert reference() is gate() is not None
    del gate
    assert reference() is None


def test_references_are_counted_exactly_over_many_calls(key, decorator):
    class Thing:
        pass

    def function(thing, *, keyword):
        return thing

    made = decorator(function)
    things = [Thing(), Thing()]
    counted = [made, function, key, *things]
    for _ in off_on_off(key):
        before = [sys.getrefcount(each) for each in counted]
        for _ in range(10_000):
            made(things[0], keyword=things[1])
        assert [sys.getrefcount(each) for each in counted] == before


def test_making_and_dropping_leaves_no_references(key, decorator):
    def function():
        pass

    decorator(function)
    before = sys.getrefcount(function), sys.getrefcount(key)
    for _ in range(1000):
        decorator(function)
    assert (sys.getrefcount(function), sys.getrefcount(key)) == before


def test_entries_go_when_the_callable_does(key, decorator):
    made = [decorator(echo) for _ in range(5)]
    addresses = {each.__site__() for each in made}
    assert {entry.address for entry in key.entries} == addresses and len(addresses) == 5
    gone = made.pop(2).__site__()
    assert {entry.address for entry in key.entries} == addresses - {gone}
    key.enable()
    assert all(entry.state for entry in key.entries)
    made.clear()
    assert key.entries == ()


def test_a_refused_function_leaves_no_entry(key):
    """Copying its attributes comes last; what fails there takes the new site with it."""

    class Callable:
        __dict__ = 7

        def __call__(self):
            pass

    with pytest.raises(TypeError):
        static_gate(key)(Callable())
    gc.collect()
    assert key.entries == ()


def cycle_through_closure(decorate):
    made = decorate(lambda: made)
    return made


def cycle_through_globals(decorate):
    space = {"decorate": decorate}
    exec("made = decorate(lambda: made)", space)
    return space["made"]


def cycle_through_dict(decorate):
    made = decorate(lambda: None)
    made.me = made
    return made


def cycle_through_instance(decorate):
    instance = types.SimpleNamespace()
    instance.method = made = decorate(types.MethodType(lambda self: None, instance))
    return made


def cycle_through_partial(decorate):
    arguments = []
    made = decorate(functools.partial(lambda arguments: None, arguments))
    arguments.append(made)
    return made


def cycle_through_builtin(decorate):
    items = []
    made = decorate(items.append)
    items.append(made)
    return made


@pytest.mark.parametrize(
    "make",
    [
        cycle_through_closure,
        cycle_through_globals,
        cycle_through_dict,
        cycle_through_instance,
        cycle_through_partial,
        cycle_through_builtin,
    ],
)
def test_cycles_are_collected(key, decorator, make):
    made = make(decorator)
    reference = weakref.ref(made)
    gc.collect()
    assert reference() is made and len(key.entries) == 1
    del made
    gc.collect()
    assert reference() is None
    assert key.entries == ()


def test_a_cycle_through_the_default_is_collected(key):
    default = []
    default.append(static_gate(key, default=default)(echo))
    assert len(key.entries) == 1
    del default
    gc.collect()
    assert key.entries == ()


def test_a_long_chain_is_torn_down():
    """Each link holds the next: tearing them down must not nest as deep. In a process of its own, as it could crash."""
    script = """
        import threading
        from jumplabel import StaticKey, static_switch

        def build_and_drop():
            key = StaticKey("chain")
            function = made = lambda: "end"
            for _ in range(50_000):
                made = static_switch(key, to=made)(function)
            key.enable()
            assert made() == "end"
            del made
            assert key.entries == ()

        threading.stack_size(1024 * 1024)
        thread = threading.Thread(target=build_and_drop)
        thread.start()
        thread.join()
    """
    subprocess.run([sys.executable, "-P", "-c", textwrap.dedent(script)], check=True)


def test_slots_are_used_again(key, decorator):
    decorator(echo)
    before = jumplabel.info().arena_bytes
    for _ in range(before // 64 + 100):  # more than there are slots
        decorator(echo)
    assert jumplabel.info().arena_bytes == before


# ---- threads ----


def test_making_and_calling_in_threads_while_another_toggles(key):
    stop = threading.Event()
    wrong = []

    def toggle():
        while not stop.is_set():
            key.enable()
            key.disable()

    def make_and_call():
        for n in range(500):
            gate = static_gate(key)(lambda n: n)
            switch = static_switch(key, to=lambda n: -n)(lambda n: n)
            if gate(n) not in (None, n) or switch(n) not in (n, -n):
                wrong.append(n)

    workers = [threading.Thread(target=make_and_call) for _ in range(4)]
    toggler = threading.Thread(target=toggle)
    for thread in (toggler, *workers):
        thread.start()
    for thread in workers:
        thread.join()
    stop.set()
    toggler.join()
    assert wrong == [] and key.entries == ()
    gate = static_gate(key)(echo)
    for enabled in off_on_off(key):
        assert gate() == (((), {}) if enabled else None)
