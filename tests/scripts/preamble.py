"""What every script in a process of its own begins with: processes.py puts it before the script's text.

The scripts use what it imports.
"""

# ruff: noqa: F401

import errno
import gc
import os
import queue
import re
import signal
import sys
import threading
from pathlib import Path

import jumplabel
from jumplabel import PatchError, StaticKey, StaticKeyError, batch, info, static_gate, static_switch
from jumplabel._diagnostics import seccomp
from jumplabel._engine import ffi

signal.alarm(120)
sys.setswitchinterval(1e-4)
thread = threading.Thread(target=int)  # with the first one the C library takes a signal for itself
thread.start()
thread.join()


class Traces:
    """The traces that taking signals, mapping memory and opening files leave behind."""

    def __init__(self):
        self.signals = re.search("SigCgt:\t(.*)", Path("/proc/self/status").read_text())[1]
        self.mappings = self.executable_mappings()
        self.files = sorted(os.listdir("/proc/self/fd"))

    def executable_mappings(self):
        lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
        return [line[:2] for line in lines if "x" in line[1]] + [line for line in lines if "s" in line[1]]


def code(key):
    """The bytes that decide, of all its sites."""
    return [bytes(ffi.buffer(ffi.cast("char *", entry.address), 6)) for entry in key.entries]


def everything(native):
    """The whole interface at work."""
    key, other = StaticKey("everything"), StaticKey("everything else", default=True)
    default = object()

    @static_gate(key, default=default)
    def gate(*args, **kwargs):
        return args, kwargs

    @static_switch(key, to=lambda *args, **kwargs: ("to", args, kwargs))
    def switch(*args, **kwargs):
        return "from", args, kwargs

    class Class:
        @static_gate(key)
        def method(self, n):
            return self, n

        @classmethod
        @static_gate(key)
        def class_method(cls, n):
            return cls, n

        @static_switch(key, to=lambda n: -n)
        @staticmethod
        def static_method(n):
            return n

    over = static_gate(other)(static_switch(key, to=abs)(lambda n: n))
    raising = static_gate(key)(lambda: 1 / 0)
    instance = Class()

    def check(enabled):
        assert key.enabled is enabled and all(entry.state is enabled for entry in key.entries)
        assert gate(1, a=2) is default if not enabled else gate(1, a=2) == ((1,), {"a": 2})
        assert switch(1, *[2], **{"a": 3}) == ("to" if enabled else "from", (1, 2), {"a": 3})
        assert instance.method(1) == ((instance, 1) if enabled else None)
        assert Class.class_method(n=1) == ((Class, 1) if enabled else None)
        assert instance.static_method(1) == (-1 if enabled else 1)
        assert over(-1) == ((1 if enabled else -1) if other else None)
        try:
            assert raising() is None and not enabled
        except ZeroDivisionError:
            assert enabled

    check(False)
    for _ in range(3):
        key.enable()
        check(True)
        key.disable()
        check(False)
    key.inc()
    key.inc()
    try:
        key.disable()
        raise AssertionError("several users")
    except StaticKeyError:
        check(True)
    with batch():
        key.dec()
        key.dec()
        other.disable()
        check(True)
    check(False)
    with key.override(True), other.override(True):
        check(True)
    check(False)

    seen, stop = [], threading.Event()
    toggled, checked = threading.Semaphore(0), threading.Semaphore(0)

    def call_without_pause():
        while not stop.is_set():
            assert gate() in (default, ((), {})) and switch()[0] in ("from", "to")

    def look():
        while toggled.acquire() and not stop.is_set():
            seen.append(gate() is not default and switch()[0] == "to")
            checked.release()

    targets = look, call_without_pause, call_without_pause
    threads = [threading.Thread(target=target, daemon=True) for target in targets]
    for thread in threads:
        thread.start()
    for turn in range(60):
        key.dec() if turn % 2 else key.inc()
        toggled.release()
        checked.acquire()
    stop.set()
    toggled.release()
    for thread in threads:
        thread.join()
    assert seen == [True, False] * 30

    assert [entry.native for entry in key.entries + other.entries] == [native] * 8
    assert (info().native_sites, info().plain_sites) == ((8, 0) if native else (0, 8))
    assert info().native is native
    forked(lambda: (key.enable(), check(True), key.disable(), check(False)))
    check(False)


def forked(function):
    """Run it in a child; fail here where it fails there."""
    assert ended(fork(function)) == 0


def fork(function):
    pid = os.fork()
    if not pid:
        run_and_exit(function, 60)
    return pid


def run_and_exit(function, seconds):
    """Run it in this process, which ends with 0; with 1 and a traceback where it fails. It has so many seconds."""
    signal.alarm(seconds)
    try:
        function()
        os._exit(0)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(1)


def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def thread_works():
    """Hand the GIL over to another thread and back."""
    turns = []
    for _ in range(100):
        thread = threading.Thread(target=turns.append, args=(1,))
        thread.start()
        thread.join()
    assert len(turns) == 100


class BlockingThread:
    """A thread that blocks all signals, to its end or until told otherwise."""

    def __init__(self):
        self.commands, self.done = queue.Queue(), queue.Queue()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        self.done.get()

    def run(self):
        old = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        self.done.put("blocked")
        if self.commands.get() == "unblock":
            signal.pthread_sigmask(signal.SIG_SETMASK, old)
            self.done.put("unblocked")
            self.commands.get()

    def unblock(self):
        self.commands.put("unblock")
        self.done.get()

    def end(self):
        self.commands.put("end")
        self.thread.join()


class OtherThread:
    """A thread that does something without pause, or just waits."""

    def __init__(self, function=None):
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run, args=(function or self.stop.wait,), daemon=True)

    def run(self, function):
        while not self.stop.is_set():
            function()

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *exception):
        self.stop.set()
        self.thread.join()


def refused(error, function, *args):
    """It raises PatchError with this errno."""
    try:
        function(*args)
    except PatchError as caught:
        assert caught.errno == error, caught
        return caught
    raise AssertionError(f"{function} worked")
