"""Long lives and many of them: nothing grows, nothing gets slower, nothing stays behind; endurance.py takes longer."""

import ctypes
import gc
import importlib
import os
import subprocess
import sys
import time
import weakref

import endurance
import pytest
from endurance import C_ABS, C, come_and_go, coroutine
from processes import SCRIPTS
from site_checks import echo, make

import jumplabel
from jumplabel import StaticCall, StaticKey, Tracepoint, native_branch, static_branches, static_gate, static_switch


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="the C library does not tell what is in use")
def test_nothing_grows(stress_seconds):
    """The load has a process of its own: other tests leave memory that would be freed in the middle of it."""
    found = in_a_process(["--seconds", str(max(min(stress_seconds, 20), 4)), "--strict"])
    assert "operations" in found


def in_a_process(arguments):
    path = os.pathsep.join(sys.path)
    command = [sys.executable, endurance.__file__, *arguments]
    result = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, check=False
    )
    assert result.returncode == 0, f"{result.returncode}: {result.stdout[-2000:]} {result.stderr[-2000:]}"
    return result.stdout


def test_callables_and_functions_come_and_go(stress_seconds):
    gc.collect()
    before = jumplabel.info()
    assert come_and_go(int(3000 * min(stress_seconds, 10))) == [(), (), ()]
    after = jumplabel.info()
    assert after.keys == before.keys and after.arena_bytes <= max(before.arena_bytes, 2 * 64 * 1024)


# ---- many at once ----


def with_sites(key, n):
    space = {"key": key}
    exec("def function():\n" + "    if key: pass\n" * n, space)
    return static_branches(space.pop("function"))


@pytest.mark.parametrize(("kind", "sites"), [("gate", 1), ("function", 5), ("function", 500)])
def test_a_hundred_thousand_sites(key, kind, sites, stress_seconds):
    """Making, toggling and dropping the last ones takes as long as the first ones did: nothing is quadratic."""
    chunk = int(10_000 * min(stress_seconds / 5, 1)) // sites
    made = []
    gc.collect()
    gc.disable()  # it looks at all that live, again and again
    try:
        if kind == "gate":
            making = [timed(lambda: made.extend(static_gate(key)(echo) for _ in range(chunk))) for _ in range(10)]
        else:
            making = [timed(lambda: made.extend(with_sites(key, sites) for _ in range(chunk))) for _ in range(10)]
        toggling = [timed(step) for step in (key.enable, key.disable, key.enable)]
        states = [entry.state for entry in key.entries]
        assert set(states) == {True} and len(states) == 10 * chunk * sites
        dropping = [timed(lambda: (made.__delitem__(slice(chunk)), jumplabel.info())) for _ in range(10)]
    finally:
        gc.enable()
    assert not key.entries
    assert min(making[-3:]) < 5 * min(making[:3]), making
    assert min(dropping[:3]) < 5 * min(dropping[-3:]), dropping
    assert min(toggling) < min(making), (toggling, making)


def timed(function):
    before = time.thread_time()
    function()
    return time.thread_time() - before


# ---- cycles that test_lifetime.py and test_branch_lifetime.py do not have ----


@pytest.fixture(autouse=True, scope="module")
def _nothing_is_left_to_other_tests():
    yield
    gc.collect()


class Key(StaticKey):
    pass


def through_a_gate(key):
    key.gate = static_gate(key)(echo)


def through_a_switch_and_a_function(key):
    key.function = static_branches(make(key))
    key.switch = static_switch(key, to=key.function)(lambda: key)


def through_a_suspended_generator(key):
    @static_branches
    def generator():
        held = key  # noqa: F841
        yield 1 if key else 2
        yield key

    key.running = generator()
    next(key.running)


def through_a_class(key):
    @static_branches
    class Thing:
        keys = (key,)

        def method(self):
            return 1 if key else 2  # "key and 1" would put the key into the code's constants, which no collector sees

    key.thing = Thing()


