"""The protocol under fire inside Python: C threads call trampolines while Python toggles, and Python threads do."""

import os
import subprocess
import sys
import threading
import time

import pytest
from callers import hammer

import jumplabel
from jumplabel import StaticKey, batch, static_gate, static_switch


@pytest.fixture(scope="module")
def library(build_c):
    return build_c("callers", "-shared", "-fPIC", engine=False)


@pytest.mark.parametrize("sites", [1, 64])
def test_c_threads_without_the_gil(library, stress_seconds, sites):
    before = jumplabel.info()
    callers = hammer(library, stress_seconds, sites)
    after = jumplabel.info()
    assert callers.wrong == 0
    assert callers.calls > 0
    assert after.int3_current - before.int3_current > 100 * stress_seconds
    assert after.int3_chained == before.int3_chained
    assert after.batches - before.batches == callers.done
    assert after.sites_patched - before.sites_patched == sites * callers.done


def test_c_threads_with_the_signal(library, stress_seconds):
    """In a process of its own: the method is chosen before the first site."""
    code = (
        f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r})\n"
        "import callers, jumplabel\n"
        f"callers = callers.hammer({str(library)!r}, {stress_seconds}, 1)\n"
        "info = jumplabel.info()\n"
        "assert info.sync_method == 'signal'\n"
        "assert callers.wrong == 0 < callers.done\n"
        f"assert info.int3_current > 100 * {stress_seconds}, info\n"
    )
    environment = {**os.environ, "JUMPLABEL_SYNC": "signal"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


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
    wrong = []
    stop = threading.Event()

    def call_without_pause():
        number = 0
        while not stop.is_set():
            number += 1
            for call in (lambda: gate(number, word=number * 2), lambda: thing.method()):  # noqa: B023
                done = state["done"]
                result = call()
                begun = state["begun"]
                allowed = {("off", "on")[done % 2]} if begun == done else {"off", "on"}
                if result not in allowed:
                    wrong.append((done, begun, result))

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
    stop.set()
    for caller in callers:
        caller.join()
    assert not wrong
    assert state["done"] > 0
