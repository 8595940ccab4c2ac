"""Where the kernel refuses what native sites need, and where a process is forked: each case in a process of its own.

The refusals are real ones, by seccomp filters (seccomp.py). Every process has an alarm(2) set, to fail and not to hang.
"""

import errno
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

PREAMBLE = """
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
from jumplabel import seccomp
from jumplabel import PatchError, StaticKey, StaticKeyError, batch, info, static_gate, static_switch
from jumplabel._engine import ffi

signal.alarm(120)
sys.setswitchinterval(1e-4)
thread = threading.Thread(target=int)  # with the first one the C library takes a signal for itself
thread.start()
thread.join()


class Traces:
    '''What taking signals, mapping memory and opening files leaves behind.'''

    def __init__(self):
        self.signals = re.search("SigCgt:\\t(.*)", Path("/proc/self/status").read_text())[1]
        self.mappings = self.executable_mappings()
        self.files = sorted(os.listdir("/proc/self/fd"))

    def executable_mappings(self):
        lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
        return [line[:2] for line in lines if "x" in line[1]] + [line for line in lines if "s" in line[1]]

def code(key):
    '''The bytes that decide, of all its sites.'''
    return [bytes(ffi.buffer(ffi.cast("char *", entry.address), 5)) for entry in key.entries]


def everything(native):
    '''The whole interface at work.'''
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
    '''Run it in a child; fail here where it fails there.'''
    assert ended(fork(function)) == 0


def fork(function):
    pid = os.fork()
    if pid:
        return pid
    signal.alarm(60)
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


class BlockingThread:
    '''A thread that blocks all signals, to its end or until told otherwise.'''

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
    '''A thread that does something without pause, or just waits.'''

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
    '''It raises PatchError with this errno.'''
    try:
        function(*args)
    except PatchError as caught:
        assert caught.errno == error, caught
        return caught
    raise AssertionError(f"{function} worked")
"""


def run(*scripts, **settings):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JUMPLABEL_")}
    environment |= settings | {"PYTHONPATH": str(Path(__file__).parent)}
    script = "\n".join(map(textwrap.dedent, (PREAMBLE, *scripts)))
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(script)
        file.flush()
        command = [sys.executable, "-W", "ignore::DeprecationWarning", file.name]  # a fork with threads is what we test
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode or done.stderr:
        pytest.fail(f"{done.stderr}ended with {done.returncode}", pytrace=False)


