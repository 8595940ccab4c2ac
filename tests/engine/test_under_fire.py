"""The protocol under fire inside Python: C threads call trampolines while Python toggles, and Python threads do."""

import os
import subprocess
import sys
import threading
import time

import pytest

from jumplabel import StaticKey, batch, static_gate, static_switch

pytestmark = pytest.mark.stress


@pytest.fixture(scope="module")
def library(build_c):
    return build_c("callers", "-shared", "-fPIC", engine=())


def hammer_elsewhere(library, seconds, expectation, sites=1, blocked="()", **settings):
    """Hammer in a process of its own: it reads settings once, and it may die."""
    code = (
        f"import signal, sys; sys.path.insert(0, {os.path.dirname(os.path.dirname(__file__))!r})\n"
        "import callers, jumplabel\n"
        f"callers = callers.hammer({str(library)!r}, {seconds}, {sites}, blocked={blocked})\n"
        "info = jumplabel.info()\n"
        "assert callers.wrong == 0 < callers.done, info\n"
        f"assert callers.strict >= 2 * {sites}\n"  # each thread calls each site when the last toggle has returned
        f"assert {expectation}, info\n"
    )
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **settings}, check=True)


@pytest.mark.parametrize("sites", [1, 64])
def test_c_threads_without_the_gil(library, stress_seconds, sites):
    expectation = (
        "info.int3_current > 0 and info.int3_chained == 0"
        f" and info.batches == callers.done and info.sites_patched == {sites} * callers.done"
    )
    hammer_elsewhere(library, stress_seconds, expectation, sites, JUMPLABEL_POKE="int3")


def test_c_threads_with_the_signal(library, stress_seconds):
    expectation = "info.sync_method == 'signal' and info.int3_current > 0"
    hammer_elsewhere(library, stress_seconds, expectation, JUMPLABEL_SYNC="signal", JUMPLABEL_POKE="int3")


@pytest.mark.parametrize("blocked", ["signal.valid_signals()", "[signal.SIGTRAP]"])
def test_c_threads_that_block_sigtrap(library, stress_seconds, blocked):
    expectation = "info.word_batches == info.batches and info.int3_current == 0"
    hammer_elsewhere(library, stress_seconds, expectation, blocked=blocked)


def test_c_threads_where_none_may_trap(library, stress_seconds):
    expectation = "info.word_batches == info.batches and info.int3_current == 0"
    hammer_elsewhere(library, stress_seconds, expectation, JUMPLABEL_POKE="word")


def test_python_threads_that_block_all_signals(stress_seconds):
    code = f"""
import signal, threading, time
from jumplabel import StaticKey, info, static_gate

key = StaticKey("blocking")
gate = static_gate(key, default="off")(lambda: "on")
stop = threading.Event()
blocks = threading.Event()

def always():
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    blocks.set()
    while not stop.is_set():
        assert gate() in ("off", "on")

thread = threading.Thread(target=always)
thread.start()
blocks.wait()
end = time.monotonic() + {min(stress_seconds, 3)}
while time.monotonic() < end:
    key.enable()
    assert gate() == "on"
    key.disable()
    assert gate() == "off"
stop.set()
thread.join()
assert info().word_batches == info().batches > 0
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_python_threads(stress_seconds):
    """Each call sees the state that the last toggle left, or one of a toggle that overlaps it; two keys in a batch."""
    first, second = StaticKey("under_fire.first"), StaticKey("under_fire.second")

    @static_gate(first, default="off")
    def gate(number, *, word):
        return "on" if word == number * 2 else "wrong arguments"

    @static_switch(second, to=lambda self: "on")
    def method(self):
        return "off"

    thing = type("Thing", (), {"method": method})()
    state = {"begun": 0, "done": 0}
    wrong, strict = [], []
    stop = threading.Event()

    def call_both(number):
        """Returns how many of the calls were checked strictly: no toggle overlapped them."""
        n = 0
        for call in (lambda: gate(number, word=number * 2), lambda: thing.method()):
            done = state["done"]
            result = call()
            begun = state["begun"]
            allowed = {("off", "on")[done % 2]} if begun == done else {"off", "on"}
            n += len(allowed) == 1
            if result not in allowed:
                wrong.append((done, begun, result))
        return n

    def call_without_pause():
        number = 0
        while not stop.is_set():
            number += 1
            call_both(number)
        strict.append(call_both(number))  # behind the last toggle every check is strict

    callers = [threading.Thread(target=call_without_pause) for _ in range(2)]
    for caller in callers:
        caller.start()
    end = time.monotonic() + min(stress_seconds, 3)
    while time.monotonic() < end:
        state["begun"] += 1
        with batch():
            for key in (first, second):
                key.disable() if key else key.enable()
        state["done"] += 1
        if state["done"] % 51 == 0:  # after both kinds of toggle, time for calls that none overlaps
            time.sleep(1e-6)
    stop.set()
    for caller in callers:
        caller.join()
    assert not wrong
    assert strict == [2, 2]
    assert state["done"] > 0
