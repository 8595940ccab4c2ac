"""Long lives and many of them: nothing grows, nothing gets slower.

Either of

    python tests/programs/endurance.py --seconds 3600         a mixed load; prints what grows, by operation
    python tests/programs/endurance.py --callables 1000000    so many sites made and dropped, while others toggle
"""

import argparse
import contextlib
import ctypes
import gc
import os
import sys
import threading
import time
from pathlib import Path

import cffi

sys.path.append(str(Path(__file__).parents[1]))

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
    """Use everything once, some of it at times only. Other threads toggle the key."""
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
    """Use static calls, tracepoints, snapshots, native branches, coroutines and arrays."""
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
    """Have other threads toggle the key during the block."""
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
    """Return what is in use now: name -> amount."""
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
    """Return the growth under the mixed load by operation, the number of operations, and the measures at the end."""
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
    """Return the slope between the medians of the halves. A single step, as of a table that doubles, is not growth."""
    half = len(points) // 2
    (x0, y0), (x1, y1) = (sorted(part, key=lambda p: p[1])[len(part) // 2] for part in (points[:half], points[-half:]))
    return (y1 - y0) / (x1 - x0)


# ---- many, one after another ----


def come_and_go(count, kinds="gate switch branches"):
    """Make, call and drop so many sites while two threads toggle their keys."""
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
