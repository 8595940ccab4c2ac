"""Other handlers of SIGTRAP: before ours, after ours, and in the middle of a patch. Each case has a process of its own.

The other handler gets every SIGTRAP that is not of a site, once, as if the engine were not there. Under load the sites
are toggled all the while. The same in C, without Python: tests/c/chained.c.
"""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

PREAMBLE = """
import ctypes
import faulthandler
import os
import signal
import sys
import threading
import time
from signal import SIGTRAP

from jumplabel import info
from load import Load

signal.alarm(30)
library = ctypes.CDLL(sys.argv[2])
seen = []
causes = (
    lambda: os.kill(os.getpid(), SIGTRAP),
    lambda: signal.raise_signal(SIGTRAP),
    lambda: signal.pthread_kill(threading.get_ident(), SIGTRAP),
    library.breakpoint,
)


def note(number, frame):
    assert number == SIGTRAP and threading.current_thread() is threading.main_thread()
    seen.append(frame)


def times_called():
    return ctypes.c_int.in_dll(library, "times_called").value
"""
KILL, BREAKPOINT = 0, 3  # of the causes


@pytest.fixture(scope="module")
def libraries(build_c):
    return [build_c(name, "-shared", "-fPIC", engine=()) for name in ("callers", "other_handler")]


@pytest.fixture
def process(libraries):
    """process(*scripts, ends_with=0): what it writes to stdout and stderr."""

    def process(*scripts, ends_with=0, arguments=()):
        script = "\n".join(map(textwrap.dedent, (PREAMBLE, *scripts)))
        command = [sys.executable, "-W", "ignore", "-c", script, *libraries, *arguments]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == ends_with, done.stderr[-3000:]
        if not ends_with:
            assert done.stderr == ""
        return done.stdout, done.stderr

    return process


@pytest.fixture(params=["before", "after"])
def under_load(request, process):
    """under_load(hold, then): hold SIGTRAP before or after us, toggle under load, and then do something."""

    def under_load(hold, *then, before="", **options):
        made = "load = Load(sys.argv[1])\nload.toggle(1)"
        toggled = "with load: load.toggle_under_fire()"
        first, second = (hold, made) if request.param == "before" else (made, hold)
        return process(before, first, second, toggled, *then, **options)

    return under_load


# ---- Python ----


def test_a_python_handler_gets_each_trap_once_in_the_main_thread(under_load):
    under_load(
        "signal.signal(SIGTRAP, note)",
        """
        for number, cause in enumerate(causes):
            cause()
            assert len(seen) == number + 1
        thread = threading.Thread(target=causes[0])
        thread.start()
        thread.join()
        assert len(seen) == 5
        assert signal.getsignal(SIGTRAP) is note
        """,
    )


def test_a_python_handler_gets_each_trap_once_while_sites_are_patched(under_load):
    under_load(
        "signal.signal(SIGTRAP, note)",
        """
        def send():
            for number in range(200):
                os.kill(os.getpid(), SIGTRAP)
                while len(seen) == number:
                    time.sleep(0)
                assert len(seen) == number + 1

        thread = threading.Thread(target=send)
        with load:
            thread.start()
            load.toggle_while(thread.is_alive)
        assert len(seen) == 200
        """,
    )


def test_it_stays_ignored(under_load):
    written, _ = under_load(
        "signal.signal(SIGTRAP, signal.SIG_IGN)",
        """
        for cause in causes[:-1]:
            cause()
        print("ignored", flush=True)
        causes[-1]()
        """,
        ends_with=-signal.SIGTRAP,  # the kernel forces the trap of an instruction, ignored or not
    )
    assert written == "ignored\n"


@pytest.mark.parametrize("cause", [KILL, BREAKPOINT])
def test_it_kills_where_it_was_set_back(under_load, cause):
    hold = "signal.signal(SIGTRAP, note); signal.signal(SIGTRAP, signal.SIG_DFL)"
    under_load(hold, f"causes[{cause}]()", ends_with=-signal.SIGTRAP)


