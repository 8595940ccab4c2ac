"""Long lives and many of them: nothing grows, nothing gets slower, nothing stays behind.

The tests are short; what takes longer is run by

    python tests/package/test_endurance.py --seconds 3600         a mixed load; prints what grows, by operation
    python tests/package/test_endurance.py --callables 1000000    so many sites made and dropped, while others toggle
"""

import argparse
import contextlib
import ctypes
import gc
import importlib
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from pathlib import Path

import cffi
import pytest
from site_checks import echo, fork_quietly, make

import jumplabel
from jumplabel import (
    StaticCall,
    StaticKey,
    StaticKeyArray,
    StaticKeyError,
    Tracepoint,
    batch,
    native_branch,
    static_branches,
    static_gate,
    static_switch,
)

# ---- the mixed load ----

SOURCE = """
def function(x):
    for _ in range(2):
        if key: x += 1
    return [x for _ in "ab" if other], key and x
"""
CODE = compile(SOURCE, "<endurance>", "exec")


def operation(i, key):
    """Everything once; some of it at times only. The key is one that others toggle."""
    mine = StaticKey(f"endurance {i % 1000}", default=i % 2 == 0)
    gate, switch = static_gate(mine, default=i)(echo), static_switch(key, to=echo)(echo)
    space = {"key": mine, "other": key}
    exec(CODE, space)
    function, shared = static_branches(space.pop("function")), static_branches(make(key))
    for _ in range(2):
        state = mine.enabled
        assert (gate(1) == ((1,), {})) is state and switch(2) == ((2,), {})
        assert function(0)[1] == (2 if state else mine) and shared() in ("on", "off")
        with batch():
            mine.disable() if state else mine.enable()
            key.inc()
            key.dec()
        assert mine.enabled is not state
    with mine.override(True), mine.override(False):
        assert gate() == i
    with contextlib.suppress(StaticKeyError):
        StaticKey(mine.name)
    with contextlib.suppress(ZeroDivisionError), batch():
        mine.inc()
        raise ZeroDivisionError
    gate.itself = gate
    family(i, mine, key)
    if i % 50 == 0:
        in_threads(lambda: (mine.inc(), static_gate(mine)(echo)(), static_branches(make(mine))(), mine.dec()))
    if i % 500 == 0:
        fork_and_use(mine)
    if i % 100 == 0:
        gc.collect()
        assert jumplabel.jump_table() and jumplabel.info()


async def coroutine():
    return "run"


C_ABS = cffi.FFI()
C_ABS.cdef("int abs(int); int toupper(int);")
C = C_ABS.dlopen(None)


def family(i, mine, key):
    """What is not a gate, a switch or a branch in place."""
    call, tracepoint = StaticCall(echo), Tracepoint(f"endurance tracepoint {i % 1000}")
    call.update(lambda: call)
    for probe in (Callable(), echo, call):
        tracepoint.register(probe)
        tracepoint()
    tracepoint.unregister(echo)
    call.update(None)
    assert tracepoint() is call() is None
    snapshots = [static_branches(make(each), snapshot=True) for each in (mine, key)]
    native = native_branch(mine, off=C.abs, on=C.toupper).cast(C_ABS, "int(*)(int)")
    gated = static_gate(mine, default=snapshots)(coroutine)
    for state in (False, True):
        with mine.override(state):
            assert snapshots[0]() == ("on" if state else "off") and snapshots[1]() in ("on", "off")
            assert native(-97) == 97 if not state else native(97) == 65
            with contextlib.suppress(StopIteration):
                gated().send(None)
    one, two = StaticKeyArray(f"endurance array {i % 1000}", ["one", "two"], deferred=0.5)
    one.inc()
    two.inc()
    one.dec()
    two.dec()
    two.flush()
    assert one.enabled and not two.enabled


class Callable:
    def __call__(self):
        return self


