"""Requests without pause, from several threads, and what was answered to each."""

import http.client
import json
import threading
import time
from dataclasses import dataclass

from servers.running import wait_for


@dataclass(frozen=True)
class Answer:
    """begun, ended: the time in which it was asked and answered, of time.monotonic()."""

    begun: float
    ended: float
    pid: int
    start: int
    states: dict  # of each of "gate", "switch", "branch", "logging": bool


def answer(begun, ended, fields):
    """Read what shop_sites.answer() returns. A logging statement evaluates and writes, or does neither."""
    logged = fields["logged"]
    assert logged in ([], ["evaluated", "written"]), logged
    states = {name: fields[name] for name in ("gate", "switch", "branch")} | {"logging": bool(logged)}
    return Answer(begun, ended, fields["pid"], fields["start"], states)


def http_get(port):
    """A function that asks the server on this port once. It raises where the answer is not 200."""

    def ask():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("GET", "/", headers={"Connection": "close"})
            response = connection.getresponse()
            body = response.read()
            assert response.status == 200, (response.status, body)
            return json.loads(body)
        finally:
            connection.close()

    return ask


class Load:
    """Threads that call ask() without pause until stop(). A context manager.

    answers  all so far
    latest   of each process: when the request began that it has answered last
    """

    def __init__(self, ask, threads=4):
        self.answers, self.latest = [], {}
        self._errors, self._stopping = [], threading.Event()
        self._ask = ask
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception):
        self._stopping.set()
        for thread in self._threads:
            thread.join(90)

    def stop(self):
        """Wait for the answers of all requests. Fails where one was an error."""
        self.__exit__()
        assert not any(thread.is_alive() for thread in self._threads), "a request is never answered"
        self.no_error()

    def no_error(self):
        assert not self._errors, self._errors

    def pids(self):
        return set(self.latest)

    def wait_for_workers(self, count):
        """Return the pids of the first workers, when so many have answered."""
        self.wait(lambda: len(self.pids()) >= count, lambda: f"{count} workers; these answer: {self.pids()}")
        return self.pids()

    def wait(self, condition, what):
        def checked():
            self.no_error()
            return condition()

        wait_for(checked, what)

    def _run(self):
        try:
            while not self._stopping.is_set():
                begun = time.monotonic()
                fields = self._ask()
                new = answer(begun, time.monotonic(), fields)
                self.answers.append(new)
                self.latest[new.pid] = max(begun, self.latest.get(new.pid, begun))
        except Exception as error:
            self._errors.append(error)