@pytest.mark.parametrize("from_outside", [False, True])
def test_it_kills_as_it_would_have_without_us(libraries, tmp_path, from_outside):
    """The wait status is the same, with the flag for the core dump."""
    script = """
    import os, resource, signal, sys
    resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
    if sys.argv[2:]:
        from load import Load
        with Load(sys.argv[1]) as load:
            load.toggle_under_fire()
    print("ready", flush=True)
    if sys.stdin.readline():
        os.kill(os.getpid(), signal.SIGTRAP)
    signal.pause()
    """
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    statuses = []
    for with_us in ([], ["with us"]):
        command = [sys.executable, "-c", textwrap.dedent(script), libraries[0], *with_us]
        process = subprocess.Popen(
            command, env=environment, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdout.readline() == b"ready\n"
        if from_outside:
            process.send_signal(signal.SIGTRAP)
        else:
            process.stdin.write(b"go\n")
            process.stdin.flush()
        statuses.append(os.waitpid(process.pid, 0)[1])
        process.returncode = 0  # it has been waited for
        process.stdin.close()
        process.stdout.close()
    assert os.WTERMSIG(statuses[0]) == signal.SIGTRAP
    assert statuses[0] == statuses[1]


# ---- faulthandler ----

DUMP = "Current thread 0x"


def test_faulthandler_dumps_once(under_load):
    under_load(
        "dump = open(os.memfd_create('dump'), 'w+'); faulthandler.register(SIGTRAP, dump)",
        f"""
        for number, cause in enumerate(causes):
            cause()
            dump.seek(0)
            assert dump.read().count({DUMP!r}) == number + 1
        """,
    )


@pytest.mark.parametrize("cause", [KILL, BREAKPOINT])
def test_faulthandler_dumps_once_and_then_it_kills(under_load, cause):
    """chain=True: it sets the handler that it found and raises the signal again."""
    hold = "faulthandler.register(SIGTRAP, chain=True)"
    _, errors = under_load(hold, f"causes[{cause}]()", ends_with=-signal.SIGTRAP)
    assert errors.count(DUMP) == 1


def test_faulthandler_dumps_once_and_then_python_has_it(under_load):
    under_load(
        "dump = open(os.memfd_create('dump'), 'w+'); faulthandler.register(SIGTRAP, dump, chain=True)",
        f"""
        for number, cause in enumerate(causes):
            cause()
            load.toggle(1)
            dump.seek(0)
            assert dump.read().count({DUMP!r}) == number + 1
            assert len(seen) == number + 1
        """,
        before="signal.signal(SIGTRAP, note)",
    )


# ---- a library in C ----


@pytest.mark.parametrize("flags", ["0", "SA_SIGINFO", "SA_NODEFER", "SA_SIGINFO | SA_ONSTACK"])
def test_a_library_gets_each_trap_once(under_load, flags):
    under_load(
        f"SA_SIGINFO, SA_ONSTACK, SA_NODEFER = 4, 0x08000000, 0x40000000; assert library.take({flags}) == 0",
        """
        for number, cause in enumerate(causes):
            cause()
            assert times_called() == number + 1
        """,
    )


@pytest.mark.parametrize("flags", ["0", "SA_SIGINFO"])
def test_a_library_that_wants_one_trap_gets_one(under_load, flags):
    """SA_RESETHAND: the second one kills."""
    written, _ = under_load(
        f"SA_SIGINFO = 4; assert library.take(ctypes.c_int32({flags} | 0x80000000)) == 0",
        """
        os.kill(os.getpid(), SIGTRAP)
        load.toggle(1)
        assert times_called() == 1
        print("once", flush=True)
        os.kill(os.getpid(), SIGTRAP)
        """,
        ends_with=-signal.SIGTRAP,
    )
    assert written == "once\n"


def test_a_library_hands_on_to_the_handler_that_it_found(under_load):
    """It finds our handler, which must not hand the signal back: Python has it."""
    under_load(
        "assert library.take_and_hand_on() == 0",
        """
        for number, cause in enumerate(causes):
            cause()
            assert times_called() == number + 1
            assert len(seen) == number + 1
        """,
        before="signal.signal(SIGTRAP, note)",
    )


# ---- in the middle of a patch ----


@pytest.mark.stress
@pytest.mark.parametrize(
    "take",
    [
        "signal.signal(SIGTRAP, note); signal.signal(SIGTRAP, lambda *arguments: None)",
        "library.take(0)",
        # Of this thread alone: faulthandler may crash where it reads the frames of others that run.
        "faulthandler.register(SIGTRAP, devnull, all_threads=False); faulthandler.unregister(SIGTRAP); "
        "signal.signal(SIGTRAP, note)",
    ],
)
def test_sigtrap_is_taken_while_sites_are_patched(process, stress_seconds, take):
    """A thread that has met an int3 goes on with its call, whichever handler got its trap.

    The default action is never set: between two toggles it would kill a thread that asks for it, as it should.
    """
    process(
        f"""
        devnull = open(os.devnull, "w")
        signal.signal(SIGTRAP, note)
        end = time.monotonic() + {min(stress_seconds, 5)}
        load = Load(sys.argv[1])
        with load:
            thread = threading.Thread(target=load.toggle_while, args=[lambda: time.monotonic() < end])
            thread.start()
            while thread.is_alive():
                {take}
        """
    )


def test_faulthandler_takes_it_back_while_sites_are_patched(process):
    """chain=True: after each signal it sets itself as the handler again."""
    process(
        """
        signal.signal(SIGTRAP, lambda number, frame: seen.append(number))
        dump = open(os.memfd_create("dump"), "w+")
        faulthandler.register(SIGTRAP, dump, all_threads=False, chain=True)  # reading others' frames may crash

        def send():
            for number in range(100):
                before = len(seen)
                os.kill(os.getpid(), SIGTRAP)
                while len(seen) == before:
                    time.sleep(0)

        thread = threading.Thread(target=send)
        with Load(sys.argv[1]) as load:
            thread.start()
            load.toggle_while(thread.is_alive)
        assert len(seen) >= 100
        """
    )


def test_it_is_taken_between_our_look_and_our_taking_it(build_c):
    """The handler that took it is not lost."""
    program = build_c("displaced", "-Wl,--wrap=sigaction")
    done = subprocess.run([program, "between_look_and_taking"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# ---- two of us ----


TWO = """
    import jumplabel
    first = jumplabel, Load
    for name in list(sys.modules):
        if name.split(".")[0] in ("jumplabel", "load", "callers"):
            del sys.modules[name]
    sys.path.insert(0, sys.argv[3])
    import jumplabel
    from load import Load
    second = jumplabel, Load
    assert second[0].__file__.startswith(sys.argv[3])

    with first[1](sys.argv[1]) as one, second[1](sys.argv[4]) as two:
        threads = [threading.Thread(target=load.toggle, args=[300]) for load in (one, two)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        one.toggle_under_fire()
        two.toggle_under_fire()
        one.toggle_under_fire()
"""


@pytest.fixture
def copy(libraries, tmp_path):
    """The package and the callers, to be loaded a second time."""
    shutil.copytree(ROOT / "jumplabel", tmp_path / "jumplabel", ignore=shutil.ignore_patterns("__pycache__"))
    return [tmp_path, shutil.copy(libraries[0], tmp_path / "callers")]


@pytest.mark.parametrize("cause", [KILL, BREAKPOINT])
def test_two_engines_without_a_handler_before_them(process, copy, cause):
    """Each hands on to the other what it does not know, and neither in a circle: the default action kills."""
    written, _ = process(
        TWO,
        f"""
        print("toggled", flush=True)
        causes[{cause}]()
        """,
        arguments=copy,
        ends_with=-signal.SIGTRAP,
    )
    assert written == "toggled\n"


def test_two_engines_after_python(process, copy):
    process(
        "signal.signal(SIGTRAP, note)",
        TWO,
        """
        for number, cause in enumerate(causes):
            cause()
            assert len(seen) == number + 1
            (one, two)[number % 2].toggle(1)
        """,
        arguments=copy,
    )
