"""Processes that do not expect an operator, and the command line that reaches them."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "jumplabel"]
NOBODY = 65534

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be several users")
reaches_in = pytest.mark.skipif(sys.version_info < (3, 14), reason="sys.remote_exec, PEP 768, is there from 3.14 on")

TARGET = """
import os, signal, sys, threading, time
import jumplabel
signal.alarm(60)
tracing, strict = jumplabel.StaticKey("shop.tracing"), jumplabel.StaticKey("shop.strict", default=True)
gate = jumplabel.static_gate(tracing)(len)

def ready():
    print(os.getpid(), flush=True)

def run(until=lambda: False):
    while not until():
        time.sleep(0.001)
"""


@pytest.fixture
def environment(tmp_path):
    """An environment with folders of the test's own for sockets and scripts."""
    for name in ("run", "tmp"):
        (tmp_path / name).mkdir(0o700)
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("JUMPLABEL_", "PYTHON"))}
    return ours | {"XDG_RUNTIME_DIR": str(tmp_path / "run"), "TMPDIR": str(tmp_path / "tmp")}


@pytest.fixture
def start(environment, tmp_path):
    """start(script, **environment) -> a process that has said that it is ready."""
    running = []

    def start(script, preamble=TARGET, **more):
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-c", f"{preamble}\n{script}"],
            env=environment | more,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        running.append(process)
        line = process.stdout.readline()
        assert line, process.stderr.read()
        return process

    yield start
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert os.listdir(tmp_path / "tmp") == []


@pytest.fixture
def run(environment):
    def run(*arguments, status=0, **more):
        done = subprocess.run(
            [*COMMAND, *map(str, arguments)], env=environment | more, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout if status == 0 else done.stdout + done.stderr

    return run


def ends(process):
    """Return what the process printed to its output and to its errors."""
    printed, complaints = process.communicate("\n", timeout=60)
    assert process.returncode == 0, complaints
    return printed, complaints


def process_folder(process):
    environment = Path(f"/proc/{process.pid}/environ").read_bytes()
    return os.path.join(re.search(rb"XDG_RUNTIME_DIR=([^\0]*)", environment)[1].decode(), "jumplabel")


# The same by both ways. The second needs nothing: no JUMPLABEL_SERVE.
WAYS = [pytest.param({"JUMPLABEL_SERVE": "1"}, id="socket"), pytest.param({}, id="remote_exec", marks=reaches_in)]
both_ways = pytest.mark.parametrize("way", WAYS)

SERVED = {"JUMPLABEL_SERVE": "1"}
FOREVER = "ready(); run()"
