"""A real server in a process group of its own, and the files that it works with."""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path

import pytest

MANY = 60.0
"""Seconds that nothing takes, on the slowest machine."""

APPS = Path(__file__).parent / "apps"
FAULTS = re.compile(
    r"Traceback|Exception|\b(ERROR|CRITICAL|FATAL)\b|Fatal Python error|Segmentation fault|Address .*in use"
)


def wait_for(condition, what, seconds=MANY):
    """Return the condition's first true value. Fails with `what` when it stays false."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"waited {seconds} s for {what() if callable(what) else what}"
        time.sleep(0.005)
    return value


def free_port():
    """Return a port that the kernel gives to no client: the clients of all tests use many."""
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def exists(pid):
    """Return whether the process runs; a zombie does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def group(pgid):
    """The processes of the group that run."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal() and exists(int(name)):
            with suppress(ProcessLookupError):
                if os.getpgid(int(name)) == pgid:
                    found.append(int(name))
    return found


class Server:
    """A running server.

    pid      of the process that was started: the root of the tree, and the number of the group
    sockets  the folder where the processes serve
    folder   what the test may use; `apps` in it is a copy of the applications
    """

    def __init__(self, command, folder, sockets, environment):
        self.folder, self.sockets = folder, sockets
        self._log = folder / "server.log"
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [str(each) for each in command],
                cwd=folder / "apps",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def log(self):
        return self._log.read_text(errors="replace")

    def runs(self):
        return self._process.poll() is None

    def faults(self):
        """Lines of the log that tell of an error."""
        return [line for line in self.log().splitlines() if FAULTS.search(line)]

    def socket_names(self):
        return {file.name for file in self.sockets.glob("*.sock")}

    def stop(self, first=None, signal=signal.SIGTERM):
        """Ask the server's root, or the process `first`, to end. Return the status of the root.

        Fails where a process of the group goes on.
        """
        os.kill(first or self.pid, signal)
        wait_for(lambda: not self.runs(), lambda: f"the end of the server:\n{self.log()}")
        wait_for(lambda: not group(self.pid), lambda: f"the end of {group(self.pid)}:\n{self.log()}")
        return self._process.returncode

    def kill(self):
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(MANY)


def wait_until_up(server, ask):
    """Wait until the server answers once."""

    def answers():
        assert server.runs(), server.log()
        with suppress(OSError, HTTPException):
            return ask()

    wait_for(answers, server.log)


@contextmanager
def running(folder, *command, **environment):
    """Start the server, and kill its group at the end.

    JUMPLABEL_SERVE is a folder unless the environment says otherwise; JUMPLABEL_SERVE=1 serves below XDG_RUNTIME_DIR.
    """
    shutil.copytree(APPS, folder / "apps", ignore=shutil.ignore_patterns("__pycache__"))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("JUMPLABEL_", "PYTHON"))}
    environment = {
        **inherited,
        "JUMPLABEL_INSTRUMENT": "logging:shop_sites",
        "JUMPLABEL_SERVE": str(folder / "sockets"),
        "PYTHONPATH": str(folder / "apps"),
        "PYTHONUNBUFFERED": "1",
        "SHOP_FOLDER": str(folder),
        "XDG_RUNTIME_DIR": str(folder),
        **environment,
    }
    sockets = folder / ("jumplabel" if environment["JUMPLABEL_SERVE"] == "1" else "sockets")
    server = Server(command, folder, sockets, environment)
    try:
        yield server
    finally:
        server.kill()


def skip_without(*modules):
    """Skip the test, or the file, where one of the modules is not installed."""
    for module in modules:
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed: the extra `servers` has it", allow_module_level=True)


def python(*arguments):
    """A command that runs a module of this interpreter."""
    return [sys.executable, "-m", *arguments]


def another_process_serves(folder):
    """Have another process serve for a moment in the folder of sockets."""
    environment = {**os.environ, "JUMPLABEL_SERVE": str(folder)}
    subprocess.run(python("jumplabel", "info"), env=environment, check=True, capture_output=True)
