"""An operator toggles through ``--tree`` while requests are answered, and checks that no toggle is lost.

An answer is **strict** if its request began when a toggle had returned, and ended before the next toggle of the same
sites began, and if the toggle reached the process that gave it. It must show the state that the operator wanted.
"""

import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from servers.load import Load
from servers.running import MANY, exists, group, wait_for, wait_until_up

KEY = "shop.tracing"
SITES = {"key": ("gate", "switch", "branch"), "logger": ("logging",)}
COMMANDS = {
    ("key", True): ("enable", KEY),
    ("key", False): ("disable", KEY),
    ("logger", True): ("level", "root", "DEBUG"),
    ("logger", False): ("level", "root", "WARNING"),
}


@dataclass
class Toggle:
    """A toggle that has returned with status 0.

    begun, ended  of time.monotonic()
    reached       the processes that answered, and those that had answered requests before it began
    """

    of: str
    wanted: bool
    begun: float
    ended: float
    reached: set[int]


@dataclass
class Strict:
    """How many answers were strict, by process; how many were not: during a toggle, or of processes not reached."""

    by_pid: Counter = field(default_factory=Counter)
    during: int = 0
    not_reached: Counter = field(default_factory=Counter)


class Operator:
    """Toggles in the tree of a server under load.

    patient    a toggle that fails is made again: its processes may have ended in the middle of it
    inherited  every process counts as reached, as a process that is reached forked it
    """

    def __init__(self, server, load, patient=False, inherited=False):
        self._server, self._load, self._patient, self._inherited = server, load, patient, inherited
        self.toggles = []

    def toggle(self, of, wanted):
        """Toggle, and wait until each process that has answered requests, and still runs, has given a strict answer."""
        known = self._load.pids()
        begun = time.monotonic()
        while True:
            command, *what = COMMANDS[of, wanted]
            done = subprocess.run(
                [sys.executable, "-m", "jumplabel", command, "--tree", "--timeout", "60", str(self._server.pid), *what],
                env={name: value for name, value in os.environ.items() if not name.startswith("JUMPLABEL_")},
                capture_output=True,
                text=True,
            )
            if done.returncode == 0 or not self._patient:
                break
            assert time.monotonic() < begun + 60, done.stderr
        assert done.returncode == 0, f"{done.stdout}{done.stderr}\nthe server's log:\n{self._server.log()}"
        named = {int(line.split()[0]) for line in done.stdout.splitlines() if line.split()[1] in ("changed", "already")}
        toggle = Toggle(of, wanted, begun, time.monotonic(), named | known)
        self.toggles.append(toggle)
        self._load.wait(lambda: not self._waiting(toggle, known), lambda: f"answers of {self._waiting(toggle, known)}")

    def turns(self, seconds, until=lambda: True):
        """Toggle the key and the logger, on and off, three times at least, and until the time is over and `until`."""
        begun, turn = time.monotonic(), 0
        while turn < 3 or time.monotonic() < begun + seconds or not until():
            assert time.monotonic() < begun + seconds + MANY
            for of in SITES:
                self.toggle(of, turn % 2 == 0)
            turn += 1

    def check(self):
        """Fails where an answer shows another state than the wanted one. Return the count of strict answers."""
        strict = Strict()
        for answer in self._load.answers:
            for of, sites in SITES.items():
                before = [toggle for toggle in self.toggles if toggle.of == of and toggle.begun < answer.ended]
                if before and answer.begun < before[-1].ended:
                    strict.during += 1
                elif before and answer.pid not in before[-1].reached and not self._inherited:
                    strict.not_reached[answer.pid] += 1
                else:
                    wanted = bool(before) and before[-1].wanted
                    states = {site: answer.states[site] for site in sites}
                    assert set(states.values()) == {wanted}, f"{of} is to be {wanted}: {answer}; toggles: {before}"
                    strict.by_pid[answer.pid] += 1
        return strict

    def _waiting(self, toggle, known):
        return {pid for pid in known if self._load.latest[pid] <= toggle.ended and exists(pid)}


def toggled_under_load(server, ask, workers, seconds):
    """Toggle while so many workers answer. Fails where a request fails, a worker goes or comes, or a toggle is lost."""
    wait_until_up(server, ask)
    with Load(ask) as load:
        pids = load.wait_for_workers(workers)
        operator = Operator(server, load)
        operator.turns(seconds)
        load.stop()
    strict = operator.check()
    assert load.pids() == pids and len(pids) == workers
    assert strict.not_reached == {} and min(strict.by_pid[pid] for pid in pids) > 20, strict


def toggled_while_workers_are_replaced(server, ask, workers, seconds, inherited=False):
    """Likewise, where the server ends workers after some requests, and starts others.

    inherited  the new ones begin in the state of the process that forks them
    """
    wait_until_up(server, ask)
    with Load(ask) as load:
        first = load.wait_for_workers(workers)
        operator = Operator(server, load, patient=True, inherited=inherited)
        operator.turns(seconds, until=lambda: len(load.pids() - first) >= workers)
        load.stop()
    all_workers_have_booted(server, ask, workers)
    strict = operator.check()
    assert sum(strict.by_pid.values()) > 100 and (not inherited or not strict.not_reached), strict


def all_workers_have_booted(server, ask, workers):
    """A worker of gunicorn that is told to end while it boots goes on, until its master kills it after 30 seconds."""
    answered = set()

    def booted():
        answered.add(ask()["pid"])
        running = set(group(server.pid)) - {server.pid}
        return len(running) == workers and running <= answered

    wait_for(booted, lambda: f"{workers} workers to answer:\n{server.log()}")
