"""The connections of operators, served by one thread that never waits for any of them.

A client that hangs, floods the thread or does not read is dropped, so a slow client delays no other. Only this thread
touches the connections; other threads only ``stop()`` it and pass toggles to it. operator_requests.py has the requests,
socket_folder.py the access rules, serving.py the life of the thread, forks and the end of the interpreter.
"""

import errno
import os
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from enum import Enum, auto
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
"""The most connections at a time. The next gets the answer "busy". At most half of them may watch."""
REQUEST_SECONDS = 5.0
"""The time in which a client must send its request."""
ANSWER_SECONDS = 5.0
"""The time in which a client must read some of its answer; also the time for all of it, without what it earns."""
_EARNED = 0.25 / (1 << 16)
"""Additional seconds for each byte that a client reads. Large answers may take long, but no client stalls for long."""
_LONG_TURN = 0.5
"""Seconds. A longer turn of the thread, such as a large toggle, is added to all deadlines."""
PAUSE_SECONDS = 1.0
"""The pause before the next accept(2), after descriptors or memory ran out."""
_AHEAD = 1 << 14
"""The bytes of an answer that are made ahead of reading."""
_BEHIND = 1 << 18
"""The bytes that a watching client may fall behind. Further toggles are only counted, and its deadline begins."""
_TOGGLES = 10_000
"""The toggles that may wait for the thread. Further ones are only counted."""

_BUSY = line({"error": "busy with other clients; try again", "busy": True})

lock = ProcessLock()  # a signal handler that forks may take it again in the same thread
"""Held during steps that a fork must not divide. A fork takes it, too."""


