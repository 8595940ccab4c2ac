"""Tracepoints in processes of their own: after forks, under settings, with signals, and at the end."""

import pytest
from processes import run, script

POINT = script("tracepoint")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"JUMPLABEL_NATIVE": "0"},
        {"JUMPLABEL_POKE": "word"},
        {"JUMPLABEL_SYNC": "signal"},
        {"JUMPLABEL_SYNCS": "3"},
    ],
    ids=str,
)
def test_every_way_of_patching(settings):
    run(
        POINT,
        f"""
        for _ in range(3):
            turn()
        with OtherThread(lambda: point(1)):
            for _ in range(5):
                point.register(first)
                point.register(second)
                point.unregister(first)
                point.unregister(second)
        with point.enabled.override(False):
            point.register(first)
            point()
        whole(first)
        (entry,) = [entry for entry in point.enabled.entries if entry.kind == "tracepoint"]
        assert entry.native is {settings.get("JUMPLABEL_NATIVE") != "0"}
        assert entry.what == {"plain tracepoint" if "JUMPLABEL_NATIVE" in settings else "tracepoint"!r}
        assert info().word_batches or {"JUMPLABEL_POKE" not in settings}
        """,
        **settings,
    )


@pytest.mark.parametrize("settings", [{}, {"JUMPLABEL_NATIVE": "0"}], ids=str)
def test_parent_and_child_have_probes_of_their_own(settings):
    run(
        POINT,
        """
        def child():
            whole(first)
            point.register(second)
            os.write(changed, b"x")
            os.read(look_again, 1)
            whole(first, second)
            point.unregister(first)
            point.unregister(second)
            turn()

        point.register(first)
        has_changed, changed = os.pipe()
        look_again, look = os.pipe()
        pid = fork(child)
        assert os.read(has_changed, 1) == b"x"
        whole(first)
        point.unregister(first)
        whole()
        os.write(look, b"x")
        assert ended(pid) == 0
        turn()
        """,
        **settings,
    )


def test_a_child_that_is_made_while_another_thread_registers():
    run(
        POINT,
        """
        def child():
            assert point.probes in ((), (first,), (second,), (first, second))
            whole(*point.probes)
            for probe in point.probes:
                point.unregister(probe)
            turn()

        def change():
            point.register(first)
            point.register(second)
            point.unregister(first)
            point.unregister(second)

        with OtherThread(change):
            for _ in range(30):
                forked(child)
        turn()
        """,
    )


def test_the_collector_takes_the_only_probe_away_while_a_thread_looks_at_it():
    """Forced, up to 3.11: it runs when the tuple is made, and what it finds unregisters the probe."""
    run(
        """
        from jumplabel import Tracepoint

        class Probe:
            def __call__(self):
                return "alive"

        class Last:
            def __del__(self):
                point.unregister(reference())

        point, probe, last = Tracepoint("point"), Probe(), Last()
        reference, last.me = __import__("weakref").ref(probe), last
        point.register(probe)
        look, held, range_of = point.__target__, [None] * 5000, range(5000)
        gc.disable()
        gc.set_threshold(1)
        del probe, last
        for i in range_of:
            held[i] = (i,)  # of which the interpreter keeps some at hand
        gc.enable()
        probes = look(1)
        gc.disable()
        assert probes[0]() == "alive" and probes == (reference(),)
        assert point.probes == () or sys.version_info >= (3, 12)
        """
    )


@pytest.mark.usefixtures("seccomp_filters")
@pytest.mark.parametrize(
    "error", ["EACCES", "EAGAIN"]
)  # the second one is what rt_sigqueueinfo(2) has for a full queue
def test_what_cannot_be_patched_stays_as_it_was(error):
    run(
        POINT,
        f"ERROR = errno.{error}",
        """
        point.register(first)
        empty = Tracepoint("empty")

        def state():
            gc.collect()
            return code(point.enabled), point.enabled.entries, code(empty.enabled), sys.getrefcount(second)

        def is_refused(function, *args):
            before = state()
            refused(ERROR, function, *args)
            assert state() == before
            whole(first)
            assert empty.probes == () and not empty.enabled and empty() is None

        with OtherThread():
            seccomp.refuse("membarrier")
            seccomp.refuse("rt_tgsigqueueinfo", error=ERROR)
            for _ in range(20):
                is_refused(point.register, second)
                is_refused(point.unregister, first)
                is_refused(empty.register, second)
        """,
    )


@pytest.mark.parametrize("where", ["import shop", "exec(Path('shop.py').read_text())"])
def test_a_program_with_probes_ends_in_peace(tmp_path, where):
    (tmp_path / "shop.py").write_text(
        "from jumplabel import Tracepoint\n"
        "point, cycle = Tracepoint('shop.point'), Tracepoint('shop.cycle')\n"
        "key = point.enabled\n"
        "@point.register\n"
        "def probe(): point, cycle\n"
        "cycle.register(lambda: cycle)\n"
        "class Late:\n"
        "    def __init__(self): self.point = Tracepoint('shop.late')\n"
        "    def __del__(self, probe=probe): self.point.register(probe), self.point()\n"
        "late = Late()\n"
        "late.me = late\n"
    )
    run(f"os.chdir({str(tmp_path)!r}); sys.path.insert(0, '')", where)
