"""``serve()``: a Unix socket over which an operator reads and toggles the keys of this process.

This module has the life of the socket: its folder, its thread, forks, the end of the interpreter. connections.py has
the work of the thread.
"""

import atexit
import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any

from jumplabel._engine import lib
from jumplabel._process import forks
from jumplabel._process.interpreters import is_main
from jumplabel._process.settings import folder_to_serve, left_out
from jumplabel._process.unpatched import ProcessLock, allocate_lock, get_ident, start_own_thread
from jumplabel._process.unpatched_sockets import identity
from jumplabel._program.exported import exported
from jumplabel._remote import connections
from jumplabel._remote.connections import Connections, report
from jumplabel._remote.socket_folder import (
    DEFAULT,
    address,
    default_folders,
    is_dead,
    lock_folder,
    open_folder,
    private_folder,
    remove_dead,
    remove_if_private,
    remove_left,
    socket_name,
    unix_socket,
)
from jumplabel.errors import JumpLabelError, RemoteError, SettingError

_FOLDER_SECONDS = 2.0
"""The longest wait for other processes to unlock the folder."""
_PRIVATE_FOLDERS = 3
"""The number of private folders that are tried, one after the other."""

_servers: "set[Server]" = set()
"""All servers whose thread runs."""


@exported
class Server:
    """A server of this process's keys, as ``serve()`` returns it. As a context manager it closes itself.

    path  the path of the socket
    """

    def __init__(self, folder: str | None) -> None:
        self.path = ""
        self._folder_path = folder  # None: serve one connection, which attach() makes
        self._folder = -1
        if folder is None:
            self._begin(None)
        else:
            self._open(folder)

    def close(self) -> None:
        """Close all connections and remove the socket. Does nothing if the server is closed already.

        In a forked child this closes the child's socket. Any thread may call this. It waits up to 5 seconds for a
        request that is being carried out.
        """
        forks.notice()
        with connections.lock:
            ours = self._connections
            if ours.closing:
                return
            ours.closing = True
            self._unlink()
        ours.stop()
        if get_ident() != self._thread and self._ended.acquire(timeout=5):
            self._ended.release()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<jumplabel server at {self.path!r}{', closed' if self._connections.closing else ''}>"

    def _begin(self, listener: Any) -> None:
        self._thread = 0
        self._ended = allocate_lock()
        self._ended.acquire()
        self._connections = Connections(listener)

    def _open(self, folder: str, first: str = "") -> None:
        """Open the socket. For DEFAULT try the default folders in order.

        first  a folder that DEFAULT tries before the others

        Raises RemoteError.
        """
        refusals = {}
        for path in _default_folders(first) if folder == DEFAULT else [folder]:
            try:
                return self._open_in(path)
            except RemoteError as error:
                if folder != DEFAULT:
                    raise
                refusals[str(error)] = True
                remove_left(path)
        raise RemoteError("; ".join(refusals))

    def _open_in(self, folder: str) -> None:
        lib.fork_notice_urgent = 1
        listener = None
        try:
            listener = unix_socket()
            self._begin(listener)
        except OSError as error:  # no descriptors
            if listener is not None:
                listener.close()
            raise RemoteError(f"no socket can be opened for {folder!r}: {error}") from error
        try:
            self._listen(listener, folder)
            # Not a threading.Thread: starting one waits for it and takes locks, which may hang in a forked child.
            self._thread = start_own_thread(self._run_in_own_thread, ())
        except BaseException as error:
            self._unlink()
            self._close_folder()
            self._connections.closing = True
            self._connections.close()
            if isinstance(error, OSError | RuntimeError):
                raise RemoteError(f"no socket can be opened in {folder!r}: {error}") from error
            raise
        _servers.add(self)

    def _listen(self, listener: Any, folder: str) -> None:
        self._folder = open_folder(folder, {os.geteuid()}, make=True)
        self._folder_is = identity(self._folder)
        name = socket_name(os.getpid())
        # Under the folder's lock, because a socket looks dead between bind(2) and listen(2). A process in a container
        # that shares the folder does not see our pid, so it would remove the socket. A pid may also be reused.
        try:
            lock_folder(self._folder, _FOLDER_SECONDS)
        except BlockingIOError as error:
            raise RemoteError(f"another process keeps the folder {folder!r} locked; is one stopped in it?") from error
        try:
            remove_dead(self._folder)
            if is_dead(self._folder, name):
                os.unlink(name, dir_fd=self._folder)
            try:
                listener.bind(address(self._folder, name))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                raise RemoteError(
                    f"{folder}/{name} is in use by another process, of this number in another container; "
                    "each of them needs a folder of its own"
                ) from error
            self.path = os.path.join(folder, name)
            self._identity = _identity(self._folder, name)
            os.chmod(name, 0o600, dir_fd=self._folder)
            listener.listen(128)
        finally:
            fcntl.flock(self._folder, fcntl.LOCK_UN)

    def _run_in_own_thread(self) -> None:
        lib.own_thread_enters()
        self._run()

    def _run(self) -> None:
        ours = self._connections
        try:
            self._thread = get_ident()
            lib.os_unblock_signals()  # the mask is inherited from the thread that called serve()
            ours.run()
        except OSError as error:
            report(
                RemoteError(
                    f"{self!r} ends: {error}. A program that closes all descriptors must call serve() after that"
                ),
                self,
            )
        finally:  # any other error ends the thread, and the interpreter reports it
            ours.closing = True
            with connections.lock:
                ours.close()
                _servers.discard(self)
                self._unlink()
                self._clean_up()
                self._close_folder()
            self._ended.release()

    def _unlink(self) -> None:
        """Remove the socket if it is still ours. It may have been removed, and another process may reuse our pid."""
        if self.path and self._has_folder():
            name = os.path.basename(self.path)
            with suppress(OSError):  # it is gone, or this process has changed its user and may not remove it
                if _identity(self._folder, name) == self._identity:
                    os.unlink(name, dir_fd=self._folder)
            remove_if_private(self._folder, os.path.dirname(self.path))

    def _clean_up(self) -> None:
        """Remove sockets of workers that a signal or os._exit() ended. Their parent is often the last to serve."""
        if self._has_folder():
            with suppress(OSError):  # another process has locked the folder and cleans up, or we have no right to
                lock_folder(self._folder, 0)
                try:
                    remove_dead(self._folder)
                finally:
                    fcntl.flock(self._folder, fcntl.LOCK_UN)

    def _close_folder(self) -> None:
        if self._has_folder():
            os.close(self._folder)
        self._folder = -1

    def _has_folder(self) -> bool:
        """Return whether the descriptor is still the folder's. A program that closes all may have reused its number."""
        return self._folder >= 0 and identity(self._folder) == self._folder_is

    def _forked(self) -> None:
        """Open a socket of the child's own. It inherited the descriptors of the parent's, but not the thread."""
        closing = self._connections.closing
        self._connections.closing = True
        self._connections.close()
        self._close_folder()
        path, self.path = self.path, ""
        if self._folder_path is not None and not closing:
            self._open(self._folder_path, first=os.path.dirname(path))


