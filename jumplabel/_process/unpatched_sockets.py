"""Unix sockets of the system, and waiting for them: see unpatched.py.

Not ``socket`` and ``selectors``: gevent and eventlet replace names in these modules, and the modules' own functions use
the replacements.
"""

import _socket
import errno
import os
from _socket import AF_UNIX, MSG_NOSIGNAL, SO_PEERCRED, SOCK_STREAM, SOL_SOCKET
from typing import Any, NamedTuple, Self

from jumplabel._engine import ffi, lib

__all__ = ["AF_UNIX", "MSG_NOSIGNAL", "READ", "SOCK_STREAM", "SOL_SOCKET", "SO_PEERCRED", "WRITE", "Poll", "Socket"]

READ: int = lib.POLLIN
WRITE: int = lib.POLLOUT
_INVALID: int = lib.POLLNVAL


class Socket(_socket.socket):
    """A socket that no program which the process executes inherits."""

    def accept(self) -> "tuple[Socket, Any]":
        descriptor, address = self._accept()  # type: ignore[attr-defined]
        return Socket(self.family, self.type, self.proto, descriptor), address

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def socketpair() -> tuple[Socket, Socket]:
    """Return two connected sockets."""
    first, second = _socket.socketpair(AF_UNIX, SOCK_STREAM)
    return Socket(AF_UNIX, SOCK_STREAM, 0, first.detach()), Socket(AF_UNIX, SOCK_STREAM, 0, second.detach())


def identity(descriptor: int) -> tuple[int, int] | None:
    """Return the device and the inode of an open file, which no other file has; None for a closed descriptor."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def let_go(socket: Socket, opened: tuple[int, int] | None) -> None:
    """Close the socket. Where its descriptor is another file by now than the one opened, only forget the descriptor."""
    if identity(socket.fileno()) == opened:
        socket.close()
    else:
        socket.detach()


class Ready(NamedTuple):
    socket: Socket
    data: Any
    events: int


class Poll:
    """Waits for sockets by poll(2), which has no descriptor that a program could close or a fork could share."""

    def __init__(self) -> None:
        self._sockets: dict[Socket, tuple[int, Any]] = {}

    def register(self, socket: Socket, events: int, data: Any = None) -> None:
        """Wait for these events of the socket: READ, WRITE or both."""
        self._sockets[socket] = events, data

    def modify(self, socket: Socket, events: int) -> None:
        """Wait for these events of the socket instead."""
        self._sockets[socket] = events, self._sockets[socket][1]

    def unregister(self, socket: Socket) -> None:
        del self._sockets[socket]

    def select(self, timeout: float | None) -> list[Ready]:
        """Wait until a socket is ready, and return those that are.

        timeout  the longest time to wait, in seconds; None: no limit

        A hang-up counts as READ and WRITE. Raises OSError for a closed descriptor.
        """
        registered = list(self._sockets.items())
        files = ffi.new("struct pollfd[]", [(socket.fileno(), events, 0) for socket, (events, _) in registered])
        milliseconds = -1 if timeout is None else min(int(timeout * 1000) + 1, 10**9) if timeout > 0 else 0
        if lib.own_thread_poll(files, len(registered), milliseconds) < 0:
            if ffi.errno == errno.EINTR:
                return []
            raise OSError(ffi.errno, os.strerror(ffi.errno))
        found = []
        for file, (socket, (events, data)) in zip(files, registered, strict=True):
            if file.revents & _INVALID or file.fd < 0:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            ready = file.revents if file.revents & ~(READ | WRITE) == 0 else READ | WRITE
            if file.revents and ready & events:
                found.append(Ready(socket, data, ready & events))
        return found
