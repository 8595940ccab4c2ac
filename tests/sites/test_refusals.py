"""Where the kernel refuses what native sites need: each case in a process of its own (processes.py).

The refusals are real ones, by seccomp filters (seccomp.py).
"""

import pytest
from processes import run

pytestmark = pytest.mark.usefixtures("seccomp_filters")


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
        PYTHON_JIT="0",  # the interpreter's JIT needs just such memory
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
        gates = [static_gate(key)(lambda n: n) for n in range(1500)]  # more than fit into one region
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


def test_a_callable_that_is_still_being_made_cannot_be_found():
    """gc.get_objects() shows every object, while the decorator waits for a thread that does not answer."""
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
    """It may still be pending for a thread that blocked it before. By default the signal ends the process."""
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
