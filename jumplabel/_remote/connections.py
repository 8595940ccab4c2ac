"""The connections of operators, in one thread that never waits for any of them.

Whoever hangs, floods us or does not read is dropped; nobody's slowness is anybody else's. The thread alone touches what
is here; others only ``stop()`` it and hand it toggles. What may be asked is in operator_requests.py, who may ask in
socket_folder.py; whose thread it is, and what becomes of it in a fork and at the end, in serving.py.
"""

import errno
import os
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import count

from jumplabel._engine import lib
from jumplabel._keys.patterns import Patterns
from jumplabel._keys.toggles import Toggle, off_toggle, register
from jumplabel._process.unpatched import ProcessLock, monotonic, wall_clock
from jumplabel._process.unpatched_sockets import MSG_NOSIGNAL, READ, WRITE, Poll, Socket, identity, let_go, socketpair
from jumplabel._remote import operator_requests
from jumplabel._remote.operator_requests import Answer, line
from jumplabel._remote.socket_folder import peer
from jumplabel.errors import JumpLabelError, RemoteError

CLIENTS = 32
"""Connections at a time; the next is told that we are busy. At most half of them watch."""
REQUEST_SECONDS = 5.0
"""For a client to send its request; then it is dropped."""
ANSWER_SECONDS = 5.0
"""For a client to read some of its answer, and all of it but for what it earns by reading; then it is dropped."""
_EARNED = 0.25 / (1 << 16)
"""Seconds more for each byte that it has read: so large answers may take long, but nobody keeps a place for long."""
_LONG_TURN = 0.5
"""Seconds; where the thread takes longer, for others' toggles, that is not a reader's slowness."""
PAUSE_SECONDS = 1.0
"""Without accepting anybody, where descriptors or memory have run out."""
_AHEAD = 1 << 14
"""Bytes of an answer that are made before they are read."""
_BEHIND = 1 << 18
"""Bytes that a watching client may fall behind; then toggles are only counted, and who reads nothing is dropped."""
_TOGGLES = 10_000
"""That may wait for the thread; more are only counted."""

_BUSY = line({"error": "busy with other clients; try again", "busy": True})

lock = ProcessLock()  # again, by a signal handler that forks within
"""For what a fork must not cut in two: it waits."""


class _Alarm:
    """What others may ring at any time to wake the thread. Closed when nobody does any more, hence not by hand.

    Not an eventfd: a program that becomes a daemon closes all descriptors, and we would write into its next file.
    """

    def __init__(self) -> None:
        self.heard, self._rung = socketpair()
        self.heard.setblocking(False)
        self._rung.setblocking(False)

        self._opened = {end: identity(end.fileno()) for end in (self.heard, self._rung)}

    def ring(self) -> None:
        if identity(self._rung.fileno()) == self._opened[self._rung]:
            _send(self._rung, b"!")

    def __del__(self) -> None:
        for end, opened in vars(self).get("_opened", {}).items():
            let_go(end, opened)


class _Client:
    """A connection: until its line is there, that is read; from then on the answer is written."""

    def __init__(self, connection: Socket) -> None:
        self.connection = connection
        self._opened = identity(connection.fileno())
        self.request = b""
        self.answers: Iterator[Answer] | None = None
        self.watches: Patterns | None = None
        self.out = bytearray()
        self.lost = 0  # toggles, since it fell behind
        self.deadline = monotonic() + REQUEST_SECONDS
        self.all_by = float("inf")  # the whole answer; later with each byte that is read

    def sound(self) -> bool:
        return identity(self.connection.fileno()) == self._opened

    def close(self) -> None:
        let_go(self.connection, self._opened)

    def has_read(self, size: int) -> None:
        self.all_by += size * _EARNED
        self.deadline = min(monotonic() + ANSWER_SECONDS, self.all_by)