@pytest.fixture(autouse=True, scope="module")
def seccomp():
    check = """
from jumplabel import seccomp
try:
    seccomp.refuse("membarrier")
except OSError as error:
    print(error.errno)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    answer = subprocess.run([sys.executable, "-c", check], env=environment, capture_output=True, text=True, check=True)
    if answer.stdout.strip() in (str(errno.EINVAL), str(errno.ENOSYS)):
        pytest.skip("this kernel has no seccomp filters")
    assert answer.stdout == ""


# ---- another way is found ----


@pytest.mark.parametrize(
    ("refusals", "method"),
    [
        ("pass", "membarrier"),
        ("seccomp.refuse('memfd_create')", "membarrier"),
        ("seccomp.refuse('memfd_create', error=errno.ENOSYS)", "membarrier"),
        ("seccomp.refuse('membarrier')", "signal"),
        ("seccomp.refuse('membarrier', error=errno.ENOSYS)", "signal"),
        ("seccomp.refuse('membarrier', 0, value=1 << 5)", "signal"),  # SYNC_CORE alone, as a kernel without it does
        ("seccomp.refuse('membarrier'); seccomp.refuse('memfd_create')", "signal"),
        ("seccomp.refuse('rt_tgsigqueueinfo')", "membarrier"),
    ],
)
def test_native_by_another_way(refusals, method):
    run(
        refusals,
        f"""
        everything(native=True)
        assert (info().sync_method, info().refusal) == ({method!r}, None)
        """,
    )


@pytest.mark.parametrize("refusals", ["pass", "seccomp.refuse('memfd_create')"])
def test_native_where_memory_may_never_gain_execution(refusals):
    run(
        f"""
        try:
            seccomp.deny_write_execute()
        except OSError as error:
            assert error.errno == errno.EINVAL  # before Linux 6.3
        {refusals}
        everything(native=True)
        """,
        PYTHON_JIT="0",  # the interpreter's own needs just that
    )


# ---- the plain branch ----

PLAIN = [
    pytest.param("pass", "JUMPLABEL_NATIVE=0", {"JUMPLABEL_NATIVE": "0"}, id="setting"),
    pytest.param("seccomp.refuse_executable_memory()", "executable memory", {}, id="memory"),
    pytest.param("seccomp.refuse('mmap', 2, bits=4)", "executable memory", {}, id="mmap alone"),
    pytest.param(
        "seccomp.refuse('memfd_create'); seccomp.refuse('mremap')", "executable memory", {}, id="memfd_create, mremap"
    ),
    pytest.param(
        "seccomp.refuse_executable_memory()", "executable memory", {"JUMPLABEL_SYNC": "signal"}, id="signal, memory"
    ),
    pytest.param(
        "seccomp.refuse_executable_memory(); seccomp.refuse('membarrier')",
        "executable memory|sync",
        {},
        id="memory, membarrier",
    ),
    pytest.param(
        "seccomp.refuse('membarrier'); seccomp.refuse('rt_tgsigqueueinfo')", "core synchronization", {}, id="both syncs"
    ),
    pytest.param(
        "seccomp.refuse('membarrier')", "core synchronization", {"JUMPLABEL_SYNC": "membarrier"}, id="membarrier"
    ),
    pytest.param(
        "seccomp.refuse('rt_tgsigqueueinfo')", "core synchronization", {"JUMPLABEL_SYNC": "signal"}, id="signal"
    ),
    pytest.param("seccomp.refuse('rt_sigaction', 0, value=signal.SIGTRAP)", "SIGTRAP handler", {}, id="handler"),
]


@pytest.mark.parametrize("threads", ["alone", "with threads"])
@pytest.mark.parametrize(("refusals", "refusal", "settings"), PLAIN)
def test_the_plain_branch(refusals, refusal, settings, threads):
    run(
        refusals,
        f"""
        other = OtherThread()
        if {threads == "with threads"}:
            other.__enter__()
        before = Traces()
        probe = static_gate(StaticKey("probe"))(len)
        assert info().native is False
        assert re.search({refusal!r}, info().refusal), info().refusal
        assert info().sync_method is None
        if {refusal != "SIGTRAP handler"}:
            assert info().arena_bytes == 0 and vars(Traces()) == vars(before)
        del probe
        everything(native=False)
        assert Traces().signals == before.signals
        assert info().batches == info().sites_patched == 0
        if other.thread.is_alive():
            other.__exit__()
        """,
        **settings,
    )


def test_the_plain_branch_is_not_for_ever():
    """Each new site tries again; here a thread that blocks the signal is gone."""
    run(
        """
        key = StaticKey("key")
        blocking = BlockingThread()
        first = static_gate(key)(lambda: "first")
        assert info().native is False and "core synchronization refused" in info().refusal
        blocking.end()
        second = static_gate(key)(lambda: "second")
        assert info().native is True and [entry.native for entry in key.entries].count(True) == 1
        for state in (True, False, True):
            key.enable() if state else key.disable()
            assert (first(), second()) == (("first", "second") if state else (None, None))
        """,
        JUMPLABEL_SYNC="signal",
    )


def test_plain_forks_while_another_thread_toggles():
    run(
        """
        key = StaticKey("key")
        gate = static_gate(key)(lambda: "on")

        def child():
            assert gate() == ("on" if key else None)
            key.enable()
            assert gate() == "on"

        with OtherThread(lambda: (key.enable(), key.disable())):
            for _ in range(200):
                forked(child)
        """,
        JUMPLABEL_NATIVE="0",
    )


def test_keys_without_sites_fork_while_another_thread_toggles():
    run(
        """
        key = StaticKey("key")
        with OtherThread(lambda: (key.enable(), key.disable())):
            for _ in range(200):
                forked(key.enable)
        """
    )


# ---- refused later ----

LATER = """
    key, other = StaticKey("key"), StaticKey("other")
    gate, switch = static_gate(key)(lambda: "on"), static_switch(other, to=lambda: "on")(lambda: "off")
    key.enable()
    key.disable()

    def several():
        with batch():
            key.enable()
            other.enable()

    def is_refused(error, toggle):
        before = code(key), code(other), key.count, other.count, key.entries, other.entries, info().batches
        refused(error, toggle)
        assert (code(key), code(other), key.count, other.count, key.entries, other.entries, info().batches) == before
        assert not key and not other and gate() is None and switch() == "off"

    def toggles_work():
        for state in (True, False, True, False):
            key.enable() if state else key.disable()
            assert gate() == ("on" if state else None) and key.entries[0].state is state