def _identity(folder: int, name: str) -> tuple[int, int]:
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    return status.st_dev, status.st_ino


def _default_folders(first: str) -> Iterator[str]:
    """Yield the folders in which serve() tries to serve. A private one is made when its turn comes."""
    if first:
        yield first
    yield from default_folders(os.geteuid())
    for _ in range(_PRIVATE_FOLDERS):  # another process may take an empty folder for an abandoned one, and remove it
        yield private_folder()


@exported
def serve(folder: str | os.PathLike[str] | None = None) -> Server:
    """Open a Unix socket, for ``python -m jumplabel keys PID``, ``enable``, ``disable``, ``watch`` and ``level``.

    folder  an absolute path. A missing folder is made for this user alone, if its parent exists. None: the first that
            works of ``$XDG_RUNTIME_DIR/jumplabel``, ``/run/user/<uid>/jumplabel``, and a new private folder among the
            temporary files, which is removed with its last socket

    Returns the server. A second call for the same folder returns the same server. Any thread may call this. Raises
    RemoteError if the folder is not private, or the socket cannot be made.

    **Access.** Only processes of the same effective user, and root's, are served. Requests are strictly parsed
    (operator_requests.py). They can list, toggle and watch keys, and set levels of loggers, and nothing else. The
    socket is ``<pid>.sock`` in the folder. The command line finds it through /proc.

    **Thread.** One daemon thread serves all connections and makes their toggles, so callbacks of ``on_toggle`` run in
    it. Under gevent and eventlet it is a thread of the system, too. Its errors go to ``sys.unraisablehook``.

    **Forks.** A forked child opens a socket of its own, in the same folder, or by default in another if that fails. If
    it can open none, the error goes to ``sys.unraisablehook``, and the child goes on. (Python 3.12 and later warn of
    every fork of a process with threads.) A fork past Python's hooks, such as uWSGI's, is noticed later: by the
    child's main thread before it runs Python code again, and by any thread at its first toggle or call of ``serve()``.
    To be sure, or to serve in workers only, call ``serve()`` in each worker: in uWSGI, with
    ``uwsgidecorators.postfork``.

    **Daemons and users.** A program that closes all descriptors, such as a daemon, must call ``serve()`` after that. A
    process that changes its user keeps its socket in the old user's folder, where root still reaches it.

    **Removal.** The socket is removed when the interpreter ends. The next process that begins or ends serving in the
    folder removes sockets that ``os._exit`` or a crash left. The next process that makes a private folder removes
    abandoned ones.
    """
    forks.notice()
    for server in list(_servers):
        if not server._connections.sound():  # the program has closed the server's descriptors
            server.close()
    with connections.lock:
        path = DEFAULT if folder is None else _absolute(folder)
        for server in list(_servers):
            if server._folder_path is None:  # serves only the connection that attach() made
                continue
            if path in (server._folder_path, os.path.dirname(server.path)) and not server._connections.closing:
                return server
        return Server(path)


