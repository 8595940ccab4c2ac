"""``--tree`` while the processes of the tree come and go: each test forces it between two steps of the operator."""

import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest
from operators import states, wait_for

from jumplabel.__main__ import main
from jumplabel._remote import operator_commands, process_tree

# SIGUSR1 is blocked from the start. So a signal that comes before a process waits for it is kept. (A handler and
# pause() would lose a signal that comes between the two, for example while another thread has the GIL.)
PARENT = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
import jumplabel
signal.alarm(60)
tracing, folder = jumplabel.StaticKey("shop.tracing"), os.environ["JUMPLABEL_SERVE"]

def ready():
    print(os.getpid(), flush=True)

def fork():
    if not os.fork():
        signal.alarm(60)
        ready()

ready()
for line in sys.stdin:
    if os.fork():
        continue
    signal.alarm(60)
    act = fork
    if line == "late\\n":
        jumplabel.serve(folder).close()
        act = lambda: jumplabel.serve(folder)
    ready()
    while signal.sigwait({signal.SIGUSR1}):
        act()
"""


class Parent:
    """A process that serves, and forks when a test sends it a signal.

    The operator can reach it and its children by their sockets only. On 3.14 and later a script does not run in them
    either, because they wait for a signal. So asking them without a socket always takes the whole timeout.
    """

    def __init__(self, folder):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("JUMPLABEL_")}
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PARENT],
            env=environment | {"JUMPLABEL_SERVE": str(folder), "PYTHON_DISABLE_REMOTE_DEBUG": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.pid = self.forked()

    def fork(self, kind="child"):
        """Return the pid of a child. A "child" serves, and forks at SIGUSR1. A "late" child serves from SIGUSR1 on."""
        self._process.stdin.write(f"{kind}\n")
        self._process.stdin.flush()
        return self.forked()

    def forked(self):
        return int(self._process.stdout.readline())

    def state(self, pid):
        return states(self._folder / f"{pid}.sock")["shop.tracing"]

    def kill(self):
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        with self._process:  # closes its pipes and waits
            pass


@pytest.fixture
def parent(tmp_path):
    made = Parent(tmp_path / "sockets")
    yield made
    made.kill()


@pytest.fixture
def between(monkeypatch):
    """between(function) has function(pid, n) called before the operator asks a process for the n-th time."""

    def between(function):
        ask, asked = operator_commands.ask, []

        def ask_later(pid, request, timeout):
            asked.append(pid)
            function(pid, asked.count(pid))
            return ask(pid, request, timeout)

        monkeypatch.setattr(operator_commands, "ask", ask_later)

    return between


@pytest.fixture
def operator(monkeypatch):
    """operator(command, *arguments) returns the exit status of the command line."""

    def operator(*arguments):
        monkeypatch.setattr(sys, "argv", ["jumplabel", *map(str, arguments)])
        return main()

    return operator


def test_a_child_that_is_forked_after_the_tree_was_read_is_reached(parent, between, operator, capsys):
    forked = []
    between(lambda pid, n: pid == parent.pid and forked.append(parent.fork()))
    assert operator("enable", "--tree", parent.pid, "*.tracing") == 0
    assert len(forked) == 1 and parent.state(forked[0]) and parent.state(parent.pid)
    pids = [int(line.split()[0]) for line in capsys.readouterr().out.splitlines()]
    assert pids == [parent.pid, *forked]


def test_without_tree_only_the_named_process_is_asked(parent, operator):
    child = parent.fork()
    assert operator("enable", parent.pid, "*.tracing") == 0
    assert parent.state(parent.pid) and not parent.state(child)


def test_a_grandchild_that_is_forked_meanwhile_is_reached(parent, between, operator):
    forked = []

    def fork(pid, n):
        if pid == parent.pid:
            forked.append(parent.fork())
        elif pid == forked[0]:
            os.kill(pid, signal.SIGUSR1)
            forked.append(parent.forked())

    between(fork)
    assert operator("enable", "--tree", parent.pid, "*.tracing") == 0
    assert len(forked) == 2 and parent.state(forked[0]) and parent.state(forked[1])


def test_a_process_that_has_ended_meanwhile_is_ignored(parent, between, operator, capsys):
    child = parent.fork()
    between(lambda pid, n: pid == child and os.kill(pid, signal.SIGKILL))
    assert operator("enable", "--tree", parent.pid, "*.tracing") == 0
    printed = capsys.readouterr()
    assert printed.out.split()[0] == str(parent.pid) and printed.err == ""


@pytest.mark.parametrize("tree", [["--tree"], []])
def test_the_named_process_must_exist(parent, between, operator, tree, capsys):
    parent.kill()
    assert operator("enable", *tree, parent.pid, "*.tracing") == 1
    assert "there is no such process" in capsys.readouterr().err


def test_the_operator_waits_for_a_new_process_of_a_tree(parent, between, operator, monkeypatch):
    """It may not have opened its socket yet."""
    monkeypatch.setattr(operator_commands, "_YOUNG", 1000)
    child = parent.fork("late")
    between(lambda pid, n: pid == child and n == 3 and os.kill(pid, signal.SIGUSR1))
    assert operator("enable", "--tree", parent.pid, "*.tracing") == 0
    assert parent.state(child)


def test_an_old_process_of_a_tree_that_does_not_serve_is_named(parent, operator, monkeypatch, capsys):
    child = parent.fork("late")
    wait_for(lambda: process_tree.age(child) > 0)
    monkeypatch.setattr(operator_commands, "_YOUNG", 0)
    assert operator("enable", "--tree", parent.pid, "*.tracing") == 1
    assert f"process {child}: it serves no socket" in capsys.readouterr().err


def test_the_age_of_a_process_is_in_seconds(parent):
    """The age is less than the time since the machine started."""
    assert 0 <= process_tree.age(parent.pid) < 60
    with open("/proc/uptime") as file:
        uptime = float(file.read().split()[0])
    assert process_tree.age(os.getpid()) < uptime
    parent.kill()
    with pytest.raises(OSError):
        process_tree.age(parent.pid)