def through_static_calls(key):
    key.call, other = StaticCall(lambda: key), StaticCall(echo)
    key.call.update(lambda: (key, other))
    other.update(key.call)


def through_a_tracepoint(key):
    key.tracepoint = Tracepoint(f"{key.name} tracepoint")
    key.tracepoint.register(lambda: key)


def through_a_snapshot(key):
    def function():
        return 1 if key else 2

    key.snapshot = static_branches(function, snapshot=True)
    for state in (False, True):
        with key.override(state):
            assert key.snapshot() == (1 if state else 2)


def through_a_native_branch(key):
    callback = C_ABS.callback("int(int)", lambda n: key and n)
    key.branch = native_branch(key, off=callback, on=C.abs)


def through_an_empty_coroutine(key):
    key.gate = static_gate(key, default=key)(coroutine)
    key.empty = key.gate()


def through_a_traceback(key):
    @static_branches
    def fails():
        held = key  # noqa: F841
        if not key:
            raise ZeroDivisionError

    try:
        fails()
    except ZeroDivisionError as error:
        key.error = error


@pytest.mark.parametrize(
    "tie",
    [
        *(through_a_gate, through_a_switch_and_a_function, through_a_suspended_generator),
        *(through_a_class, through_a_traceback, through_static_calls, through_a_tracepoint, through_a_snapshot),
        *(through_a_native_branch, through_an_empty_coroutine),
    ],
)
def test_cycles_are_collected(request, tie):
    gc.collect()
    before = jumplabel.info().keys, len(jumplabel.jump_table())
    key = Key(request.node.nodeid)
    tie(key)
    gone = weakref.ref(key)
    del key
    gc.collect()
    assert gone() is None
    assert (jumplabel.info().keys, len(jumplabel.jump_table())) == before
    StaticKey(request.node.nodeid).enable()  # within no batch


def test_what_is_finalized_with_its_key_may_still_use_it():
    """The collector finalizes all of a cycle before it frees any; in a process of its own, which could crash."""
    subprocess.run([sys.executable, SCRIPTS / "finalized_with_its_key.py"], check=True)


# ---- reloading ----

MODULE = """
import jumplabel
from jumplabel import StaticKey, static_branches, static_gate

{key}

@static_branches
def function():
    return "on" if key else "off"

@static_gate(key, default="off")
def gate():
    return "on"
"""
MADE_ONCE = """
try:
    key = jumplabel.key("reloaded")
except jumplabel.StaticKeyError:
    key = StaticKey("reloaded")
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(key):
        (tmp_path / "reloaded_module.py").write_text(MODULE.format(key=key))
        return importlib.import_module("reloaded_module")

    yield write
    sys.modules.pop("reloaded_module").__dict__.clear()
    gc.collect()


def test_reloading_a_module_that_makes_its_key_gives_it_the_key_that_it_had(module):
    loaded = module("key = StaticKey('reloaded')")
    key, function, gate = loaded.key, loaded.function, loaded.gate
    importlib.reload(loaded)
    assert loaded.key is key and (loaded.function, loaded.gate) != (function, gate)
    key.enable()
    assert [each() for each in (function, gate, loaded.function, loaded.gate)] == ["on"] * 4


def test_reloading_a_module_that_takes_the_key_there_is(module):
    """Old and new functions follow it, as long as they live."""
    loaded = module(MADE_ONCE)
    loaded.key.inc()
    old = loaded.function, loaded.gate
    assert importlib.reload(loaded) is loaded
    assert loaded.key is jumplabel.key("reloaded") and loaded.key.count == 1 and len(loaded.key.entries) == 4
    for expected in ("on", "off"):
        assert [each() for each in (*old, loaded.function, loaded.gate)] == [expected] * 4
        loaded.key.disable()
    del old
    gc.collect()
    assert len(loaded.key.entries) == 2