"""


def test_both_syncs_refused_later():
    run(
        LATER,
        """
        with OtherThread():
            seccomp.refuse("membarrier")
            seccomp.refuse("rt_tgsigqueueinfo", error=errno.EACCES)
            signals = Traces().signals
            for toggle in (key.enable, key.inc, several, key.override(True).__enter__):
                is_refused(errno.EACCES, toggle)
            assert Traces().signals == signals

            late = static_gate(key)(lambda: "late")
            assert [entry.native for entry in key.entries].count(False) == 1
            assert "a trampoline refused" in info().refusal
            assert late() is None
            refused(errno.EACCES, key.enable)
            assert late() is gate() is None
        """,
    )


def test_an_override_that_cannot_be_lifted_stays():
    run(
        LATER,
        """
        with OtherThread():
            override = key.override(True)
            override.__enter__()
            seccomp.refuse("membarrier")
            seccomp.refuse("rt_tgsigqueueinfo")
            refused(errno.EPERM, override.__exit__, None, None, None)
            del override
            assert key.enabled and key.count == 0 and gate() == "on"
        """,
    )


def test_membarrier_refused_later():
    run(
        LATER,
        """
        assert info().sync_method == "membarrier"
        with OtherThread(gate):
            seccomp.refuse("membarrier")
            toggles_work()
            assert info().sync_method == "signal"
            late = static_gate(key)(lambda: "late")
            key.enable()
            assert late() == "late" and all(entry.native for entry in key.entries)
        """,
    )


def test_executable_memory_refused_later():
    run(
        LATER,
        """
        seccomp.refuse_executable_memory()
        gates = [static_gate(key)(lambda n: n) for n in range(1500)]  # more than one region holds
        assert info().native is True and "a trampoline refused" in info().refusal
        assert info().native_sites > 1000 and info().plain_sites > 400
        for state in (True, False, True):
            key.enable() if state else key.disable()
            assert [gate(1) for gate in gates] == [1 if state else None] * 1500
            assert gate() == ("on" if state else None)
        """,
    )


def test_a_thread_that_blocks_the_signal():
    run(
        LATER,
        """
        assert info().sync_method == "signal"
        blocking = BlockingThread()
        is_refused(errno.EDEADLK, several)
        plain = static_gate(key)(lambda: "plain")
        assert "a trampoline refused" in info().refusal
        blocking.end()
        toggles_work()
        key.enable()
        assert (plain(), gate()) == ("plain", "on")
        """,
        JUMPLABEL_SYNC="signal",
    )


def test_a_thread_that_unblocks_the_signal():
    run(
        LATER,
        """
        blocking = BlockingThread()
        is_refused(errno.EDEADLK, several)
        blocking.unblock()
        toggles_work()
        blocking.end()
        """,
        JUMPLABEL_SYNC="signal",
    )


def test_nobody_finds_a_callable_that_is_still_being_made():
    """The collector shows every object that it knows, while the decorator waits for a thread that does not answer."""
    run(
        """
        key = StaticKey("key")
        first = static_gate(key)(lambda: "on")
        blocking = BlockingThread()
        making = threading.Thread(target=lambda: static_gate(key)(lambda: "on"))
        making.start()
        looks = 0
        while making.is_alive():
            assert [found for found in gc.get_objects() if type(found) is type(first)] in ([first], [])
            looks += 1
        assert looks > 1
        blocking.end()
        """,
        JUMPLABEL_SYNC="signal",
    )


@pytest.mark.parametrize("later", [False, True])
def test_a_signal_given_up_does_not_kill(later):
    """It may still be pending for a thread that blocked it when it was tried, and by default it ends the process."""
    run(
        LATER if later else "",
        f"""
        seccomp.refuse("membarrier")
        blocking = BlockingThread()
        if {later}:
            is_refused(errno.EDEADLK, several)
        else:
            key = StaticKey("key")
            gate = static_gate(key)(lambda: "on")
            assert info().native is False
        blocking.unblock()
        for state in (True, False):
            key.enable() if state else key.disable()
            assert gate() == ("on" if state else None)
        blocking.end()
        """,
    )


# ---- fork ----

FORK = """
    key, other = StaticKey("key"), StaticKey("other")
    gates = [static_gate(key)(lambda n: n) for _ in range(3000)]  # in several regions
    gates += [static_gate(other)(lambda n: n)]
    key.enable()
    key.disable()
    OFF = bytes.fromhex("0f1f440000")

    def all_are(state):
        assert key.enabled is state
        assert [gate(1) for gate in gates[:-1]] == [1 if state else None] * 3000
        assert all((bytes == OFF) is not state for bytes in code(key))
