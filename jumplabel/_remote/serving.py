"""``serve()``: a Unix socket over which an operator reads and switches the keys of this process.

Here is where the socket comes from and what becomes of it: its folder, the thread, forks, the end of the interpreter.
What the thread does is in connections.py.
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
"""For others to let go of the folder."""
_PRIVATE_FOLDERS = 3
"""That are made, one after the other, where none can be served in."""

_servers: "set[Server]" = set()
"""All whose thread runs."""


class Server:
    """What ``serve()`` returns; also a context manager, which closes it.

    path  of the socket
    """

    def __init__(self, folder: str | None) -> None:
        self.path = ""
        self._folder_path = folder  # None: for one connection, which somebody else has made
        self._folder = -1
        if folder is None:
            self._begin(None)
        else:
            self._open(folder)

    def close(self) -> None:
        """Serve nobody any more and remove the socket; again: nothing. In the child of a fork this closes the child's.

        Any thread may call this. It waits some seconds for the request that is just being carried out.
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
        """Open the socket, for DEFAULT in the first folder that can be had.

        first  for DEFAULT: a folder that is tried before the others

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
            # Not a threading.Thread: to start one is to wait for it, and to take locks, in the child of a fork.
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
        # Under the folder's lock: between bind(2) and listen(2) a socket looks dead, and so it may be in the eyes of a
        # process that sees no such pid, in a container that shares the folder; a pid may come again meanwhile, too.
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
            lib.os_unblock_signals()  # the mask is that of whoever started us
            ours.run()
        except OSError as error:
            report(RemoteError(f"{self!r} ends: {error}. Who closes all descriptors calls serve() behind that"), self)
        finally:  # an error of another kind ends the thread, which is how the interpreter reports it
            ours.closing = True
            with connections.lock:
                ours.close()
                _servers.discard(self)
                self._unlink()
                self._clean_up()
                self._close_folder()
            self._ended.release()

    def _unlink(self) -> None:
        """If it is ours still: somebody may have removed it, and a pid may come again."""
        if self.path and self._has_folder():
            name = os.path.basename(self.path)
            with suppress(OSError):  # it is gone; or we are another user by now, and it will be cleaned up
                if _identity(self._folder, name) == self._identity:
                    os.unlink(name, dir_fd=self._folder)
            remove_if_private(self._folder, os.path.dirname(self.path))

    def _clean_up(self) -> None:
        """Remove what workers have left that a signal or os._exit() ended: their parent often is the last to serve."""
        if self._has_folder():
            with suppress(OSError):  # another process has the folder locked, and cleans up itself; or we may not
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
        """The program may have closed all descriptors; then the number may be that of another file."""
        return self._folder >= 0 and identity(self._folder) == self._folder_is

    def _forked(self) -> None:
        """In a child, which has a copy of the descriptors and none of the threads: a socket of its own."""
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
    """Yield the folders in which serve() tries to serve. The private ones are made as they are come to."""
    if first:
        yield first
    yield from default_folders(os.geteuid())
    for _ in range(_PRIVATE_FOLDERS):  # a process that tidies up may take an empty one for one that is left
        yield private_folder()


def serve(folder: str | os.PathLike[str] | None = None) -> Server:
    """Open a Unix socket, for ``python -m jumplabel keys PID``, ``enable``, ``disable``, ``watch`` and ``level``.

    folder  an absolute path, made for this user alone if its parent is there; None: the first that can be had of
            ``$XDG_RUNTIME_DIR/jumplabel``, ``/run/user/<uid>/jumplabel``, and a new private folder among the temporary
            files, which goes with its last socket

    The socket is ``<pid>.sock`` in it. The command line finds it through the process itself. Who connects is asked to
    be of the same effective user, or root; requests are strictly read (operator_requests.py), and cannot do more than
    list, switch and watch keys, and set levels of loggers. One daemon thread serves all, and makes their toggles:
    callbacks of ``on_toggle`` run in it. It is a thread of the system under gevent and eventlet, too. What goes
    wrong in it goes to ``sys.unraisablehook``.

    A second call for the same folder returns the same server. The child of a fork has a socket of its own, for its own
    pid, in the same folder, or by default in another; if it can have none, that goes to ``sys.unraisablehook``, and the
    child goes on. (3.12 and later warn of every fork of a process that has a thread.) Where the fork is made past
    Python's hooks, as uWSGI's is, the main thread of the child opens it before it goes on in Python, and any thread of
    it by its first toggle or call of this. To be sure of it, or where the server begins only in the workers, call this
    in each of them: in uWSGI, by ``uwsgidecorators.postfork``. A process that changes its user later keeps its socket
    in the old user's folder, where root still reaches it. Sockets go when the interpreter ends. What ``os._exit`` or a
    crash leaves is removed by the next process that begins to serve in the folder, or ends; a private folder that is
    left, by the next that makes one. A program that becomes a daemon, and closes all descriptors, calls this behind
    that.

    Any thread may call this. Raises RemoteError where the folder is not private, or the socket cannot be made.
    """
    forks.notice()
    for server in list(_servers):
        if not server._connections.sound():  # the program has closed its descriptors
            server.close()
    with connections.lock:
        path = DEFAULT if folder is None else _absolute(folder)
        for server in list(_servers):
            if server._folder_path is None:  # it serves the one connection that attach() has made
                continue
            if path in (server._folder_path, os.path.dirname(server.path)) and not server._connections.closing:
                return server
        return Server(path)


def serve_if_asked() -> None:
    """By JUMPLABEL_SERVE. Never raises: warns where the value is wrong, or no socket can be had there.

    Only in the main interpreter: a process has one socket.
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
    """Serve whoever listens there, in this thread, until they hang up.

    For remote_exec.py: those may have the process run any code, so that nobody asks who they are.
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
