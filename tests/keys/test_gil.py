"""A toggle keeps the GIL while it has to wait for no other thread (csrc/cpython/key_toggle.c)."""

import os
import subprocess
import sys
import sysconfig

import pytest

pytestmark = pytest.mark.skipif(bool(sysconfig.get_config_var("Py_GIL_DISABLED")), reason="there is none")

PREAMBLE = """
import signal, sys, threading, time
from jumplabel import StaticKey, info, static_gate
from jumplabel._diagnostics import seccomp
from jumplabel._engine import lib
signal.alarm(60)
key = StaticKey("key")
gate = static_gate(key)(lambda: 1)
if not info().native:
    sys.exit(77)
ended = False
ticks = 0

def tick():
    global ticks
    while not ended:
        ticks += 1
        time.sleep(0)

def block_for_a_while():
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    blocked.set()
    time.sleep(0.05)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())

blocked = threading.Event()
"""


def run(script, *arguments, first="", **environment):
    done = subprocess.run(
        [sys.executable, "-c", first + PREAMBLE + script, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | environment,
    )
    if done.returncode == 77:
        pytest.skip("no native sites here")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("how", ["a toggle", "a toggle with a callback", "a batch"])
def test_no_other_thread_runs_python_during(how):
    """The other thread would keep the GIL for its whole switch interval. That is long here, so it runs only if the
    toggling thread lets go of the GIL.
    """
    run(
        """
import contextlib, jumplabel
block = jumplabel.batch if sys.argv[1] == "a batch" else contextlib.nullcontext
if sys.argv[1] == "a toggle with a callback":
    jumplabel.on_toggle(lambda toggle: None)
others = [StaticKey(f"key.{i}") for i in range(10)]
sys.setswitchinterval(100)  # before the other thread begins to wait
threading.Thread(target=tick, daemon=True).start()
before = ticks
for _ in range(300):
    with block():
        key.enable()
        for other in others:
            other.inc()
    with block():
        key.disable()
assert ticks == before
ended = True
assert gate() is None
""",
        how,
    )


def test_others_run_while_another_thread_patches():
    run(
        """
began = time.monotonic()
lib.jump_label_sync(10_000)
n = int(10_000 * 0.5 / (time.monotonic() - began))
threading.Thread(target=tick, daemon=True).start()
patching = threading.Thread(target=lib.jump_label_sync, args=(n,))
patching.start()
waited = False
while patching.is_alive() and not waited:
    before = ticks
    key.enable()
    key.disable()
    waited = ticks > before + 10
assert waited
ended = True
assert gate() is None
"""
    )


def test_a_fork_that_waits_for_the_gil_is_not_waited_for_with_it():
    """The fork holds the mutex: the engine's handler was registered later, so it runs first. Another handler wants the
    GIL.
    """
    run(
        """
forking = threading.Thread(target=libc.fork)
forking.start()
wanted.wait()
key.enable()
forking.join()
assert gate() == 1
""",
        first="""
import ctypes, threading, time
libc = ctypes.CDLL(None)
wanted = threading.Event()

@ctypes.CFUNCTYPE(None)
def prepare():
    wanted.set()
    time.sleep(0.2)

libc.__register_atfork(prepare, None, libc._exit, None)  # as pthread_atfork() does; the child ends at once
""",
    )


@pytest.mark.parametrize("what", ["sites", "threads"])
def test_others_run_while_much_is_to_be_done(what):
    """More than the interpreter lets a thread do while others wait."""
    run(
        """
end = threading.Event()
if sys.argv[1] == "sites":
    gates = [static_gate(key)(len) for _ in range(100_001)]
else:
    for _ in range(120):
        threading.Thread(target=end.wait, daemon=True).start()
key.enable()       # after it we know how many threads there are
threading.Thread(target=tick, daemon=True).start()
sys.setswitchinterval(100)
before = ticks
for _ in range(30):
    key.disable()
    key.enable()
assert ticks > before
assert gate() == 1
""",
        what,
    )


def test_others_run_while_threads_must_answer():
    """A thread blocks the signal, and needs the GIL to go on. Waiting for it in vain would take a second."""
    run(
        """
times = []
for _ in range(3):
    blocked.clear()
    threading.Thread(target=block_for_a_while).start()
    blocked.wait()
    began = time.monotonic()
    key.enable()
    times.append(time.monotonic() - began)
    key.disable()
assert info().sync_method == "signal" and min(times) < 0.9, times
assert gate() is None
""",
        JUMPLABEL_SYNC="signal",
    )


def test_others_run_when_it_turns_out_that_threads_must_answer():
    """Membarrier is refused from now on: the toggle with the GIL fails, and then there is one without."""
    run(
        """
key.enable()
thread = threading.Thread(target=block_for_a_while)
try:
    seccomp.refuse("membarrier")
except OSError:
    sys.exit(77)
thread.start()
blocked.wait()
key.disable()
assert info().sync_method == "signal" and gate() is None
thread.join()
"""
    )