def serve_if_asked() -> None:
    """Serve if JUMPLABEL_SERVE says so. Never raises: warns if the value is wrong, or no socket can be opened.

    Does nothing in subinterpreters, because a process has one socket.
    """
    try:
        folder = folder_to_serve()
        if folder is not None and is_main():
            serve(folder or None)
    except SettingError as error:
        left_out(str(error))
    except Exception as error:
        why = error if isinstance(error, JumpLabelError) else repr(error)
        left_out(f"JUMPLABEL_SERVE={os.environ.get('JUMPLABEL_SERVE')!r} is left out: {why}")


def _absolute(folder: Any) -> str:
    try:
        path = os.fspath(folder)
    except TypeError:
        path = None
    if not isinstance(path, str) or not os.path.isabs(path):
        raise RemoteError(f"serve() needs the absolute path of a folder, such as '/run/shop', not {folder!r}")
    return os.path.normpath(path)


def attach(path: str) -> None:
    """Connect to the operator at the socket ``path``, and serve this connection in this thread until it closes.

    For remote_exec.py. It needs no check of the operator, because the operator can run any code in this process.
    """
    lib.own_thread_joins()
    server = Server(None)
    with connections.lock:
        connection = unix_socket()
        server._connections.welcome(connection)
        _servers.add(server)
    try:
        connection.connect(path)
    except BaseException:
        server._connections.closing = True
        raise
    finally:
        server._run()


def _close_all() -> None:
    for server in list(_servers):
        server.close()


def _before_fork() -> None:
    connections.lock.acquire()


def _after_fork() -> None:
    connections.lock.release()


def _after_fork_in_child() -> None:
    connections.lock = ProcessLock()
    inherited = list(_servers)
    _servers.clear()
    for server in inherited:
        try:
            server._forked()
        except Exception as error:
            report(error, server)


atexit.register(_close_all)
os.register_at_fork(before=_before_fork, after_in_parent=_after_fork)
forks.in_child(_after_fork_in_child)
