"""After a toggle by any thread or handler the next pass of any code takes the other branch."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from site_checks import off_on_off

from jumplabel import batch, static_branches, static_gate, static_switch

WAIT = 60  # seconds, for what takes no time on a machine that has some
HOT = 50_000  # passes: specialized, and compiled where the interpreter compiles

# ---- loops that run all the time ----

# Each counts its passes in passes[0], and ends when the key turns.
LOOPS = {
    "until on": "while True:\n        passes[0] += 1\n        if key: return",
    "until off": "while True:\n        passes[0] += 1\n        if not key: return",
    "while off": "while not key: passes[0] += 1",
    "while on": "while key: passes[0] += 1",
    "by its value, on": "while not (key and 1 in passes): passes[0] += 1; passes[1:] = [1]",
    "by its value, off": "while 1 == (1 if key or 0 else 2): passes[0] += 1",
    "in a generator": "def states():\n        while True:\n            passes[0] += 1\n"
    "            yield 'on' if key else 'off'\n    for state in states():\n        if state == 'on': return",
    "in a comprehension": "while True:\n        passes[0] += 1\n        if [1 for i in range(3) if key]: return",
    "in a call": "def inner():\n        passes[0] += 1\n        return 1 if key else 2\n    while inner() == 2: pass",
    "long": "while True:\n"
    + "        passes[0] += 1\n" * 100
    + "        if key:\n"
    + "            passes[1:] = []\n" * 100
    + "            return",
}


def wait_for(condition):
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_that_runs_in_another_thread(loop, key):
    """This happens twice: compiled code of the first time knows only the branch that is over."""
    space = {"key": key, "passes": [0]}
    exec(f"def run():\n    {LOOPS[loop]}", space)
    run = static_branches(space["run"])
    ends_when_off = loop.endswith(("off", "while on")) and loop != "while off"
    assert key.entries
    for _ in range(2):
        key.enable() if ends_when_off else key.disable()
        space["passes"][:] = [0]
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        wait_for(lambda: space["passes"][0] > HOT)
        assert thread.is_alive()
        key.disable() if ends_when_off else key.enable()
        thread.join(WAIT)
        assert not thread.is_alive()


@pytest.mark.skipif(not getattr(sys, "_jit", None) or not sys._jit.is_available(), reason="no JIT in this interpreter")
@pytest.mark.skipif(os.environ.get("PYTHON_JIT") == "1", reason="this is it")
def test_all_of_this_with_the_jit_on():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    environment = {**os.environ, "PYTHON_JIT": "1"}
    done = subprocess.run(
        command,
        env=environment,
        cwd=Path(__file__).parent.parent.parent,
        capture_output=True,
        text=True,
        timeout=10 * WAIT,
    )
    assert done.returncode == 0, done.stdout


def test_a_loop_in_this_thread_toggled_by_a_signal_handler(key):
    passes = [0]

    @static_branches
    def run():
        while True:
            passes[0] += 1
            if key:
                return

    before = signal.signal(signal.SIGALRM, lambda *_: key.enable())
    try:
        for _ in range(2):
            key.disable()
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            run()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert passes[0] > 2


def test_toggled_from_inside_the_branch_itself(key):
    @static_branches
    def run(n):
        seen = ""
        for i in range(n):
            if key:
                seen += "1"
                key.disable()
                seen += "+" if key else "-"
            else:
                seen += "0"
                if i % 3 == 0:
                    key.enable()
                    seen += "+" if key else "-"
            seen += "1" if not (not key) else "0"
        return seen

    for n in (3, 30, 30_000):
        key.disable()
        expected = ""
        state = False
        for i in range(n):
            if state:
                state = False
                expected += "1-"
            elif i % 3 == 0:
                state = True
                expected += "0+"
            else:
                expected += "0"
            expected += "1" if state else "0"
        assert run(n) == expected


def test_toggled_by_what_a_test_calls(key):
    """The call is between two tests of one expression."""

    def toggle():
        key.disable() if key.enabled else key.enable()
        return True

    @static_branches
    def run():
        return "on" if key and toggle() and key else "off", "off" if not key and toggle() and not key else "on"

    for _ in range(3):
        key.disable()
        assert run() == ("off", "on")
        assert run() == ("off", "on")


def test_a_suspended_generator_and_a_coroutine_between_two_awaits(key):
    @static_branches
    def generator():
        while True:
            state = "on" if key else "off"
            yield state
            assert ("on" if key else "off") != state

    @static_branches
    async def coroutine():
        seen = []
        for _ in range(4):
            seen.append("on" if key else "off")
            await asyncio.sleep(0)
        return seen

    async def toggler():
        for _ in range(4):
            key.disable() if key.enabled else key.enable()
            await asyncio.sleep(0)

    async def both():
        return (await asyncio.gather(coroutine(), toggler()))[0]

    running = generator()
    for enabled in off_on_off(key):
        assert next(running) == ("on" if enabled else "off")
    assert asyncio.run(both()) == ["off", "on", "off", "on"]


def test_every_site_of_a_key_and_of_a_batch_native_ones_too(key, other_key):
    gate = static_gate(key, default="off")(lambda: "on")
    switch = static_switch(other_key, to=lambda: "on")(lambda: "off")

    @static_branches
    def branch():
        return ("on" if key else "off", "on" if other_key else "off")

    def states():
        return gate(), switch(), *branch()

    assert {entry.kind for entry in key.entries} == {"gate", "branch"}
    for _ in range(2):
        with batch():
            key.enable()
            other_key.enable()
            assert states() == ("off",) * 4
        assert states() == ("on",) * 4
        with batch():
            key.disable()
            other_key.disable()
        assert states() == ("off",) * 4
        with key.override(True):
            assert states() == ("on", "off", "on", "off")
        assert states() == ("off",) * 4


@pytest.mark.stress
def test_many_threads_while_a_key_is_toggled(key, other_key, stress_seconds):
    """A stress test: no pass sees a state that was over before it began, or goes where neither state leads.

    A pass that no toggle overlaps is checked strictly. Now and then the toggling thread waits, in either state, until
    each thread has made such a pass.
    """
    stop = []
    wrong = []
    strict = [0, 0, 0]

    @static_branches
    def run(thread):
        while not stop:
            before = changes[0]
            first = 1 if key else 0
            second = (key and 1) or 0
            long = 0
            if not key:
                long = 1
            after = changes[0]
            if before == after and before % 2 == 0:
                strict[thread] += 1
                state = before // 2 % 2
                if (first, second, 1 - long) != (state, state, state):
                    wrong.append((before, first, second, long))

    changes = [0]  # odd: a toggle is under way; half of it: how many there were
    waits = 0
    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(strict))]
    for thread in threads:
        thread.start()
    end = time.monotonic() + min(stress_seconds, 5)
    try:
        while time.monotonic() < end or not waits:
            for toggle in (key.enable, key.disable):
                changes[0] += 1
                toggle()
                changes[0] += 1
                if changes[0] % 50 in (0, 2):
                    waits += 1
                    made = list(strict)
                    wait_for(lambda made=made: all(now > before + 1 for now, before in zip(strict, made, strict=True)))
    finally:
        stop.append(True)
        for thread in threads:
            thread.join(WAIT)
    assert not wrong
    assert min(strict) > waits > 1