"""

FORK_CASES = [
    pytest.param("pass", {}, id="membarrier"),
    pytest.param("pass", {"JUMPLABEL_SYNC": "signal"}, id="signal"),
    pytest.param("seccomp.refuse('memfd_create')", {}, id="without memfd"),
    pytest.param("seccomp.refuse('membarrier')", {}, id="without membarrier"),
]


@pytest.mark.parametrize(("refusals", "settings"), FORK_CASES)
def test_a_child_has_its_own_code(refusals, settings):
    run(
        FORK,
        refusals,
        """
        def child():
            all_are(False)
            key.enable()
            all_are(True)
            os.write(toggled, b"x")
            os.read(look_again, 1)
            all_are(True)
            assert not other and gates[-1](1) is None

        before = code(key)
        has_toggled, toggled = os.pipe()
        look_again, look = os.pipe()
        pid = fork(child)
        os.close(toggled)
        assert os.read(has_toggled, 1) == b"x"
        assert code(key) == before
        all_are(False)
        key.enable()
        other.enable()
        key.disable()
        os.write(look, b"x")
        assert ended(pid) == 0
        all_are(False)
        assert gates[-1](1) == 1
        """,
        **settings,
    )


def test_a_grandchild_has_its_own_code_too():
    run(
        FORK,
        """
        def child():
            key.enable()
            forked(grandchild)
            all_are(True)
            late = static_gate(key)(lambda: "late")
            assert late() == "late"

        def grandchild():
            all_are(True)
            key.disable()
            all_are(False)

        forked(child)
        all_are(False)
        """,
    )


def test_counters_start_anew_in_a_child():
    run(
        FORK,
        """
        def counters():
            now = info()
            return (now.batches, now.sites_patched, now.sync_calls, now.int3_current, now.int3_previous, now.int3_stale)

        def child():
            assert counters() == (0,) * 6
            assert (info().native, info().native_sites, info().keys) == (True, 3001, 2)
            key.enable()
            assert counters()[:3] == (1, 3000, 2)

        before = counters()
        assert before[:2] == (2, 6000)
        forked(child)
        assert counters() == before
        """,
    )


def test_forking_leaves_no_mapping_and_no_file():
    run(
        FORK,
        """
        before = Traces()
        for _ in range(3):
            forked(lambda: None)
        assert vars(Traces()) == vars(before)

        def child():
            assert len(Traces().mappings) == len(before.mappings) and Traces().files == before.files

        forked(child)
        """,
    )


@pytest.mark.parametrize(("refusals", "settings"), FORK_CASES)
def test_forks_while_another_thread_toggles(refusals, settings):
    run(
        FORK,
        refusals,
        """
        def child():
            state = key.enabled
            all_are(state)
            key.disable() if state else key.enable()
            all_are(not state)

        with OtherThread(lambda: (key.enable(), key.disable())):
            for _ in range(50):
                forked(child)
        all_are(False)
        """,
        **settings,
    )


def test_a_child_that_could_not_get_its_own_code_does_not_write_its_parents():
    run(
        FORK,
        """
        seccomp.refuse_executable_memory()

        def child():
            before = code(key)
            assert "a copy of the parent's code refused" in info().refusal
            refused(errno.ENOMEM, key.enable)
            refused(errno.ENOMEM, key.override(True).__enter__)
            assert code(key) == before and key.count == 0
            all_are(False)
            made = static_gate(other)(lambda n: n)
            assert [entry.native for entry in other.entries].count(False) == 1
            gates.clear()
            assert len(key.entries) == 0 and made(1) is None

        forked(child)
        all_are(False)
        key.enable()
        all_are(True)
        """,
    )
