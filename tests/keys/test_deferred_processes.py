"""Deferred keys, each case in a process of its own: patches that fail, forks, signals, the interpreter's end."""

import pytest
from processes import METHODS, run

DEFERRED = """
    import time
    from jumplabel import static_branches
    from jumplabel._keys import lingering

    def wait_for(condition):
        while not condition():
            time.sleep(0.001)

    def threads():
        return len(os.listdir("/proc/self/task"))

    key, other = StaticKey("key", deferred=3600), StaticKey("other", deferred=0.01)
    gate, other_gate = (static_gate(each, default="off")(lambda: "on") for each in (key, other))

    @static_branches
    def branch():
        return "on" if other else "off"

    def use(key):
        key.inc()
        key.dec()
"""

SETTINGS = [
    {},
    {"JUMPLABEL_NATIVE": "0"},
    {"JUMPLABEL_POKE": "word"},
    {"JUMPLABEL_SYNC": "signal"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_however_sites_are_patched(settings):
    run(
        DEFERRED,
        """
        for _ in range(3):
            use(other)
            assert other.count == 0
            wait_for(lambda: (other_gate(), branch(), other.enabled) == ("off", "off", False))
        use(key)
        assert gate() == "on"
        key.flush()
        assert gate() == "off"
        wait_for(lambda: threads() == 1)
        """,
        **settings,
    )


def test_nothing_but_a_key_that_lingers_makes_a_thread():
    run(
        DEFERRED,
        """
        key.inc()
        other.enable()
        other.disable()
        other.flush()
        StaticKey("plain", default=True).dec()
        with key.override(False), batch():
            key.inc()
            key.dec()
        assert threads() == 1 and not info().int3_chained
        """,
    )


def test_a_patch_that_fails_is_reported_and_tried_again():
    run(
        DEFERRED,
        """
        reports = []
        sys.unraisablehook = reports.append
        key.inc(), other.inc()
        blocking = BlockingThread()
        key.dec()
        until = key._key.until
        refused(errno.EDEADLK, key.flush)
        assert (key.enabled, gate(), key._key.until) == (True, "on", until)
        other.dec()
        wait_for(lambda: reports)
        for report in reports:
            assert report.exc_type is PatchError and report.exc_value.errno == errno.EDEADLK, report
            assert "'other'" in str(report.exc_value)
        assert (other.count, other.enabled, other_gate(), gate()) == (0, True, "on", "on")
        blocking.end()
        wait_for(lambda: (other.enabled, other_gate()) == (False, "off"))
        assert (gate(), key._key.until) == ("on", until)
        """,
        JUMPLABEL_SYNC="signal",
    )


def test_a_patch_that_fails_where_there_can_be_no_thread_is_reported():
    run(
        DEFERRED,
        """
        reports = []
        sys.unraisablehook = reports.append
        lingering._start = lingering.wake = threading.Lock().release
        other.inc()
        blocking = BlockingThread()
        began = time.monotonic_ns()
        other.dec()
        assert other._key.until >= began + 10**9  # not again and again
        assert [report.exc_type for report in reports] == [PatchError] and other_gate() == "on" and other.count == 0
        blocking.end()
        """,
        JUMPLABEL_SYNC="signal",
    )


@pytest.mark.parametrize("method", METHODS)
def test_the_thread_lets_in_the_signals_that_patching_needs(method):
    """It is started by a thread that blocks them all."""
    run(
        DEFERRED,
        """
        plain = StaticKey("plain")
        plain_gate = static_gate(plain)(lambda: 1)

        def dec():
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            key.dec()

        key.inc()
        before = info().word_batches
        starter = threading.Thread(target=dec)
        starter.start()
        starter.join()
        wait_for(lambda: threads() == 2)
        [thread] = [int(task) for task in os.listdir("/proc/self/task") if int(task) != os.getpid()]

        def blocks(number):
            status = Path(f"/proc/self/task/{thread}/status").read_text()
            return int(re.search("SigBlk:\\t(.*)", status)[1], 16) >> (number - 1) & 1

        wait_for(lambda: not blocks(signal.SIGTRAP))
        assert blocks(signal.SIGTERM)
        plain.enable()
        assert plain_gate() == 1 and info().word_batches == before
        """,
        JUMPLABEL_SYNC=method,
    )


def test_a_child_has_a_thread_of_its_own():
    run(
        DEFERRED,
        """
        slow = StaticKey("slow", deferred=0.5)
        slow_gate = static_gate(slow, default="off")(lambda: "on")
        use(key)
        use(slow)

        def child():
            wait_for(lambda: slow_gate() == "off")
            assert gate() == "on" and threads() == 2
            use(other)
            wait_for(lambda: other_gate() == "off")
            key.flush()
            wait_for(lambda: threads() == 1)
            assert gate() == "off"
            forked(lambda: (use(other), wait_for(lambda: other_gate() == "off")))

        forked(child)
        assert gate() == "on"
        wait_for(lambda: slow_gate() == "off")
        key.flush()
        """,
    )


def test_a_child_does_not_rely_on_its_parents_thread():
    """That thread sleeps until a key is due that is used again: the child's key, due later, would not wake it."""
    run(
        DEFERRED,
        """
        late = StaticKey("late", deferred=7200)
        use(key)
        wait_for(lambda: threads() == 2)
        key.inc()

        def child():
            wait_for(lambda: threads() == 1)  # nothing lingers
            use(late)
            wait_for(lambda: threads() == 2)

        forked(child)
        """,
    )


def test_a_child_of_a_process_in_which_nothing_lingers_has_no_thread():
    run(
        DEFERRED,
        """
        use(other)
        wait_for(lambda: threads() == 1)
        import _thread
        lingering._start = lingering.wake = None
        forked(lambda: (key.inc(), gate() == "on" or 1 / 0, threads() == 1 or 1 / 0))
        """,
    )


def test_forks_while_keys_begin_to_linger_and_go_off():
    run(
        DEFERRED,
        """
        other = StaticKey("often", deferred=1e-4)
        other_gate = static_gate(other, default="off")(lambda: "on")

        def child():
            use(other)
            wait_for(lambda: other_gate() == "off" and not other.enabled)

        with OtherThread(lambda: use(StaticKey("others", deferred=1e-4))):
            for _ in range(30):
                use(other)
                forked(child)
        wait_for(lambda: other_gate() == "off")
        """,
    )


ENDS = {
    "lingering": "use(key)",
    "due at any time": "for _ in range(5): use(other)",
    "atexit": "import atexit; atexit.register(use, key); atexit.register(use, other)",
    "destructor": """
class Late:
    def __del__(self, use=use, key=key, gate=gate):
        use(key)
        assert sys.version_info < (3, 12) or gate() == "off"
late = Late()
""",
}


@pytest.mark.parametrize("end", ENDS)
def test_the_interpreter_ends_and_says_nothing(end):
    run(DEFERRED, ENDS[end])


def test_the_end_waits_for_a_thread_that_has_not_begun():
    """The interpreter would take away from under it what it begins with."""
    run(
        DEFERRED,
        """
        from functools import partial
        from itertools import repeat
        from jumplabel._engine import lib
        began = []

        def start_late(function, arguments):
            def begin():
                lib.own_thread_joins()
                time.sleep(0.2)
                began.append(1)
                function(*arguments)

            threading.Thread(target=begin, daemon=True).start()

        lingering._start = lingering.wake = partial(
            next, map(start_late, repeat(lingering._run), zip(lingering._started))
        )
        use(key)
        use(key)
        assert not began
        lingering._end()
        assert len(began) == lingering._begun >= 2
        use(other)
        assert other_gate() == gate() == "off"  # no thread is made, or woken, any more
        """,
    )


def test_the_end_of_a_child_does_not_wait_for_its_parents_threads():
    run(
        DEFERRED,
        """
        def waited(seconds):
            raise AssertionError("it waits for nothing")

        def child():
            lingering.sleep = waited
            lingering._end()

        for _ in range(3):
            use(other)
            wait_for(lambda: threads() == 1)
            forked(child)
            forked(lambda: forked(child))
        """,
    )
