"""Debuggers, tracers and profilers at work on a process that toggles under load (load.py), and does nothing wrong.

What they do with a trap is forced, trap by trap, in tests/c/traced.c; here are the tools themselves.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent.parent
NOT_POSSIBLE_HERE = 77  # as in tests/c/expect.h


@pytest.fixture(scope="module")
def callers(build_c):
    return build_c("callers", "-shared", "-fPIC", engine=())


@pytest.fixture
def command(callers):
    return [sys.executable, HERE / "load.py", callers]


ENVIRONMENT = os.environ | {"PYTHONPATH": str(HERE)}


@contextlib.contextmanager
def toggling(command):
    """A process under load; in the end it has made no mistake, and it is well."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, env=ENVIRONMENT, text=True, **pipes)
    try:
        assert process.stdout.readline() == "toggling\n"
        yield process
        written, errors = process.communicate(timeout=60)
        assert (process.returncode, written) == (0, "done\n"), errors[-3000:]
    finally:
        process.kill()
        process.communicate()


def tool(name):
    """Return the tool's place: on the path, or beside the interpreter."""
    found = shutil.which(name) or shutil.which(name, path=Path(sys.executable).parent)
    if found is None:
        pytest.skip(f"needs {name}")
    return found


def use(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


# ---- what a tracer does with a trap ----


@pytest.mark.parametrize("case", ["passed_on", "put_back_to_the_site", "swallowed", "stepped_through"])
def test_a_traced_process(build_c, case):
    program = build_c("traced", "-include", HERE / "c" / "hooks.h")
    assert case in use(program).stdout.split()
    done = use(program, case)
    if done.returncode == NOT_POSSIBLE_HERE:
        pytest.skip("this process may trace no other")
    assert (done.returncode, done.stderr) == (0, "")


# ---- gdb ----


def gdb(process, *commands):
    """Return what gdb writes. It is given the program, or it takes it for a 32-bit one until it has attached."""
    program = os.path.realpath(sys.executable)
    lines = [part for command in commands for part in ("-ex", command)]
    done = use(tool("gdb"), "-nx", "-batch", program, "-p", str(process.pid), *lines, stdin=subprocess.DEVNULL)
    if "Operation not permitted" in done.stderr:
        pytest.skip("gdb may not attach here")
    return done.stdout


# Not to be passed on: gdb would have the process die of its own breakpoints, when it goes on after one.
QUIET = "handle SIGTRAP nostop noprint nopass"


def test_gdb_with_a_breakpoint_in_other_code(command):
    with toggling(command) as process:
        for _ in range(3):
            seen = gdb(process, QUIET, "break getppid", *["continue"] * 3, "thread apply all backtrace 1", "detach")
            assert len(re.findall("hit Breakpoint 1, .*getppid", seen)) == 3, seen
            assert "detached" in seen


@pytest.mark.parametrize("setting", [QUIET, "handle SIGTRAP nostop noprint pass"])
def test_gdb_comes_and_goes(command, setting):
    """It may leave with a trap in hand, whether it passes it on or not."""
    with toggling(command) as process:
        for _ in range(5):
            assert "detached" in gdb(process, setting, "detach")


def test_gdb_that_takes_sigtrap_for_itself(command):
    """Its default: it stops at every trap, and the process does not get it."""
    with toggling(command) as process:
        seen = gdb(process, *["continue"] * 20, "detach")
        assert seen.count("Trace/breakpoint trap") == 20, seen
        assert "detached" in seen


# ---- strace ----


def test_strace_from_beginning_to_end(command, tmp_path):
    strace = [tool("strace"), "-f", "-qq", "-o", tmp_path / "trace"]
    if use(*strace, "true").returncode:
        pytest.skip("strace may not trace here")
    with toggling([*strace, *command]):
        time.sleep(1)
    assert "--- SIGTRAP {si_signo=SIGTRAP, si_code=SI_KERNEL" in (tmp_path / "trace").read_text()


@pytest.mark.stress
def test_strace_comes_and_goes(command, tmp_path, stress_seconds):
    """Interrupted, it leaves with traps in hand that it does not pass on."""
    strace = [tool("strace"), "-f", "-qq", "-e", "trace=getppid", "-o", tmp_path / "trace"]
    end = time.monotonic() + min(5, 2 * stress_seconds)
    with toggling(command) as process:
        while process.poll() is None and time.monotonic() < end:
            tracer = subprocess.Popen([*strace, "-p", str(process.pid)], stderr=subprocess.PIPE, text=True)
            time.sleep(0.1)
            tracer.send_signal(signal.SIGINT)
            if "Operation not permitted" in tracer.communicate(timeout=60)[1] and process.poll() is None:
                pytest.skip("strace may not attach here")


# ---- profilers ----


def test_py_spy(command, tmp_path):
    py_spy = tool("py-spy")
    with toggling(command) as process:
        pid = ["--pid", str(process.pid)]
        done = use(py_spy, "dump", *pid)
        if done.returncode and process.poll() is None:
            pytest.skip(f"py-spy says: {done.stderr.strip()}")
        for _ in range(20):
            done = use(py_spy, "dump", *pid)
            assert done.returncode == 0, done.stderr
            assert re.search(r"call_without_pause \(.*load.py:\d+\)", done.stdout)
        done = use(py_spy, "record", "--rate", "500", "--duration", "1", "-f", "raw", "-o", tmp_path / "stacks", *pid)
        assert done.returncode == 0, done.stderr
    assert "toggle" in (tmp_path / "stacks").read_text()


def test_perf_record(command, tmp_path):
    perf = [tool("perf"), "record", "-F", "2000", "-e", "cpu-clock", "-g", "-o", tmp_path / "data"]
    if (done := use(*perf, "true")).returncode:
        pytest.skip(f"perf says: {done.stderr.strip()}")
    with toggling(command) as process:
        assert use(*perf, "-p", str(process.pid), "--", "sleep", "1").returncode == 0
    done = use(perf[0], "report", "-i", tmp_path / "data", "--stdio", "-g", "none", "--sort", "symbol")
    assert re.search(r"^ +\d+\.\d+%", done.stdout, re.MULTILINE), done.stdout  # which symbols it finds is its affair


# ---- valgrind ----


@pytest.mark.parametrize("method", ["membarrier", "signal"])
def test_valgrind(build_c, method):
    """valgrind needs --smc-check=all, as the code is changed through another mapping, of a file."""
    valgrind = [tool("valgrind"), "-q", "--error-exitcode=9", "--smc-check=all", "--fair-sched=yes"]
    done = use(*valgrind, build_c("stress"), "1", "4", method, "2", "int3")
    counts = {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", done.stdout)}
    assert (done.returncode, done.stderr, counts["wrong"]) == (0, "", 0)
    assert counts["current"] and counts["toggles"]


# ---- from inside ----

PREAMBLE = """
import faulthandler
import os
import sys
import threading
import time

from load import Load

faulthandler.enable()
load = Load(sys.argv[1])
"""


def run(callers, script):
    script = PREAMBLE + textwrap.dedent(script)
    done = use(sys.executable, "-c", script, callers, env=ENVIRONMENT)
    assert (done.returncode, done.stderr) == (0, "")


def test_faulthandler_waits_to_dump(callers):
    """Its thread blocks every signal. (Dumping is not tested: it reads frames of running threads, and may crash.)"""
    run(
        callers,
        """
        from jumplabel import info

        with load:
            faulthandler.dump_traceback_later(1000)
            words, batches = info().word_batches, info().batches
            load.toggle(100)
            assert info().word_batches - words == info().batches - batches > 0
            faulthandler.cancel_dump_traceback_later()
        """,
    )


@pytest.mark.parametrize("kind", ["setprofile", "settrace"])
def test_a_profiler_of_every_thread(callers, kind):
    """It sees every call, and every call goes where it should; it is taken away and set again on the way."""
    run(
        callers,
        f"""
        seen, main = {{}}, threading.get_ident()

        def profile(frame, event, arg):
            name = threading.get_ident() == main, frame.f_code.co_name
            seen[name] = seen.get(name, 0) + 1
            return profile

        threading.{kind}(profile)
        end = time.monotonic() + 1
        with load:
            while time.monotonic() < end:
                sys.{kind}(profile)
                load.toggle(10)
                sys.{kind}(None)
                load.toggle(10)
            load.toggle_under_fire()
        for name in ((True, "toggle"), (False, "branch"), (False, "loop")):
            assert seen[name] > 10, seen
        """,
    )