class _Alarm:
    """An alarm that any thread may ring at any time to wake the serving thread.

    The last reference closes it, so that no thread rings a closed alarm. It is no eventfd: a program that becomes a
    daemon closes all descriptors, and ringing could write to a new file of the same number. Sockets have an identity.
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


class _State(Enum):
    SENDS_REQUEST = auto()
    """The client must send its request line until its deadline."""
    READS_ANSWER = auto()
    """The client must read its answer until its deadline. Reading moves the deadline."""
    WATCHES = auto()
    """The client gets toggles, and reads them fast enough. It has no deadline."""
    LAGS = auto()
    """The client gets toggles, and is too far behind. It must read until its deadline. Reading moves the deadline."""


class _Client:
    """A connection and its state."""

    def __init__(self, connection: Socket) -> None:
        self.connection = connection
        self._opened = identity(connection.fileno())
        self.state = _State.SENDS_REQUEST
        self.request = b""
        self.answers: Iterator[Answer] = iter(())
        self.patterns: Patterns | tuple[()] = ()
        """The keys that it watches."""
        self.out = bytearray()
        self.lost = 0  # toggles since it fell behind
        self._deadline = monotonic() + REQUEST_SECONDS
        self._answer_deadline = self._deadline  # for the whole answer

    def sound(self) -> bool:
        return identity(self.connection.fileno()) == self._opened

    def close(self) -> None:
        let_go(self.connection, self._opened)

    @property
    def watching(self) -> bool:
        return self.state in (_State.WATCHES, _State.LAGS)

    @property
    def deadline(self) -> float | None:
        """The time of monotonic() at which the client is dropped. None: it has no deadline."""
        return None if self.state is _State.WATCHES else self._deadline

    def begin_reading(self) -> None:
        """Give the client the time to read its answer."""
        self._answer_deadline = self._deadline = monotonic() + ANSWER_SECONDS

    def has_read(self, size: int) -> None:
        self._deadline = monotonic() + ANSWER_SECONDS
        if self.state is _State.READS_ANSWER:
            self._answer_deadline += size * _EARNED
            self._deadline = min(self._deadline, self._answer_deadline)

    def note_lag(self) -> None:
        """Set the state of a watching client by how far it is behind."""
        if len(self.out) <= _BEHIND:
            self.state = _State.WATCHES
        elif self.state is _State.WATCHES:
            self.state = _State.LAGS
            self._deadline = monotonic() + ANSWER_SECONDS

    def delay(self, seconds: float) -> None:
        self._deadline += seconds
        self._answer_deadline += seconds


class Connections:
    """All connections of a server. ``run()`` serves them.

    listener  accepts connections until ``stop()``. None: serve the welcomed connections, until the last one closes
    """

    def __init__(self, listener: Socket | None) -> None:
        self.closing = False
        self._listener = listener
        self._clients: dict[Socket, _Client] = {}
        self._toggles: deque[tuple[float, str, bool, bool, int]] = deque()
        self._overflow = count()  # next() is atomic, += is not
        self._overflow_seen = 0
        self._watching = False
        self._no_room = False
        self._paused_until: float | None = None
        """The time of monotonic() at which accepting resumes. None: it is not paused."""
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
        """Make ``run()`` return."""
        self.closing = True
        self._ring()

    def _on_toggle(self, toggle: Toggle) -> None:
        """Queue a toggle. Toggling threads call this, even in signal handlers, so it takes no lock and never waits."""
        if len(self._toggles) < _TOGGLES:
            self._toggles.append((wall_clock(), toggle.key.name, toggle.old, toggle.new, toggle.sites))
        else:
            next(self._overflow)
        self._ring()

    def _ring(self) -> None:
        alarm = self._alarm
        if alarm is not None:
            alarm.ring()

    # ---- from the serving thread, or in a forked child from the thread that forked ----

    def run(self) -> None:
        """Serve until ``stop()``. Raises OSError if the selector does."""
        while not self.closing:
            self._turn()
        self._tell()

    def close(self) -> None:
        """Close all descriptors that are still ours, without answering clients."""
        self._unwatch()
        for client in list(self._clients.values()):
            client.close()
        self._clients.clear()
        if self._listener is not None:
            let_go(self._listener, self._opened[self._listener])
        self._alarm = None

    def sound(self) -> bool:
        """Return whether the alarm and the listener are still ours. Any thread may call this.

        A program that becomes a daemon closes all descriptors. Other files may get their numbers.
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
        now = monotonic()  # data that arrived before this is in time, even if other clients take long
        for ready, client, mask in events:
            try:
                if client is not None:
                    self._read(client) if mask & READ else self._write(client)
                elif ready is self._listener:
                    self._accept()
                else:
                    self._heard.recv(4096)
            except Exception as error:
                if client is None or not isinstance(error, OSError):  # OSError: the client closed the connection
                    report(error, self)
                if client is not None:
                    self._drop(client)
        self._tell()
        for client in list(self._clients.values()):
            if client.deadline is not None and client.deadline <= now:
                self._drop(client)
        spent = monotonic() - now
        if spent > _LONG_TURN:
            for client in self._clients.values():
                client.delay(spent)
        if self._paused_until is not None and self._paused_until <= now and self._listener is not None:
            self._paused_until = None
            self._selector.register(self._listener, READ)

    def _patience(self) -> float | None:
        """Return the seconds until the next deadline. None: there is none."""
        times = [self._paused_until, *(client.deadline for client in self._clients.values())]
        known = [time for time in times if time is not None]
        return max(0.0, min(known) - monotonic()) if known else None

    def _accept(self) -> None:
        for _ in range(CLIENTS):  # then clients have their turn
            try:
                if not self._admit_next():
                    return
            except ConnectionAbortedError:
                pass
            except OSError as error:  # no descriptors or no memory: accept(2) would fail again at once
                assert self._listener is not None
                self._selector.unregister(self._listener)
                self._paused_until = monotonic() + PAUSE_SECONDS
                if not self._no_room:
                    self._no_room = True
                    report(error, self)
                return
            self._no_room = False

    def _admit_next(self) -> bool:
        """Accept a connection, if there is one, and return whether there was. A fork finds each accepted one listed."""
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
                with suppress(OSError):  # the client closed the connection
                    _send(connection, _BUSY)
                connection.close()
        return True

    def _read(self, client: _Client) -> None:
        if client.watching:  # a watching client sends nothing: it closed the connection
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
        client.state = _State.READS_ANSWER
        self._write(client)
        client.begin_reading()  # not before: making the answer may have taken long
        return None

    def _watch(self, client: _Client, patterns: Patterns) -> None:
        if sum(other.watching for other in self._clients.values()) >= CLIENTS // 2:
            raise RemoteError(f"{CLIENTS // 2} others are watching already")
        with lock:
            if not self._watching:
                register(self._on_toggle)
                self._watching = True
        client.patterns = patterns
        client.state = _State.WATCHES
        client.out += line({"watching": patterns.patterns})
        self._write(client)

    def _write(self, client: _Client) -> None:
        """Send as much as the socket takes, but only a share, because other clients wait."""
        # One byte more than is sent, if there is more: nothing left means that the answer ends.
        while len(client.out) <= _AHEAD and (answer := next(client.answers, None)):
            client.out += line(answer)
        sent = _send(client.connection, client.out[:_AHEAD])
        del client.out[:sent]
        if not client.out and not client.watching:
            return self._drop(client)
        if sent:
            client.has_read(sent)
        interest = READ if client.watching else 0
        interest |= WRITE if client.out else 0
        self._selector.modify(client.connection, interest)
        return None

    def _tell(self) -> None:
        """Pass the queued toggles to watching clients."""
        watching = [client for client in self._clients.values() if client.watching]
        for _ in range(len(self._toggles)):
            at, name, old, new, sites = self._toggles.popleft()
            toggled = line({"time": at, "key": name, "old": old, "new": new, "sites": sites})
            for client in watching:
                if name not in client.patterns:
                    continue
                self._tell_lost(client)
                if client.lost or len(client.out) > _BEHIND:
                    client.lost += 1
                else:
                    client.out += toggled
        seen = next(self._overflow)
        lost, self._overflow_seen = seen - self._overflow_seen, seen + 1
        for client in watching:
            client.lost += lost
            try:
                self._tell_lost(client)
                if client.out:
                    self._write(client)
                client.note_lag()
            except OSError:  # the client closed the connection
                self._drop(client)

    def _tell_lost(self, client: _Client) -> None:
        if client.lost and len(client.out) <= _BEHIND:
            client.out += line({"lost": client.lost})
            client.lost = 0

    def _drop(self, client: _Client) -> None:
        if self._clients.pop(client.connection, None) is not None:
            self._selector.unregister(client.connection)
            client.close()
        if not any(other.watching for other in self._clients.values()):
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
    """Report an error to sys.unraisablehook."""
    lib.call_site_unraisable(id(error), id(by))
