"""Where the sockets of processes are, what makes their folder private, and who is on the other end of one.

Both sides hold to it: who serves (serving.py) and who asks (remote.py).
"""

import fcntl
import os
import re
import stat
import struct
from collections.abc import Collection

from jumplabel.errors import RemoteError
from jumplabel.unpatched import monotonic, sleep
from jumplabel.unpatched_sockets import AF_UNIX, SO_PEERCRED, SOCK_STREAM, SOL_SOCKET, Socket


def default_folder(uid: int) -> str:
    """``$XDG_RUNTIME_DIR/jumplabel`` where that is this user's, as it must be by the XDG Base Directory Specification
    (``sudo -E`` hands on somebody else's); otherwise ``/tmp/jumplabel-<uid>``."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    try:
        if os.path.isabs(runtime) and os.stat(runtime).st_uid == uid:
            return os.path.join(os.path.normpath(runtime), "jumplabel")
    except (OSError, ValueError):
        pass
    return f"/tmp/jumplabel-{uid}"


def open_folder(path: str, owners: Collection[int], make: bool = False) -> int:
    """A descriptor of the folder, which is a private one: of one of these users, for nobody else, and no link.

    What is done with the descriptor is done in the folder that was looked at, whatever the path leads to by then.
    Raises RemoteError.
    """
    try:
        if make:
            try:
                os.mkdir(path, 0o700)
            except FileExistsError:
                pass
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        why = "is a symbolic link" if os.path.islink(path) else getattr(error, "strerror", None) or str(error)
        advice = "; name one that is there, or can be made there" if make else ""
        raise RemoteError(f"the folder {path!r}: {why}{advice}") from error
    try:
        status = os.fstat(folder)
        if status.st_uid not in owners:
            users = " or ".join(map(str, sorted(owners)))
            raise RemoteError(f"the folder {path!r} belongs to user {status.st_uid}, not to {users}; take another one")
        if status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            raise RemoteError(
                f"the folder {path!r} is open to others ({mode:04o}); take another one, or 'chmod 700' it"
            )
    except BaseException:
        os.close(folder)
        raise
    return folder


def lock_folder(folder: int, timeout: float) -> None:
    """Until it is unlocked or closed, by flock(2). Raises BlockingIOError if others have it for so many seconds."""
    end = monotonic() + timeout
    while True:
        try:
            return fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if monotonic() > end:
                raise
        sleep(0.005)


def effective_user(pid: int) -> int:
    """Raises RemoteError where there is no such process."""
    try:
        with open(f"/proc/{pid}/status") as file:
            return int(re.findall(r"^Uid:\t\d+\t(\d+)", file.read(), re.MULTILINE)[0])
    except (FileNotFoundError, ProcessLookupError) as error:
        raise RemoteError("there is no such process") from error


def socket_name(pid: int) -> str:
    return f"{pid}.sock"


def address(folder: int, name: str) -> str:
    """For bind(2) and connect(2), which know no dir_fd and no long paths."""
    return f"/proc/self/fd/{folder}/{name}"


def unix_socket() -> Socket:
    """Not inherited by programs that the process executes; does not block."""
    new = Socket(AF_UNIX, SOCK_STREAM)
    new.setblocking(False)
    return new


def is_dead(folder: int, name: str) -> bool:
    """Whether this socket has nobody any more who listens, unlike one that refuses us or is too busy."""
    with unix_socket() as probe:
        try:
            probe.connect(address(folder, name))
        except ConnectionRefusedError:
            return True
        except OSError:
            pass
    return False


_CREDENTIALS = struct.Struct("iII")


def peer(connection: Socket) -> tuple[int, int]:
    """Process and effective user on the other end, as of its connect(2) or listen(2): SO_PEERCRED, unix(7)."""
    pid, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(SOL_SOCKET, SO_PEERCRED, _CREDENTIALS.size))
    return pid, uid