class Connections:
    """``run()`` serves who connects to the listener; without one, who was welcomed, until the last hangs up."""

    def __init__(self, listener: Socket | None) -> None:
        self.closing = False
        self._listener = listener
        self._clients: dict[Socket, _Client] = {}
        self._toggles: deque[tuple[float, str, bool, bool, int]] = deque()
        self._overflow = count()  # next() is one step, which += is not
        self._overflow_seen = 0
        self._watching = False
        self._no_room = False
        self._resume = float("inf")
        self._alarm: _Alarm | None = _Alarm()
        self._heard = self._alarm.heard
        self._opened: dict[Socket, tuple[int, int] | None] = {self._heard: identity(self._heard.fileno())}
        self._selector = Poll()
        self._selector.register(self._heard, READ)
        if listener is not None:
            self._opened[listener] = identity(listener.fileno())
            self._selector.register(listener, READ)

    # ---- from any thread ----

    def stop(self) -> None:
        """Have ``run()`` return."""
        self.closing = True
        self._ring()

    def _on_toggle(self, toggle: Toggle) -> None:
        """Called by whoever toggles, even in a signal handler: no lock, no wait."""
        if len(self._toggles) < _TOGGLES:
            self._toggles.append((wall_clock(), toggle.key.name, toggle.old, toggle.new, toggle.sites))
        else:
            next(self._overflow)
        self._ring()

    def _ring(self) -> None:
        alarm = self._alarm
        if alarm is not None:
            alarm.ring()

    # ---- the thread; and, in the child of a fork, whoever has forked ----

    def run(self) -> None:
        """Raises OSError where the selector does."""
        while not self.closing:
            self._turn()
        self._tell()

    def close(self) -> None:
        """All that is open and still ours; without a word to anybody."""
        self._unwatch()
        for client in list(self._clients.values()):
            client.close()
        self._clients.clear()
        if self._listener is not None:
            let_go(self._listener, self._opened[self._listener])
        self._alarm = None

    def sound(self) -> bool:
        """Whether the alarm and the listener are still ours: programs close all descriptors to become daemons.

        By now their numbers may be those of other files. From any thread.
        """
        return all(identity(each.fileno()) == opened for each, opened in self._opened.items())

    def welcome(self, connection: Socket) -> None:
        client = _Client(connection)
        self._clients[connection] = client
        self._selector.register(connection, READ, client)

    def _turn(self) -> None:
        events = self._selector.select(self._patience())
        if not self.sound() or not all(client.sound() for client in self._clients.values()):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        now = monotonic()  # who has sent something before this is in time, however long the others take
        for ready, client, mask in events:
            try:
                if client is not None:
                    self._read(client) if mask & READ else self._write(client)
                elif ready is self._listener:
                    self._accept()
                else:
                    self._heard.recv(4096)
            except Exception as error:
                if client is None or not isinstance(error, OSError):  # that is one that has hung up
                    report(error, self)
                if client is not None:
                    self._drop(client)
        self._tell()
        for client in [client for client in self._clients.values() if client.deadline <= now]:
            self._drop(client)
        spent = monotonic() - now
        if spent > _LONG_TURN:
            for client in self._clients.values():
                client.deadline += spent
                client.all_by += spent
        if self._resume <= now and self._listener is not None:
            self._resume = float("inf")
            self._selector.register(self._listener, READ)

    def _patience(self) -> float | None:
        first = min([self._resume, *(client.deadline for client in self._clients.values())])
        return None if first == float("inf") else max(0.0, first - monotonic())

    def _accept(self) -> None:
        for _ in range(CLIENTS):  # then others have their turn
            try:
                if not self._admit_next():
                    return
            except ConnectionAbortedError:
                pass
            except OSError as error:  # no descriptors, no memory: it would come again at once
                assert self._listener is not None
                self._selector.unregister(self._listener)
                self._resume = monotonic() + PAUSE_SECONDS
                if not self._no_room:
                    self._no_room = True
                    report(error, self)
                return
            self._no_room = False

    def _admit_next(self) -> bool:
        """Whether there was one. A fork must not find a connection that is on nobody's list."""
        assert self._listener is not None
        with lock:
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return False
            connection.setblocking(False)
            if peer(connection)[1] not in (os.geteuid(), 0):
                connection.close()
            elif len(self._clients) < CLIENTS:
                self.welcome(connection)
            else:
                with suppress(OSError):  # it has hung up
                    _send(connection, _BUSY)
                connection.close()
        return True

    def _read(self, client: _Client) -> None:
        if client.watches is not None:  # it has nothing more to say: it has gone
            return self._drop(client)
        received = client.connection.recv(operator_requests.LONGEST + 1 - len(client.request))
        if not received:
            return self._drop(client)
        client.request += received
        end = client.request.find(b"\n")
        if end < 0 and len(client.request) <= operator_requests.LONGEST:
            return None
        try:
            if not 0 <= end < operator_requests.LONGEST or end + 1 < len(client.request):
                raise RemoteError(f"a request is one line of at most {operator_requests.LONGEST} bytes")
            request = operator_requests.parse(client.request)
            if isinstance(request, operator_requests.Request) and request.command == "watch":
                return self._watch(client, request.patterns)
            client.answers = operator_requests.answers(request)
        except JumpLabelError as error:
            client.answers = iter([{"error": str(error)}])
        self._write(client)
        client.all_by = monotonic() + ANSWER_SECONDS
        client.has_read(0)
        return None

    def _watch(self, client: _Client, patterns: Patterns) -> None:
        if sum(other.watches is not None for other in self._clients.values()) >= CLIENTS // 2:
            raise RemoteError(f"{CLIENTS // 2} others are watching already")
        with lock:
            if not self._watching:
                register(self._on_toggle)
                self._watching = True
        client.watches = patterns
        client.deadline = float("inf")
        client.out += line({"watching": patterns.patterns})
        self._write(client)

    def _write(self, client: _Client) -> None:
        """As much as it takes, but not more than a share: others wait."""
        if client.answers is not None:
            while len(client.out) < _AHEAD and (answer := next(client.answers, None)):
                client.out += line(answer)
        sent = _send(client.connection, client.out[:_AHEAD])
        del client.out[:sent]
        if client.watches is None:
            if not client.out:
                return self._drop(client)
        if sent and client.deadline != float("inf"):
            client.has_read(sent)
        interest = READ if client.watches is not None else 0
        interest |= WRITE if client.out else 0
        self._selector.modify(client.connection, interest)
        return None

    def _tell(self) -> None:
        """Those who watch."""
        watching = [client for client in self._clients.values() if client.watches is not None]
        for _ in range(len(self._toggles)):
            at, name, old, new, sites = self._toggles.popleft()
            told = line({"time": at, "key": name, "old": old, "new": new, "sites": sites})
            for client in watching:
                if client.watches is None or name not in client.watches:
                    continue
                self._tell_lost(client)
                if client.lost or len(client.out) > _BEHIND:
                    client.lost += 1
                else:
                    client.out += told
        seen = next(self._overflow)
        lost, self._overflow_seen = seen - self._overflow_seen, seen + 1
        for client in watching:
            client.lost += lost
            try:
                self._tell_lost(client)
                if client.out:
                    self._write(client)
                if len(client.out) <= _BEHIND:
                    client.deadline = float("inf")
                elif client.deadline == float("inf"):
                    client.deadline = monotonic() + ANSWER_SECONDS
            except OSError:  # it has hung up
                self._drop(client)

    def _tell_lost(self, client: _Client) -> None:
        if client.lost and len(client.out) <= _BEHIND:
            client.out += line({"lost": client.lost})
            client.lost = 0

    def _drop(self, client: _Client) -> None:
        if self._clients.pop(client.connection, None) is not None:
            self._selector.unregister(client.connection)
            client.close()
        if not any(other.watches is not None for other in self._clients.values()):
            self._unwatch()
        if self._listener is None and not self._clients:
            self.closing = True

    def _unwatch(self) -> None:
        with lock:
            if self._watching:
                self._watching = False
                off_toggle(self._on_toggle)


def _send(connection: Socket, data: bytes | bytearray) -> int:
    try:
        return connection.send(data, MSG_NOSIGNAL)
    except BlockingIOError:
        return 0


def report(error: Exception, by: object) -> None:
    """To sys.unraisablehook."""
    lib.call_site_unraisable(id(error), id(by))