def in_threads(function, n=3):
    threads = [threading.Thread(target=function) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def fork_and_use(key):
    pid = fork_quietly()
    if not pid:
        status = 1
        with contextlib.suppress(BaseException):
            key.disable() if key.enabled else key.enable()
            status = 0 if static_gate(key, default=7)(lambda: 7)() == 7 else 2
        os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@contextlib.contextmanager
def toggled(key, n=1, pause=0.0):
    """Others toggle the key for as long."""
    stop = threading.Event()

    def toggle():
        while not stop.is_set():
            key.inc()
            key.dec()
            time.sleep(pause)

    threads = [threading.Thread(target=toggle) for _ in range(n)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


# ---- what grows ----


class Mallinfo(ctypes.Structure):
    """struct mallinfo2 of <malloc.h>."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd a b uordblks c d".split())


def measures():
    """What is in use now: name -> amount."""
    gc.collect()
    info = jumplabel.info()  # buries what has been dropped
    heap = ctypes.CDLL(None).mallinfo2
    heap.restype = Mallinfo
    in_use = heap()
    return {
        "bytes of malloc()": in_use.uordblks + in_use.hblkhd,
        "blocks of Python": sys.getallocatedblocks(),
        "bytes resident": int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE"),
        "bytes of trampolines": info.arena_bytes,
        "keys": info.keys,
        "sites": info.native_sites + info.plain_sites + info.bytecode_sites,
        "mappings": Path("/proc/self/maps").read_bytes().count(b"memfd:jumplabel"),
        "files": len(os.listdir("/proc/self/fd")),
    }


MOST = {  # by operation; what a second of them needs is the noise
    "bytes of malloc()": 12,
    "blocks of Python": 0.15,
    "bytes of trampolines": 0,
    "keys": 0,
    "sites": 0,
    "mappings": 0,
    "files": 0,
}


def slopes(seconds, warm_up=600, samples=10):
    """What grows under the mixed load, by operation; the operations; the measures at the end."""
    key = StaticKey("endurance")
    static_gate(key)(echo)
    done, points = 0, []
    with toggled(key, pause=0.001):
        for _ in range(warm_up):
            operation(done, key)
            done += 1
        for n in range(1, samples + 1):
            end = time.monotonic() + seconds / samples
            while time.monotonic() < end or done % 100:
                operation(done, key)
                done += 1
            points.append((done, measures()))
            if n == 1 and seconds < 2 * samples:  # the first measurement needs some memory itself
                points.clear()
                points.append((done, measures()))
    return {name: slope([(x, all_[name]) for x, all_ in points]) for name in points[0][1]}, done, points[-1][1]


def slope(points):
    """Of the medians of the two halves: a single step, as of a table that doubles, is not growth."""
    half = len(points) // 2
    (x0, y0), (x1, y1) = (sorted(part, key=lambda p: p[1])[len(part) // 2] for part in (points[:half], points[-half:]))
    return (y1 - y0) / (x1 - x0)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="the C library does not tell what is in use")
def test_nothing_grows(stress_seconds):
    """In a process of its own: other tests leave memory that is freed in the middle of it."""
    found = in_a_process(["--seconds", str(max(min(stress_seconds, 20), 4)), "--strict"])
    assert "operations" in found


def in_a_process(arguments):
    path = os.pathsep.join(sys.path)
    command = [sys.executable, __file__, *arguments]
    result = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, check=False
    )
    assert result.returncode == 0, f"{result.returncode}: {result.stdout[-2000:]} {result.stderr[-2000:]}"
    return result.stdout


# ---- many, one after another ----


def come_and_go(count, kinds="gate switch branches"):
    """So many sites are made, called and dropped while two threads toggle their keys."""
    keys = [StaticKey(f"come and go {i}") for i in range(3)]
    alive = []
    space = {"key": keys[0], "other": keys[1]}
    with toggled(keys[0]), toggled(keys[1]):
        for i in range(count):
            key, kind = keys[i % 3], kinds.split()[i // 3 % 3]
            if kind == "gate":
                made = static_gate(key, default="off")(lambda: "on")
            elif kind == "switch":
                made = static_switch(key, to=lambda: "on")(lambda: "off")
            elif i % 2:
                made = static_branches(make(key))
            else:
                exec(CODE, space)
                function = static_branches(space.pop("function"))
                made = lambda function=function: "on" if function(1) else "off"  # noqa: E731
            assert made() in ("on", "off")
            alive.append(made)
            if len(alive) > 200:
                del alive[:100]
    alive.clear()
    function = made = None
    gc.collect()
    return [key.entries for key in keys]


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
    program = """
        import gc
        from jumplabel import StaticKey, info, static_gate

        class Owner:
            def __init__(self, key):
                self.key, self.me = key, self
                key.owner = self

            def __del__(self):
                for _ in range(9):
                    self.key.inc()
                counts.append((self.key.count, repr(self.key)))

        class Key(StaticKey):
            pass

        def held(key):
            with key.override(True):
                yield
            assert not key.enabled

        counts = []
        for i in range(100):
            Owner(Key(f"deleted {i}"))
            key = Key(f"held {i}")
            key.held = held(key)
            next(key.held)
            key = None
            gc.collect()
            new = [StaticKey("new" * n) for n in range(1, 20)]  # in the memory of keys that are gone too early
            assert counts.pop() == (9, f"<StaticKey 'deleted {i}' on, 9 users, 0 sites>")
            new.clear()
        assert info().keys == 0
        """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)


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
    """Old and new functions follow it, as long as anybody has them."""
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


# ---- the program ----


def main():
    parser = argparse.ArgumentParser(description="Whether anything grows under a long mixed load.")
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--callables", type=int, default=0)
    parser.add_argument("--strict", action="store_true", help="fail where something grows")
    options = parser.parse_args()
    grew = []
    if options.callables:
        before, began = measures(), time.monotonic()
        assert come_and_go(options.callables) == [(), (), ()]
        after = measures()
        print(f"{options.callables} sites made and dropped in {time.monotonic() - began:.0f} s")
        for name, value in after.items():
            print(f"{(value - before[name]) / options.callables:12.4f} {name} a site more, {value} now")
    if options.seconds:
        found, done, now = slopes(options.seconds)
        print(f"{done} operations")
        for name, value in found.items():
            print(f"{value:12.4f} {name} an operation, {now[name]} now")
        grew = [name for name, most in MOST.items() if found[name] > most]
    if grew:
        print("GREW:", *grew)
    return bool(grew) and options.strict


if __name__ == "__main__":
    sys.exit(main())
