"""Reach a process that serves no socket: by sys.remote_exec (PEP 768), which needs CPython 3.14 on both sides.

The process runs a script of ours in its main thread, between two instructions. The script only starts a thread, which
connects to us and serves us like any operator (``serving.attach``). It touches nothing of the program's: it imports
nothing unless jumplabel is there, binds no names, and lets no exceptions out. If it cannot serve us, it writes the
reason to a file.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from jumplabel._process.unpatched import monotonic
from jumplabel._process.unpatched_sockets import Socket
from jumplabel._remote.socket_folder import address, effective_user, lock_folder, peer, unix_socket
from jumplabel.errors import RemoteError

_LONGEST_FOLDER = 80  # sun_path, unix(7), has room for 107 bytes

_ASK_AGAIN = 1.0
"""Seconds. A process that was just forked loses the request if it has not yet cleaned up after the fork."""

_SCRIPT = """\
import _thread, posix, sys

def begin(folder):
    def refuse(why):
        try:
            name = folder + "/refused"
            file = posix.open(name + ".new", posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC, 0o600)
            try:
                posix.write(file, why.encode(errors="replace")[:4096])
            finally:
                posix.close(file)
            posix.rename(name + ".new", name)
        except OSError:
            pass  # the operator has gone

    def serve():
        begun.release()
        try:
            from jumplabel._remote.serving import attach  # waits here if the main thread is importing it

            attach(folder + "/socket")
        except Exception as error:
            refuse("its jumplabel cannot serve: %r" % error)

    try:
        if "jumplabel" not in sys.modules:
            return refuse("it has no jumplabel: it has not imported it")
        begun = _thread.allocate_lock()
        begun.acquire()
        _thread.start_new_thread(serve, ())
        begun.acquire(True, 1)  # an interpreter that ends crashes on a thread that has not begun
    except Exception as error:
        refuse("no thread can be started in it: %r" % error)
    except KeyboardInterrupt:
        _thread.interrupt_main()  # pass it to the program

begin({folder})
"""


def connect(pid: int, timeout: float) -> Socket:
    """Return a connection to the process, which serves it like any operator's.

    timeout  seconds in which its main thread must run Python code

    Raises RemoteError. After an error the process does not run the script any more.
    """
    if sys.version_info < (3, 14):
        raise RemoteError(
            f"this is Python {_version()}, which cannot reach into a process; that takes 3.14 on both sides"
        )
    if _root(pid) != _root(os.getpid()):
        raise RemoteError(
            "it sees other files than we do, in a container perhaps; run this command there, where it sees what it sees"
        )
    with _one_at_a_time(pid, timeout), _Folder(effective_user(pid)) as folder:
        end, asked, connection = monotonic() + timeout, 0, None
        try:
            while not connection:
                if asked and monotonic() > end:
                    raise RemoteError(
                        f"its main thread has not come by for {timeout:g} s: it waits in C, for a lock, a connection "
                        "or a signal; try again with a longer --timeout, or let the process serve a socket"
                    )
                _run(pid, folder.script)
                asked += 1
                connection = folder.wait(pid, min(monotonic() + _ASK_AGAIN, end))
            return connection
        finally:
            if asked > 1 or not connection:
                with suppress(OSError, RuntimeError):
                    _remote_exec(pid, os.devnull)  # replaces the request for our script, which is removed


def _remote_exec(pid: int, script: str) -> None:
    if sys.version_info >= (3, 14):
        sys.remote_exec(pid, script)


def _run(pid: int, script: str) -> None:
    try:
        _remote_exec(pid, script)
    except PermissionError as error:
        raise RemoteError(
            f"we may not look into it ({error.strerror}); that is for its user, where ptrace(2) may "
            "(kernel.yama.ptrace_scope), and for root"
        ) from error
    except (OSError, RuntimeError) as error:
        raise RemoteError(_explained(pid, str(error))) from error


@contextmanager
def _one_at_a_time(pid: int, timeout: float) -> Iterator[None]:
    """Lock a process against other operators, because it has room for one script only.

    The lock is on its folder in /proc: all operators know it, whatever their user and folders.
    """
    try:
        place = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise RemoteError("it has ended") from error
    try:
        lock_folder(place, timeout)
        yield
    except BlockingIOError as error:
        raise RemoteError(f"another operator has been asking it to run a script for {timeout:g} s") from error
    finally:
        os.close(place)


def _version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _root(pid: int) -> tuple[int, ...]:
    try:
        places = [os.stat(f"/proc/{pid}/root"), os.stat(f"/proc/{pid}/ns/mnt")]
    except FileNotFoundError as error:
        raise RemoteError("it has ended") from error
    except OSError as error:
        raise RemoteError(f"we may not look into it ({error.strerror}); that is for its user and for root") from error
    return tuple(number for place in places for number in (place.st_dev, place.st_ino))


def _explained(pid: int, error: str) -> str:
    if "not enabled in the remote process" in error:
        return (
            f"it refuses remote debugging ({error}): "
            "PYTHON_DISABLE_REMOTE_DEBUG or -X disable-remote-debug is set in it"
        )
    if "not enabled" in error:
        return f"we cannot ({error}): PYTHON_DISABLE_REMOTE_DEBUG or -X disable-remote-debug is set here"
    try:
        program = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        program = "unknown"
    return f"{error}; it runs {program}, and the two must be the same Python, {_version()} here: use its own for this"


class _Folder:
    """A folder for the process and us alone, with the script and the socket on which we wait for the connection."""

    def __init__(self, user: int) -> None:
        base = tempfile.gettempdir()
        if len(os.fsencode(base)) > _LONGEST_FOLDER:
            base = "/tmp"
        self._path = tempfile.mkdtemp(prefix="jumplabel-", dir=base)
        self._folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        self._listener = unix_socket()
        try:
            self._listener.bind(address(self._folder, "socket"))
            self._listener.listen(1)
            self.script = os.path.join(self._path, "script.py")
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with open(os.open("script.py", flags, 0o600, dir_fd=self._folder), "w") as file:
                file.write(_SCRIPT.replace("{folder}", ascii(self._path)))
            if user != os.geteuid() == 0:
                for name in ("script.py", "socket"):
                    os.chown(name, user, -1, dir_fd=self._folder, follow_symlinks=False)
                os.fchown(self._folder, user, -1)  # last, because after that the user can change the folder
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> "_Folder":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for name in ("script.py", "socket", "refused", "refused.new"):
            with suppress(OSError):
                os.unlink(name, dir_fd=self._folder)
        os.close(self._folder)
        with suppress(OSError):
            os.rmdir(self._path)

    def wait(self, pid: int, end: float) -> Socket | None:
        """Return the process's connection, or None if there was none by ``end``, a time of monotonic()."""
        self._listener.settimeout(0.02)
        while True:
            with suppress(TimeoutError):
                connection, _ = self._listener.accept()
                if peer(connection)[0] == pid:
                    return connection
                connection.close()
            with suppress(FileNotFoundError):
                raise RemoteError(self._refusal())
            if not os.path.exists(f"/proc/{pid}"):
                raise RemoteError("it has ended")
            if monotonic() > end:
                return None

    def _refusal(self) -> str:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with open(os.open("refused", flags, dir_fd=self._folder), "rb") as file:
            return file.read(4096).decode(errors="replace")
